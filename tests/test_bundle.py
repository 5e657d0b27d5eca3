"""A bundle is used only if it is what its manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import N_EMBD, N_HEAD, rounded_frequencies, write_bundle
from xraygpt_edge import bundle
from xraygpt_edge.bundle import store
from xraygpt_edge.bundle.manifest import json_schema
from xraygpt_edge.errors import BundleAltered, BundleIncompatible, NoBundle, UsageError, XrayGPTError
from xraygpt_edge.generation.answer import CleanUp

FILES = {
    "vision-int8.onnx": b"vision" * 50,
    "language-Q4_K_M.gguf": b"language" * 50,
    "LICENSES/NOTICE.txt": b"free",
}
ROLES = {"vision-int8.onnx": "vision", "language-Q4_K_M.gguf": "language", "LICENSES/NOTICE.txt": "licence"}

Edit = Callable[[dict[str, Any]], None]


def manifest() -> dict[str, Any]:
    return {
        "schema": 2,
        "id": "tiny",
        "kind": "medclip",
        "architecture": "llama",
        "n_image_tokens": 1,
        "n_embd": 256,
        "image": {"size_px": 224, "fit": "pad", "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        "prompt": {
            "default": "demo",
            "stop": ["###"],
            "templates": {"demo": {"before": "a", "after": "{question}", "follow_up": "{answer}{question}"}},
        },
        "files": [
            {
                "path": path,
                "role": ROLES[path],
                "precision": {"vision": "int8", "language": "Q4_K_M"}.get(ROLES[path]),
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for path, data in FILES.items()
        ],
    }


def write(root: Path, edit: Edit = lambda _: None) -> Path:
    """A bundle folder whose manifest was edited after it was right."""
    for path, data in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    facts = manifest()
    edit(facts)
    (root / "manifest.json").write_text(json.dumps(facts), "utf-8")
    return root


def test_an_intact_bundle_loads_and_has_no_problems(tmp_path: Path) -> None:
    opened = bundle.load(write(tmp_path / "tiny"))
    assert opened.manifest.id == "tiny"
    assert bundle.verify(opened) == []
    assert opened.file("language").precision == "Q4_K_M"


def test_every_single_flipped_bit_is_found_at_load(tmp_path: Path) -> None:
    root = write(tmp_path / "tiny")
    for path, intact in FILES.items():
        for offset in range(0, len(intact), 7):
            data = bytearray(intact)
            data[offset] ^= 1
            (root / path).write_bytes(data)
            with pytest.raises(BundleAltered, match="sha256"):
                bundle.load(root)
            (root / path).write_bytes(intact)
    assert bundle.load(root)


@pytest.mark.parametrize("path", FILES)
def test_a_missing_or_cut_file_is_named(tmp_path: Path, path: str) -> None:
    root = write(tmp_path / "tiny")
    (root / path).write_bytes(FILES[path][:-1])
    with pytest.raises(BundleAltered, match=path):
        bundle.load(root)
    (root / path).unlink()
    with pytest.raises(BundleAltered, match=f"{path} is missing"):
        bundle.load(root)


def test_a_file_that_the_manifest_does_not_list_is_found_by_verify(tmp_path: Path) -> None:
    root = write(tmp_path / "tiny")
    (root / "extra.bin").write_bytes(b"x")
    assert [str(problem) for problem in bundle.verify(bundle.opened(root))] == ["extra.bin is not in the manifest"]


def test_verify_tells_every_problem_and_not_only_the_first(tmp_path: Path) -> None:
    root = write(tmp_path / "tiny")
    (root / "vision-int8.onnx").unlink()
    (root / "language-Q4_K_M.gguf").write_bytes(FILES["language-Q4_K_M.gguf"][::-1])
    (root / "extra.bin").write_bytes(b"x")
    assert {problem.path for problem in bundle.verify(bundle.opened(root))} == {
        "vision-int8.onnx",
        "language-Q4_K_M.gguf",
        "extra.bin",
    }


def test_a_link_is_no_bundle_file(tmp_path: Path) -> None:
    root = write(tmp_path / "tiny")
    (root / "vision-int8.onnx").rename(tmp_path / "elsewhere.onnx")
    (root / "vision-int8.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleAltered, match="link"):
        bundle.load(root)


BAD_NAMES = [
    "../vision.onnx", "/etc/passwd", "a/../../b", "C:\\x", "a\\b", "", ".", "..", "a//b", ".hidden", "a\0b", "x" * 65,
    "caf\u00e9", "manifest.json", "a b", "-rf\n", "\\\\?\\C:",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_file_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    def rename(facts: dict[str, Any]) -> None:
        facts["files"][0]["path"] = name

    with pytest.raises(BundleAltered):
        bundle.load(write(tmp_path / "tiny", rename))


def break_field(*path: str | int, value: Any) -> Edit:
    def edit(facts: dict[str, Any]) -> None:
        *way, last = path
        place: Any = facts
        for step in way:
            place = place[step]
        place[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (break_field("schema", value=3), BundleIncompatible),
        (break_field("schema", value="2"), BundleIncompatible),
        (break_field("schema", value=True), BundleIncompatible),
        (break_field("schema", value=[2]), BundleIncompatible),
        (break_field("architecture", value="gemma2"), BundleIncompatible),
        (break_field("architecture", value=None), BundleAltered),
        (break_field("id", value="../x"), BundleAltered),
        (break_field("kind", value="../x"), BundleAltered),
        (break_field("n_image_tokens", value="many"), BundleAltered),
        (break_field("n_embd", value=0), BundleAltered),
        (break_field("n_ctx", value=-1), BundleAltered),
        (break_field("prompt", "clean_up", value={"own_names": "ChatDoctor"}), BundleAltered),
        (break_field("files", 0, "size", value=1.5), BundleAltered),
        (break_field("files", 0, "sha256", value="0"), BundleAltered),
        (break_field("files", 1, "path", value="VISION-INT8.onnx"), BundleAltered),
        (break_field("image", "fit", value="zoom"), BundleAltered),
        (break_field("image", "resample", value="nearest"), BundleAltered),
        (break_field("image", "pad_color", value=[0, 256, 0]), BundleAltered),
        (break_field("views", value=["sideways"]), BundleAltered),
        (break_field("prompt", value=None), BundleAltered),
    ],
)
def test_a_manifest_that_does_not_make_sense_is_refused(tmp_path: Path, edit: Edit, error: type[XrayGPTError]) -> None:
    with pytest.raises(error):
        bundle.load(write(tmp_path / "tiny", edit))


def as_schema_1(facts: dict[str, Any]) -> None:
    """The same manifest as version 0.1.0 wrote it."""
    facts["schema"] = 1
    facts["rows"], facts["width"] = facts.pop("n_image_tokens"), facts.pop("n_embd")
    del facts["architecture"]


def test_a_bundle_of_schema_1_says_the_same_in_todays_words(tmp_path: Path) -> None:
    old = bundle.load(write(tmp_path / "old", as_schema_1)).manifest
    new = bundle.load(write(tmp_path / "new")).manifest
    assert (old.schema, old.kind, old.architecture) == (1, "medclip", "llama")
    assert (old.n_image_tokens, old.n_embd, old.n_ctx) == (1, 256, 2048)
    assert (old.files, old.image, old.prompt.templates) == (new.files, new.image, new.prompt.templates)
    assert old.prompt.clean_up == CleanUp("Doctor:", ("ChatDoctor", "Chat Doctor"), "XrayGPT")
    assert new.prompt.clean_up == CleanUp()


def test_a_field_of_schema_1_that_does_not_make_sense_is_named_by_its_own_name(tmp_path: Path) -> None:
    def break_rows(facts: dict[str, Any]) -> None:
        as_schema_1(facts)
        facts["rows"] = "many"

    with pytest.raises(BundleAltered, match=r"\$\.rows"):
        bundle.load(write(tmp_path / "old", break_rows))


def test_a_family_that_this_version_never_heard_of_opens_when_its_fields_are_known(tmp_path: Path) -> None:
    words = {"role": "Assistant:", "own_names": ["Somebody"], "name": "it"}

    def edit(facts: dict[str, Any]) -> None:
        facts["kind"], facts["prompt"]["clean_up"] = "llava-rad", words

    manifest = bundle.load(write(tmp_path / "new", edit)).manifest
    assert manifest.kind == "llava-rad"
    assert manifest.prompt.clean_up == CleanUp("Assistant:", ("Somebody",), "it")


def test_the_published_json_schema_is_that_of_what_is_read(root: Path) -> None:
    """When it is not: python -m export schema > models/manifest.schema.json."""
    assert (root / "models/manifest.schema.json").read_bytes() == json_schema()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\ud800", "[" * 100_000, '{"schema": NaN}'])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    root = write(tmp_path / "tiny")
    (root / "manifest.json").write_text(text, "utf-8", errors="surrogatepass")
    with pytest.raises((BundleAltered, BundleIncompatible)):
        bundle.load(root)


def test_a_bundle_with_rounded_rotary_frequencies_is_told_with_the_remedy_and_still_opens(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "old", language={"more": rounded_frequencies()})
    opened = bundle.load(root)
    assert bundle.verify(opened) == []
    (warned,) = bundle.warnings(opened)
    assert "language-F32.gguf" in str(warned)
    assert "Export the bundle again" in str(warned)


def test_a_bundle_with_exact_rotary_frequencies_gives_no_warning(tmp_path: Path) -> None:
    ones = np.ones(N_EMBD // N_HEAD // 2, np.float32)  # what version 0.1.0 stored for a float32 original
    for number, language in enumerate(({}, {"more": {"rope_freqs.weight": ones}})):
        assert bundle.warnings(bundle.load(write_bundle(tmp_path / str(number), language=language))) == []


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NoBundle):
        bundle.load(tmp_path / "nowhere")


def test_a_precision_that_was_not_exported_is_named_with_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(BundleIncompatible, match="it has int8"):
        bundle.load(write(tmp_path / "tiny")).file("vision", "fp16")


def test_an_installed_bundle_is_whole_and_is_found_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    installed = store.install(write(tmp_path / "usb" / "tiny"), folder)
    assert bundle.verify(installed) == []
    assert store.find("tiny", folder) == folder / "tiny"
    assert store.installed(folder) == [folder / "tiny"]


def test_an_altered_bundle_is_not_installed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    root = write(tmp_path / "usb" / "tiny")
    (root / "extra.bin").write_bytes(b"x")
    with pytest.raises(BundleAltered):
        store.install(root, tmp_path / "store")
    assert store.installed(tmp_path / "store") == []


def test_an_installed_bundle_is_never_overwritten(tmp_path: Path) -> None:
    root = write(tmp_path / "usb" / "tiny")
    store.install(root, tmp_path / "store")
    with pytest.raises(UsageError):
        store.install(root, tmp_path / "store")


def test_of_several_installed_bundles_none_is_taken_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XRAYGPT_BUNDLE", raising=False)
    for name in ("a", "b"):
        store.install(write(tmp_path / name, break_field("id", value=name)), tmp_path / "store")
    with pytest.raises(UsageError, match="a, b"):
        store.find(None, tmp_path / "store")


def test_the_environment_names_the_bundle_when_no_option_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "usb" / "tiny")
    monkeypatch.setenv("XRAYGPT_BUNDLE", str(root))
    assert store.find(None, tmp_path / "store") == root
    with pytest.raises(NoBundle):
        store.find("another", tmp_path / "store")
