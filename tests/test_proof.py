"""`bundle prove`: a bundle that computes something else on this computer is told, and why; no torch is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from gguf import GGUFReader
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image

from xraygpt_edge import bundle as bundles
from xraygpt_edge.errors import BundleAltered, BundleIncompatible, UnusableOutput
from xraygpt_edge.files import sha256_of
from xraygpt_edge.proof import prove, receipts


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "xraygpt_edge", *words], capture_output=True, text=True, timeout=120)


def exchanged(demo: Path, folder: Path, precisions: tuple[str, ...], change: Callable[[Path], None]) -> Path:
    """A copy of the demonstration with these files changed, and a manifest that knows them as they are now."""
    copy = shutil.copytree(demo, folder / "copy")
    raw = json.loads((copy / bundles.MANIFEST).read_bytes())
    for entry in raw["files"]:
        if entry.get("precision") in precisions:
            path = copy / entry["path"]
            change(path)
            entry.update(size=path.stat().st_size, sha256=sha256_of(path))
    (copy / bundles.MANIFEST).write_text(json.dumps(raw), "utf-8")
    assert bundles.verify(bundles.load(copy)) == []
    return copy


def full_range(int8: Path) -> None:
    """The encoder again from its fp32 file, with all eight bits: it saturates on some CPUs."""
    fp32 = int8.with_name("vision-fp32.onnx")
    kind = {"per_channel": True, "reduce_range": False, "weight_type": QuantType.QInt8}
    quantize_dynamic(fp32, int8, op_types_to_quantize=["MatMul"], **kind)


def turned_frequencies(language: Path) -> None:
    field = GGUFReader(language, "r+").get_field("llama.rope.freq_base")
    field.parts[field.data[0]][0] *= 1.5


def unpermuted(language: Path) -> None:
    """q and k of each head in the order of the original's file: halves of a pair side by side."""
    for tensor in GGUFReader(language, "r+").tensors:
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            rows = tensor.data.reshape(4, 32, 2, -1)
            tensor.data[:] = rows.swapaxes(1, 2).reshape(tensor.data.shape).copy()


def noisy(vision: Path) -> None:
    """One weight in a hundred of the encoder a little larger."""
    model = onnx.load(vision)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            values = onnx.numpy_helper.to_array(tensor).copy()
            values.flat[::100] *= 1.01
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, vision)


def test_the_demonstration_computes_here_what_the_exporter_measured(demo):
    proof = prove(demo, threads=2)
    assert proof.problems == ()
    assert set(proof.figures) == {"vision", "language", "together"}
    proof.require()


@pytest.mark.parametrize(
    ("precisions", "change", "reason"),
    [
        (("int8",), full_range, "its pictures reach"),
        (("fp32",), noisy, "its pictures reach"),
        (("Q8_0",), turned_frequencies, "its language model"),
        (("F16",), unpermuted, "its language model"),
    ],
)
def test_a_file_that_computes_something_else_is_told_though_its_hash_is_right(
    demo, tmp_path, precisions, change, reason
):
    proof = prove(exchanged(demo, tmp_path, precisions, change), threads=2)
    assert {problem.split(":")[0].split(" ", 1)[1] for problem in proof.problems} & set(precisions)
    assert reason in proof.reason
    with pytest.raises(UnusableOutput, match=reason):
        proof.require()


def test_pictures_that_are_resized_in_another_way_are_told(demo, monkeypatch):
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, size, *_, **__: resize(self, size, Image.Resampling.BILINEAR)
    )
    assert "its pictures reach" in prove(demo, threads=2).reason


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_receipts_that_are_none_are_refused_and_nothing_is_computed(demo, tmp_path, data):
    copy = shutil.copytree(demo, tmp_path / "copy")
    (copy / "receipts.npz").write_bytes(data)
    with pytest.raises(BundleIncompatible, match=r"receipts\.npz"):
        receipts.load(copy / "receipts.npz")
    assert run("bundle", "prove", str(copy)).returncode == 12  # the manifest knows them as they were


def test_a_bundle_with_one_turned_bit_is_not_proved_but_refused(demo, tmp_path):
    copy = shutil.copytree(demo, tmp_path / "copy")
    with (copy / "language-Q8_0.gguf").open("r+b") as stream:
        stream.seek(-1000, 2)
        stream.write(b"\x55")
    with pytest.raises(BundleAltered):
        prove(copy, threads=1)


def test_the_command_says_what_it_found_and_ends_with_18_where_it_is_something_else(demo, tmp_path):
    good = run("bundle", "prove", str(demo), "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["holds"] is True
    bad = run("bundle", "prove", str(exchanged(demo, tmp_path, ("Q8_0",), turned_frequencies)))
    assert bad.returncode == 18
    assert "the exporter measured" in bad.stdout
    assert "E-RUN-034" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_proving_needs_nothing_of_the_exporter():
    code = "import sys, xraygpt_edge.proof; print([n for n in ('torch', 'export', 'onnx', 'gguf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_figure_that_is_no_number_is_never_near_enough(demo):
    from xraygpt_edge.proof.gates import strays

    recorded = msgspec.to_builtins(bundles.load(demo).manifest.parity)
    found = {"language": {"Q8_0": {"mean_kl": float("nan")}}}
    assert len(strays(found, recorded)) == 1
    assert np.isnan(found["language"]["Q8_0"]["mean_kl"])
