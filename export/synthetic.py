"""Random weights in the published layouts: a model that says nothing, to measure a machine with.

Written file by file and shard by shard, so that making 16 GB takes about 2 GB of memory.
"""

from __future__ import annotations

import itertools
import json
import shutil
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import sentencepiece.sentencepiece_model_pb2 as layout
import torch
from torch import Tensor
from transformers import Blip2QFormerConfig, Blip2VisionConfig, SwinConfig

from export import medclip, released
from export.image_path import PROJECTOR
from export.pipeline import Source
from export.terms import RANDOM
from export.vicuna import LlamaShape, expected_shape, wanted_names

Kind = Literal["released", "medclip", "llava-rad", "llava-med", "medgemma"]
Scale = Literal["full", "small", "tiny"]

SPREAD = 0.02
"""Standard deviation of the weights, as in the models' own initialisation."""
SHARD_BYTES = 1 << 30
Shapes = dict[str, tuple[int, ...]]
LLAMA_CONTROL = (("<unk>", 2), ("<s>", 3), ("</s>", 3))
"""Text and SentencePiece's number of its kind: unknown, control, control."""
ADVICE = "random weights: every answer is noise"


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Sizes of one scale."""

    eva: Blip2VisionConfig
    qformer: Blip2QFormerConfig
    queries: int
    swin: SwinConfig
    projected: int
    llama: LlamaShape


FULL = Dimensions(
    eva=Blip2VisionConfig(),  # its defaults are ViT-g/14 with 39 blocks
    qformer=Blip2QFormerConfig(),
    queries=32,
    swin=SwinConfig(),  # its defaults are Swin-tiny
    projected=512,
    llama=LlamaShape(32, 4096, 32, 32, 128, 11008, 32000, 2048, 1e-6, 10000.0, tied=False),
)
SMALL = Dimensions(
    eva=Blip2VisionConfig(num_hidden_layers=9),  # the published blocks, fewer of them
    qformer=Blip2QFormerConfig(num_hidden_layers=4),
    queries=32,
    swin=SwinConfig(),
    projected=512,
    llama=LlamaShape(19, 2048, 16, 16, 128, 5632, 32000, 2048, 1e-6, 10000.0, tied=False),
)
"""1.1 billion language parameters, with Vicuna's size of heads: the same kind of work, in a quarter of the time."""
TINY = Dimensions(
    eva=Blip2VisionConfig(hidden_size=176, num_hidden_layers=3, num_attention_heads=2, intermediate_size=768),
    qformer=Blip2QFormerConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=512, encoder_hidden_size=176
    ),
    queries=32,
    swin=SwinConfig(embed_dim=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
    projected=512,
    llama=LlamaShape(3, 256, 4, 4, 64, 512, 600, 2048, 1e-6, 10000.0, tied=False),
)


def dimensions(scale: Scale) -> Dimensions:
    """The sizes of a scale."""
    return {"full": FULL, "small": SMALL, "tiny": TINY}[scale]


def make(kind: Kind, scale: Scale, seed: int, folder: Path) -> Source:
    """Write checkpoints of random numbers to folder, unless an earlier run has done so."""
    if kind in ("llava-rad", "llava-med"):
        from export import synthetic_llava  # which draws its tensors as this module does

        return synthetic_llava.make(kind, synthetic_llava.SIZES[kind][scale], seed, folder)
    if kind == "medgemma":
        from export import synthetic_medgemma

        return synthetic_medgemma.make(synthetic_medgemma.SIZES[scale], seed, folder)
    sizes = dimensions(scale)
    done = folder / f"{kind}-{scale}-{seed}.done"
    if not done.is_file():
        remove(folder)
        folder.mkdir(parents=True)
        random = torch.Generator().manual_seed(seed)
        _write_image_files(kind, sizes, folder, random)
        write_language(sizes.llama, folder / "vicuna", random)
        done.touch()
    vicuna, notes = folder / "vicuna", (ADVICE,)
    if kind == "released":
        files = {"eva": folder / "eva.pth", "blip2": folder / "blip2.pth", "checkpoint": folder / "checkpoint.pth"}
        load = partial(released.load, released.Files(**files), sizes.eva.num_hidden_layers)
        return Source(files, load, vicuna, terms=RANDOM, notes=notes)
    files = {"medclip": folder / "medclip.bin", "checkpoint": folder / "checkpoint.pth"}
    return Source(files, partial(medclip.load, medclip.Files(**files)), vicuna, terms=RANDOM, notes=notes)


