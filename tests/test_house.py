"""The shape of the house: imports point down, heavy libraries have one owner, papers are in order."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import xraygpt_edge

LAYERS = (
    {"catalogue", "findings", "records", "offline", "seccomp", "version"},
    {"errors"},
    {"files", "devices", "native", "sandbox", "text"},
    {"ledger"},
    {"imaging", "encoder", "generation"},
    {"bundle"},
    {"loading", "proof"},
    {"parts"},
    {"provenance"},
    {"engine"},
    {"conversation", "trust", "doctor"},
    {"bench", "evaluate", "host", "reports"},
    {"batch"},
    {"node", "scale", "serve", "summarize"},
    {"cli"},
    {"__init__", "__main__"},  # the names that users see: lazy, so no layer below is bound to them
)
"""A module imports only from rows above its own; `docs/architecture.md` prints this table."""

WHAT = {
    "catalogue": "the words of every error",
    "findings": "names and words of what a report may state",
    "records": "what outlives a run: answers, failures, what made them",
    "seccomp": "a filter of system calls",
    "errors": "the exception tree and the exit codes",
    "devices": "processor, memory, device",
    "text": "text from outside: in as clean UTF-8, out as a person may see it",
    "native": "native calls that Ctrl-C and a deadline can interrupt",
    "sandbox": "limits that a process sets itself",
    "ledger": "owner of `records.jsonl` and of filelock: written, repaired, read, locked",
    "imaging": "a file into a radiograph; `dicom/` owns pydicom and the codecs, `pictures/` reads everyday formats, "
    "`isolated/` is the reading process",
    "encoder": "owner of onnxruntime: image tensor into image embeddings",
    "generation": "owner of llama_cpp: prompts into answers; `scheduler` is its one thread",
    "bundle": "a model's folder: what its manifest says, verified, installed",
    "loading": "bundle and options into a plan",
    "proof": "what a bundle computes here, beside what the original computed",
    "parts": "the two models of a plan, loaded in the background",
    "provenance": "what made an answer",
    "engine": "`XrayGPT`",
    "conversation": "turns about one radiograph",
    "trust": "what an answer rests on",
    "evaluate": "records against references; owner of rouge-score and sacrebleu",
    "host": "the model in a process that may die",
    "reports": "views of the ledger",
    "batch": "a folder; a client of the host",
    "serve": "HTTP for people and programs on this computer; a client of the host; owner of starlette, uvicorn and "
    "every socket",
    "scale": "a folder over several machines",
    "summarize": "reports into clean texts",
    "node": "radiographs by DICOM; a client of the host, owner of pynetdicom, sqlite3 and, for DICOM, of sockets",
    "cli": "one command, one call, one result; its `console` owns rich",
}


def layer_table(package: Path) -> str:
    """The layers as `docs/architecture.md` prints them."""
    lines = ["| layer | what is in it |", "|---|---|"]
    for level, parts in enumerate(LAYERS):
        named = (
            f"`{part}{'/' if (package / part).is_dir() else ''}`" + (f" ({WHAT[part]})" if part in WHAT else "")
            for part in sorted(parts)
        )
        lines.append(f"| {level} | {', '.join(named)} |")
    return "\n".join(lines)


def test_the_architecture_page_prints_the_layers_that_are_checked(root: Path) -> None:
    assert layer_table(root / "xraygpt_edge") in (root / "docs" / "architecture.md").read_text("utf-8")


LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

OWNERS = {
    "onnxruntime": {"encoder"},
    "llama_cpp": {"generation"},
    "pydicom": {"imaging.dicom", "reports", "node"},
    "pynetdicom": {"node"},
    "sqlite3": {"node"},
    "socket": {"node", "serve"},
    "ssl": {"node", "serve"},
    "ipaddress": {"node", "scale", "serve"},
    "gdcm": {"imaging.dicom"},
    "jpeg_ls": {"imaging.dicom"},
    "openjpeg": {"imaging.dicom"},
    "pylibjpeg": {"imaging.dicom"},
    "PIL": {
        *("imaging.pictures", "imaging.preprocess", "imaging.values", "imaging.inspection", "imaging.dicom"),
        *("cli", "reports", "bench", "serve"),
    },
    "msgspec": {
        *("batch", "bundle", "host", "ledger", "node", "reports", "scale", "serve", "summarize", "trust"),
        "imaging.isolated",
    },
    "platformdirs": {"bundle", "generation", "serve"},
    "psutil": {"devices", "bench", "doctor"},
    "jinja2": {"reports"},
    "rouge_score": {"evaluate"},
    "sacrebleu": {"evaluate"},
    "filelock": {"ledger"},
    **{library: {"serve"} for library in ("starlette", "uvicorn", "h11", "anyio", "asyncio")},
    "ray": {"scale"},
    "typer": {"cli"},
    "rich": {"cli"},
}
"""Library → the only parts of `xraygpt_edge` that import it."""

NOT_AT_RUN_TIME = {
    *("torch", "transformers", "optimum", "onnx", "gguf", "sentencepiece", "safetensors", "cv2", "export"),
    *("urllib", "http", "ftplib", "smtplib", "requests", "httpx", "aiohttp"),
}
"""Export libraries, and everything that could reach a network but what `serve` and `node` own."""

OUTWARDS = {
    *(
        "connect",
        "connect_ex",
        "create_connection",
        "open_connection",
        "open_unix_connection",
        "create_unix_connection",
    ),
    *(
        "sock_connect",
        "connect_tcp",
        "connect_unix",
        "create_datagram_endpoint",
        "sendto",
        "getaddrinfo",
        "gethostbyname",
    ),
}
"""Names by which a connection is opened or a name looked up."""


def imports(source: str) -> set[str]:
    """Dotted names that a module imports, inside functions too; relative imports are not our habit."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write the whole name of the package"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(file: Path, package: Path) -> str:
    """`bundle` for bundle/store.py."""
    return file.relative_to(package).with_suffix("").parts[0]


