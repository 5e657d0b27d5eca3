"""The command line with the model process replaced: `python -m tests.soak.driver batch FOLDER --out DIR ...`."""

from __future__ import annotations

import sys

from xraygpt_edge.cli import main
from xraygpt_edge.host import process

FAKE = (sys.executable, "-m", "tests.soak.fake_model")

if __name__ == "__main__":
    process.COMMAND = FAKE
    main()
