"""A language model that rewrites reports goes into a bundle that is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import write_bundle
from xraygpt_edge import bundle as bundles

pytestmark = pytest.mark.export
PROMPT = "###Report: {report}###Rewritten:"


@pytest.fixture
def vicuna(root: Path) -> Path:
    """A trained language model in the published layout."""
    return root / "examples" / "checkpoints" / "vicuna"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_a_rewriter_goes_into_a_bundle_and_all_else_in_it_stays(tmp_path: Path, vicuna: Path) -> None:
    from export import rewriter

    bundle = write_bundle(tmp_path / "tiny")
    before, files = bundles.load(bundle).manifest, contents(bundle)
    figures = rewriter.put(vicuna, bundle, PROMPT, "Q8_0", 2)
    after = bundles.load(bundle)
    assert after.rewriter is not None
    assert (after.rewriter.path, after.rewriter.precision) == ("rewriter-Q8_0.gguf", "Q8_0")
    assert after.manifest.prompt.rewrite == PROMPT
    assert tuple(file for file in after.manifest.files if file.role != "rewriter") == before.files
    assert {name: data for name, data in contents(bundle).items() if name in files} == files
    assert bundles.verify(after) == []
    assert figures["rewriter"]["F16"]["equal_ids"] == figures["rewriter"]["Q8_0"]["equal_ids"] == 1.0
    assert figures["rewriter"]["F16"]["mean_kl"] < 0.001


def test_another_rewriter_takes_the_place_of_the_first(tmp_path: Path, vicuna: Path) -> None:
    from export import rewriter

    bundle = write_bundle(tmp_path / "tiny")
    rewriter.put(vicuna, bundle, PROMPT, "Q8_0", 2)
    rewriter.put(vicuna, bundle, "Again: {report}", "F16", 2)
    assert [file.path for file in bundles.load(bundle).manifest.files if file.role == "rewriter"] == [
        "rewriter-F16.gguf"
    ]
    assert bundles.verify(bundles.opened(bundle)) == []


def test_a_rewriter_that_lost_something_on_the_way_is_refused_and_the_bundle_is_as_before(
    tmp_path: Path, vicuna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import language_gguf, rewriter
    from export.errors import GateMissed

    bundle = write_bundle(tmp_path / "tiny")
    manifest, files = (bundle / "manifest.json").read_bytes(), contents(bundle)
    monkeypatch.setattr(language_gguf, "rotary_order", lambda weight, _heads: weight)
    with pytest.raises(GateMissed):
        rewriter.put(vicuna, bundle, PROMPT, "Q8_0", 2)
    assert ((bundle / "manifest.json").read_bytes(), contents(bundle)) == (manifest, files)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize(("prompt", "precision"), [("no place for it", "Q8_0"), (PROMPT, "Q9")])
def test_a_prompt_without_a_place_and_an_unknown_precision_are_refused(
    tmp_path: Path, vicuna: Path, prompt: str, precision: str
) -> None:
    from export import rewriter
    from export.errors import ExportRefused
    from xraygpt_edge.errors import UsageError

    bundle = write_bundle(tmp_path / "tiny")
    with pytest.raises((ExportRefused, UsageError)):
        rewriter.put(vicuna, bundle, prompt, precision, 2)
    assert bundles.load(bundle).rewriter is None


def test_what_is_no_bundle_is_refused_and_nothing_is_written_there(tmp_path: Path, vicuna: Path) -> None:
    from export import rewriter
    from xraygpt_edge.errors import NoBundle

    with pytest.raises(NoBundle):
        rewriter.put(vicuna, tmp_path / "nowhere", PROMPT, "Q8_0", 2)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_of_another_precision_stays_when_one_is_entered(tmp_path: Path) -> None:
    from export.bundle_writer import enter

    bundle = write_bundle(tmp_path / "tiny")
    for name in ("one.npz", "two.npz", "two.npz"):
        (bundle / name).write_bytes(name.encode())
        enter(bundle, bundle / name, "profile")
    listed = [file.path for file in bundles.load(bundle).manifest.files if file.role == "profile"]
    assert listed == ["one.npz", "two.npz"]
    assert bundles.verify(bundles.opened(bundle)) == []