def owner_of(file: Path, package: Path) -> str:
    """As `part_of`, and `imaging.dicom` for imaging/dicom/read.py: there, parts of the part are owners."""
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == "imaging" else parts[0]


def modules(root: Path) -> list[tuple[str, Path]]:
    package = root / "xraygpt_edge"
    return [(part_of(file, package), file) for file in sorted(package.rglob("*.py"))]


def upward_imports(root: Path) -> list[str]:
    """Imports that point sideways or up; an empty list means that the flow is one way."""
    found = set()
    for here, file in modules(root):
        if here in LAYERS[-1]:
            continue
        for name in imports(file.read_text("utf-8")):
            parts = name.split(".")
            there = parts[1] if parts[0] == "xraygpt_edge" and len(parts) > 1 else here
            if there != here and LEVEL.get(there, 0) >= LEVEL.get(here, len(LAYERS)):
                found.add(f"{here} -> {parts[1]}")
    return sorted(found)


def test_every_module_has_a_layer(root: Path) -> None:
    assert sorted({here for here, _ in modules(root)} - set(LEVEL)) == []


def test_imports_point_down(root: Path) -> None:
    assert upward_imports(root) == []


def test_the_layer_test_sees_an_upward_import_inside_a_function(tmp_path: Path) -> None:
    package = tmp_path / "xraygpt_edge"
    package.mkdir()
    lazy = "def f() -> None:\n    from xraygpt_edge import engine\n    from xraygpt_edge.cli.console import x\n"
    (package / "files.py").write_text(lazy, "utf-8")
    assert upward_imports(tmp_path) == ["files -> cli", "files -> engine"]


def test_a_heavy_library_has_one_owner(root: Path) -> None:
    strays = [
        f"{file.name} imports {library}"
        for _, file in modules(root)
        for library in {name.split(".")[0] for name in imports(file.read_text("utf-8"))} & set(OWNERS)
        if owner_of(file, root / "xraygpt_edge") not in OWNERS[library]
    ]
    assert strays == []


