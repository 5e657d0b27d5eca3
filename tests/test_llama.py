"""The one door to llama.cpp."""

from __future__ import annotations

import subprocess
import sys


def test_who_imports_llama_cpp_after_us_gets_the_whole_package_and_we_have_imported_only_what_we_need() -> None:
    code = (
        "import sys\n"
        "from xraygpt_edge.generation import llama_library\n"
        "low_level = llama_library.import_llama()\n"
        "assert not {'llama_cpp', 'jinja2', 'diskcache'} & set(sys.modules)\n"
        "import llama_cpp\n"
        "assert llama_cpp.Llama and llama_cpp.llama_cpp is low_level\n"
        "assert llama_library.import_llama() is low_level\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
