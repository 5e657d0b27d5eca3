"""The image path as ONNX: fp32 through optimum's exporter, then fp16 and int8 from it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the first import of onnxruntime, which optimum does

import onnx
import torch
from optimum.exporters.onnx import OnnxConfig, export
from optimum.utils import DummyInputGenerator, NormalizedVisionConfig

from export.image_path import ImagePath

PRECISIONS = ("fp32", "fp16", "int8")
OPSET = 18
PROTOBUF_MAX_BYTES = 2**31 - 2**20
"""protobuf cannot write more; a larger model keeps its weights in a second file."""
DATA_SUFFIX = "_data"


class ImageGenerator(DummyInputGenerator):
    """One made-up image of the right shape, for tracing."""

    SUPPORTED_INPUT_NAMES = ("image",)

    def __init__(self, _task: str, normalized_config: Any, **_kwargs: Any) -> None:
        self._size_px: int = normalized_config.image_size

    def generate(self, _input_name: str, framework: str = "pt", **_kwargs: Any) -> Any:
        """A batch of two, so that nothing in the graph takes the batch for one image."""
        shape = [2, 3, self._size_px, self._size_px]
        return self.random_float_tensor(shape, min_value=-2, max_value=2, framework=framework)


class RowsConfig(OnnxConfig):
    """What goes in and comes out; optimum has no configuration for BLIP-2's image path."""

    NORMALIZED_CONFIG_CLASS = NormalizedVisionConfig
    DUMMY_INPUT_GENERATOR_CLASSES: ClassVar[tuple[type, ...]] = (ImageGenerator,)

    def __init__(self, config: Any, names: Sequence[str]) -> None:
        super().__init__(config)
        self._names = names

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        """float32 (batch, 3, size, size)."""
        return {"image": {0: "batch"}}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        """float32 (batch, rows, n_embd), and what else the image path gives."""
        return {name: {0: "batch"} for name in self._names}


def export_fp32(path: ImagePath, target: Path) -> None:
    """Trace the image path into target; over 2 GiB, the weights go to target's _data file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with _quiet():
        export(path.module, RowsConfig(path.module.config, path.facts.outputs), target, opset=OPSET)
    model = onnx.load(target, load_external_data=False)
    _strip_trace(model)
    onnx.save(model, target)


def make_fp16(fp32: Path, target: Path) -> None:
    """Halve the weights; image and rows stay float32."""
    with _quiet():
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = onnx.load(fp32)
        halved = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)
        _save(halved, target)


def make_int8(fp32: Path, target: Path, unrounded: Sequence[str] = ()) -> None:
    """Quantize the matrix products' weights per channel, activations at run time; one file.

    Seven bits of the eight are used: on CPUs without VNNI, products of full 8-bit numbers
    saturate in pairs, and the same file would compute other rows than elsewhere.
    unrounded: layers, by their path in the trace, whose products stay as they are.
    """
    with _quiet():
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            fp32,
            target,
            nodes_to_exclude=_products_of(fp32, unrounded),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=False,
        )


def _products_of(fp32: Path, layers: Sequence[str]) -> list[str]:
    """Names of the matrix products of layers; a trace names each after the path of its layer."""
    beginnings = tuple(f"/{layer}/" for layer in layers)
    nodes = onnx.load(fp32, load_external_data=False).graph.node if layers else ()
    return [node.name for node in nodes if node.op_type == "MatMul" and node.name.startswith(beginnings)]


def files_of(target: Path) -> list[Path]:
    """The ONNX file, and the file of its weights if it has one."""
    data = target.with_name(target.name + DATA_SUFFIX)
    return [target, data] if data.is_file() else [target]


def _save(model: onnx.ModelProto, target: Path) -> None:
    if model.ByteSize() < PROTOBUF_MAX_BYTES:
        onnx.save(model, target)
        return
    name = target.name + DATA_SUFFIX
    target.with_name(name).unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(model, target, save_as_external_data=True, all_tensors_to_one_file=True, location=name)


def _strip_trace(model: onnx.ModelProto) -> None:
    """Drop what names this machine's folders: it is of no use, and changes from place to place."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn about every traced shape; ours are constant on purpose."""
    before: Mapping[str, int] = {name: logging.getLogger(name).level for name in ("", "optimum")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in before:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