def test_dicom_is_parsed_in_one_folder_and_only_the_child_asks_it_to(root: Path) -> None:
    """Reports import pydicom to write; `images` reads for the child, which is the only one to call it for that."""
    parsers = {"pydicom.dcmread", "pydicom.filereader", "pydicom.filereader.dcmread", "pydicom.filereader.read_dataset"}
    package = root / "xraygpt_edge"
    found = {file.relative_to(package).as_posix(): imports(file.read_text("utf-8")) for _, file in modules(root)}
    calling = {name for name, file in ((n, package / n) for n in found) if "dcmread" in file.read_text("utf-8")}
    assert {name.rsplit("/", 1)[0] for name in calling} == {"imaging/dicom"}
    assert {name.rsplit("/", 1)[0] for name, used in found.items() if used & parsers} == {"imaging/dicom"}
    asking = {n for n, used in found.items() if any(f"{u}.".startswith("xraygpt_edge.imaging.dicom.") for u in used)}
    strangers = {name for name in asking if not name.startswith("imaging/dicom/")}
    strangers.remove("imaging/pictures/containers.py")  # for what a JPEG frame says of itself, in whatever file it is
    strangers.remove("node/contexts.py")  # for the tables of classes and syntaxes: it sees no file
    assert strangers == {"imaging/images.py", "imaging/isolated/child.py"}


DISTRIBUTIONS = {
    "PIL": "pillow",
    "gdcm": "python-gdcm",
    "jpeg_ls": "pyjpegls",
    "openjpeg": "pylibjpeg-openjpeg",
    "llama_cpp": "llama-cpp-python",
    "rouge_score": "rouge-score",
}
"""Import name → what pip calls it, where they differ."""


def test_every_library_that_is_imported_is_a_dependency(root: Path, project: dict[str, dict]) -> None:
    used = {name.split(".")[0] for _, file in modules(root) for name in imports(file.read_text("utf-8"))}
    used -= {*sys.stdlib_module_names, "xraygpt_edge"}
    extras = project["optional-dependencies"]
    promised = names(project["dependencies"] + extras["cpu"] + extras["evaluate"] + extras["node"] + extras["ray"])
    assert sorted({DISTRIBUTIONS.get(library, library) for library in used} - promised) == []


def test_ray_is_imported_in_one_module(root: Path) -> None:
    scale = sorted((root / "xraygpt_edge" / "scale").glob("*.py"))
    users = [f.name for f in scale if any(n.split(".")[0] == "ray" for n in imports(f.read_text("utf-8")))]
    assert users == ["ray_pool.py"]


def test_rich_stays_in_the_console(root: Path) -> None:
    cli = sorted((root / "xraygpt_edge" / "cli").glob("*.py"))
    users = [f.name for f in cli if any(n.split(".")[0] == "rich" for n in imports(f.read_text("utf-8")))]
    assert users == ["console.py", "progress.py"]


def test_nothing_at_run_time_can_reach_a_network_or_needs_the_export_tools(root: Path) -> None:
    strays = [
        f"{file.name} imports {name}"
        for _, file in modules(root)
        for name in imports(file.read_text("utf-8"))
        if name.split(".")[0] in NOT_AT_RUN_TIME
    ]
    assert strays == []