def remove(folder: Path) -> None:
    """Delete the random checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)


def _write_image_files(kind: Kind, sizes: Dimensions, folder: Path, random: torch.Generator) -> None:
    with torch.device("meta"):
        module = (
            released.ReleasedVision(sizes.eva, sizes.qformer, sizes.queries, sizes.llama.width)
            if kind == "released"
            else medclip.MedClipVision(sizes.swin, sizes.projected, sizes.llama.width)
        )
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    files = _released_files(sizes, shapes) if kind == "released" else _medclip_files(shapes)
    for name, wanted in files.items():
        tensors = {theirs: random_tensor(theirs, shape, random) for theirs, shape in wanted.items()}
        torch.save(tensors if name in ("eva.pth", "medclip.bin") else {"model": tensors}, folder / name)


def _released_files(sizes: Dimensions, shapes: Shapes) -> dict[str, Shapes]:
    biases = {f"{end}_bias": (sizes.eva.hidden_size,) for end in ("q", "v")}
    eva = {
        theirs: biases[end] if (end := theirs.rsplit(".", 1)[-1]) in biases else shapes[ours]
        for theirs, ours in released.eva_names(sizes.eva.num_hidden_layers).items()
    }
    names = released.bridge_names(sizes.qformer.num_hidden_layers, sizes.qformer.cross_attention_frequency)
    bridge = {theirs: shapes[ours] for theirs, ours in names.items()}
    return {"eva.pth": eva, "blip2.pth": bridge, "checkpoint.pth": _projector(shapes)}


def _medclip_files(shapes: Shapes) -> dict[str, Shapes]:
    encoder = {
        f"{medclip.PREFIX}{name.removeprefix('encoder.')}": shape
        for name, shape in shapes.items()
        if name.startswith("encoder.") and not name.endswith(medclip.INDEX)
    }
    encoder["vision_model.projection_head.weight"] = shapes["projection.weight"]
    return {"medclip.bin": encoder, "checkpoint.pth": _projector(shapes)}


def _projector(shapes: Shapes) -> Shapes:
    return {theirs: shapes[ours] for theirs, ours in PROJECTOR.items()}


def random_tensor(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """float16 weights; a norm's factors are one, as in a model before training."""
    if len(shape) == 1 and name.endswith("weight"):
        return torch.ones(shape, dtype=torch.float16)
    return (torch.randn(shape, generator=random) * SPREAD).half()


def write_language(
    shape: LlamaShape,
    folder: Path,
    random: torch.Generator,
    facts: Mapping[str, object] = MappingProxyType({}),
    beside: Shapes | None = None,
) -> None:
    """A language model's folder. facts: more of its config.json. beside: tensors that are not the language model's."""
    folder.mkdir()
    shapes = {name: expected_shape(name, shape) for name in wanted_names(shape)} | (beside or {})
    write_shards(shapes, folder, lambda name, each: random_tensor(name, each, random))
    (folder / "config.json").write_text(json.dumps({**language_config(shape), **facts}))
    (folder / "tokenizer.model").write_bytes(tokenizer(shape.vocabulary, LLAMA_CONTROL).SerializeToString())


def write_shards(shapes: Shapes, folder: Path, draw: Callable[[str, tuple[int, ...]], Tensor]) -> None:
    """Tensors in files of about a gigabyte, and the index that names them."""
    homes: dict[str, str] = {}
    for number, names in enumerate(_shards(shapes), start=1):
        shard = f"pytorch_model-{number:05d}.bin"
        torch.save({name: draw(name, shapes[name]) for name in names}, folder / shard)
        homes |= dict.fromkeys(names, shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": homes}))


def language_config(shape: LlamaShape) -> dict[str, object]:
    """What config.json says of a language model."""
    return {
        "model_type": "llama",
        "hidden_act": "silu",
        "torch_dtype": "float16",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_base,
    }


def _shards(shapes: Shapes) -> Iterator[list[str]]:
    """Names of tensors, about a gigabyte at a time."""
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        names.append(name)
        size += 2 * torch.Size(shape).numel()
        if size > SHARD_BYTES:
            yield names
            names, size = [], 0
    if names:
        yield names


def tokenizer(vocabulary: int, first: Sequence[tuple[str, int]]) -> Any:
    """A SentencePiece model with LLaMA's rules: bytes, characters, and made-up pieces of two and three.

    first: the first tokens and their kinds.
    """
    proto = layout.ModelProto()  # type: ignore[attr-defined]  # made at import
    proto.trainer_spec.model_type = 2  # BPE
    proto.trainer_spec.byte_fallback = True
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.remove_extra_whitespaces = False
    for text, kind in first:
        proto.pieces.add(piece=text, score=0.0, type=kind)
    for byte in range(256):
        proto.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=6)
    for rank, text in enumerate(itertools.islice(_pieces(), vocabulary - len(proto.pieces))):
        proto.pieces.add(piece=text, score=-float(rank), type=1)
    return proto


def _pieces() -> Iterable[str]:
    letters = "▁" + string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
    for length in (1, 2, 3):
        yield from map("".join, itertools.product(letters, repeat=length))