def outward_names(source: str) -> set[str]:
    """Names of OUTWARDS that a module uses, however it came by them."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return names & OUTWARDS


def test_the_server_opens_no_connection_outwards(root: Path) -> None:
    serve = sorted((root / "xraygpt_edge" / "serve").rglob("*.py"))
    assert len(serve) > 10
    assert {file.name: found for file in serve if (found := outward_names(file.read_text("utf-8")))} == {}
    assert outward_names("import asyncio\nasync def f(): await asyncio.open_connection('h', 1)") == {"open_connection"}


def test_help_loads_nothing_of_the_server() -> None:
    owned = {library for library, owners in OWNERS.items() if owners == {"serve"}} - {"socket", "asyncio", "ssl"}
    code = (
        "import sys; from xraygpt_edge.cli import app; app.run(['serve', '--help']); "
        f"print(sorted(({owned!r} | {{'asyncio', 'ssl', 'xraygpt_edge.serve'}}) & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = {*OWNERS, *NOT_AT_RUN_TIME} - {"export"}
    code = f"import sys, xraygpt_edge, export; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, dict]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in requirements}


def test_no_extra_brings_both_builds_of_onnx_runtime(project: dict[str, dict]) -> None:
    extras = {extra: names(lines) for extra, lines in project["optional-dependencies"].items()}
    both = {"onnxruntime", "onnxruntime-gpu"}
    assert [extra for extra, found in extras.items() if both <= found] == []
    assert {extra for extra, found in extras.items() if both & found} == {"cpu", "cuda"}
    assert not both & names(project["dependencies"])


def test_the_version_heads_the_changelog(root: Path) -> None:
    headings = re.findall(r"^## (\S+)", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == xraygpt_edge.__version__


def pinned(root: Path) -> set[str]:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    return names([line for line in lines if "==" in line])


def test_every_dependency_has_its_licence_on_the_page(root: Path, project: dict[str, dict]) -> None:
    extras = project["optional-dependencies"].values()
    wanted = pinned(root).union(names(project["dependencies"]), *map(names, extras))
    page = (root / "docs" / "licences.md").read_text("utf-8").lower()
    assert [name for name in sorted(wanted) if not re.search(rf"(?<![\w-]){name}(?![\w-])", page)] == []


def test_what_users_and_developers_get_is_pinned(root: Path, project: dict[str, dict]) -> None:
    extras = [project["optional-dependencies"][extra] for extra in ("cpu", "evaluate", "export", "node", "ray", "dev")]
    wanted = names(project["dependencies"]).union(*map(names, extras))
    assert sorted(wanted - pinned(root)) == []


def test_links_in_the_papers_lead_somewhere(root: Path) -> None:
    dead = [
        f"{paper.relative_to(root)}: {link}"
        for paper in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
        for link in re.findall(r"\]\(([^)#\s]+)", paper.read_text("utf-8"))
        if "://" not in link and not (paper.parent / link).exists()
    ]
    assert dead == []


def test_what_the_papers_tell_to_make_can_be_made(root: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    papers = [root / "README.md", root / ".ci" / "run", *sorted((root / "docs").rglob("*.md"))]
    command = re.compile(r"(?:^|[`$;\"] ?| {4})make ([a-z-]+)", re.MULTILINE)
    told = {target for paper in papers for target in command.findall(paper.read_text("utf-8"))}
    assert told >= {"demo", "test", "wheel", "lint"}
    assert told <= targets


def written_files(root: Path) -> list[Path]:
    """Text files that git would keep, or all but hidden folders where there is no git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    listed = [root / name for name in done.stdout.split("\0") if name] if done.returncode == 0 else []
    kept = listed or [path for path in root.rglob("*") if "/." not in f"/{path.relative_to(root)}"]
    endings = {".py", ".js", ".css", ".sh", ".md", ".toml", ".txt", ".json", ".html", ".cfg", ".yml", ".yaml", ""}
    return [path for path in kept if path.suffix in endings and path.is_file()]


def test_no_text_names_a_registry_or_the_machine_it_was_written_on(root: Path) -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "/opt/" + "pypi", "download.py" + "torch")
    places = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/tmp/" + "bash_jobs")
    strays = [
        f"{file.relative_to(root)}: {word}"
        for file in written_files(root)
        for word in (*hosts, *places)
        if word in file.read_text("utf-8", "replace")
    ]
    assert strays == []


def test_no_text_holds_both_sides_of_a_conflict(root: Path) -> None:
    border = re.compile(rf"^(?:{'<' * 7}|{'>' * 7}) ", re.MULTILINE)
    files = written_files(root)
    assert [file.name for file in files if border.search(file.read_text("utf-8", "replace"))] == []


def test_the_wheel_holds_the_package_alone_and_the_demonstration(root: Path) -> None:
    hatch = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    bundle = {"models/demo": "xraygpt_edge/demo_bundle"}
    assert hatch["build"]["targets"]["wheel"] == {"packages": ["xraygpt_edge"], "force-include": bundle}


def test_the_licence_is_apache(root: Path) -> None:
    text = (root / "LICENSE").read_text("utf-8")
    assert "Apache License" in text[:200]
    assert "END OF TERMS AND CONDITIONS" in text
