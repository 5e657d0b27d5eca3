"""What upstream does, on the CPU: encoder, bridge and LLaMA in PyTorch, `generate` for one image at a time.

The weights are random numbers at the bundle's own shape: their values do not change how long a product takes.
Modules are those of the export, and transformers' LLaMA. Heavy imports stay inside the functions: the
program that starts the sides needs none of them.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.pairs import Raw
from xraygpt_edge.bundle import Manifest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from export.synthetic import Dimensions, Scale

NO_TWIN = "PyTorch was not measured: the shape of this bundle's models is not one that the export can draw"
SPREAD = 0.02
TILE = 1 << 22
"""Random numbers that are drawn; larger tensors repeat them."""
HEADROOM = 1.15
"""Memory for a model, as a multiple of its weights."""
PROBE_TOKENS = 4
WIDTHS: dict[int, Scale] = {4096: "full", 2048: "small", 256: "tiny"}
"""Width of the language model → the scale of `export.synthetic` that has this shape; Vicuna-7B's is `full`."""


def twin_scale(manifest: Manifest) -> Scale | None:
    """The random model of this bundle's shape; None where the export cannot draw one."""
    return None if manifest.demo else WIDTHS.get(manifest.n_embd)


def vision(kind: str, scale: Scale, size_px: int, threads: int, repetitions: int) -> Raw:
    """Seconds for one image, float32, eager."""
    import torch

    torch.set_num_threads(threads)
    module = _encoder(kind, _sizes(scale), torch.float32)
    image = torch.randn(1, 3, size_px, size_px)
    with torch.inference_mode():
        times_s = [_timed_s(lambda: module(image)) for _ in range(repetitions + 1)]
    return {"values": {"seconds": median(times_s[1:])}, "samples_s": times_s[1:]}


def answer(kind: str, scale: Scale, size_px: int, threads: int, lengths: list[int], images: int, tokens: int) -> Raw:
    """Seconds a radiograph in the fastest precision that fits, from tensor to token ids; loading is not counted.

    lengths: tokens before and behind the image. Exactly `tokens` are generated, greedy.
    """
    import torch

    torch.set_num_threads(threads)
    precisions = fitting(_sizes(scale))
    probed_s: dict[str, float] = {}
    if len(precisions) > 1:
        for precision in precisions:
            model = _Upstream(kind, _sizes(scale), getattr(torch, precision), size_px, lengths)
            model.answer(1)
            probed_s[precision] = model.answer(PROBE_TOKENS)
            del model
    fastest = min(precisions, key=lambda name: probed_s.get(name, 0.0))
    model = _Upstream(kind, _sizes(scale), getattr(torch, fastest), size_px, lengths)
    model.answer(1)  # warm
    each_s = [model.answer(tokens) for _ in range(images)]
    facts = {"precision": fastest, "probed_s": probed_s, "each_s": each_s, "tokens": tokens, "lengths": lengths}
    return {"values": {"seconds_per_radiograph": sum(each_s) / len(each_s)}, **facts}


def fitting(sizes: Dimensions) -> list[str]:
    """Precisions whose weights fit into the free memory; bfloat16 in any case."""
    import psutil

    llama = sizes.llama
    per_layer = 2 * llama.width * (llama.width + llama.kv_heads * llama.head_width) + 3 * llama.width * llama.mlp_width
    eye = sizes.eva
    per_block = 4 * eye.hidden_size**2 + 2 * eye.hidden_size * eye.intermediate_size
    count = llama.layers * per_layer + 2 * llama.vocabulary * llama.width + eye.num_hidden_layers * per_block
    fits = 4 * count * HEADROOM < psutil.virtual_memory().available
    return ["bfloat16", "float32"] if fits else ["bfloat16"]


class _Upstream:
    """Encoder and language model."""

    def __init__(self, kind: str, sizes: Dimensions, dtype: torch.dtype, size_px: int, lengths: list[int]) -> None:
        import torch

        self._encoder, self._llama = _encoder(kind, sizes, dtype), _language_model(sizes, dtype)
        self._image = torch.randn(1, 3, size_px, size_px, dtype=dtype)
        self._before, self._after = (torch.randint(3, sizes.llama.vocabulary, (1, length)) for length in lengths)

    def answer(self, tokens: int) -> float:
        """Seconds for one radiograph and exactly so many tokens."""
        import torch

        with torch.inference_mode():
            return _timed_s(lambda: self._generate(tokens))

    def _generate(self, tokens: int) -> torch.Tensor:
        import torch

        words = self._llama.get_input_embeddings()
        embedded = torch.cat((words(self._before), self._encoder(self._image), words(self._after)), dim=1)
        ids: torch.Tensor = self._llama.generate(
            inputs_embeds=embedded,
            attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
        return ids


def _sizes(scale: Scale) -> Dimensions:
    from export import synthetic

    return synthetic.dimensions(scale)


def _encoder(kind: str, sizes: Dimensions, dtype: torch.dtype) -> nn.Module:
    import torch

    from export import medclip, released

    width = sizes.llama.width
    if kind == "medclip":
        return medclip.MedClipVision(sizes.swin, sizes.projected, width).to(dtype).eval()
    with torch.device("meta"):
        module = released.ReleasedVision(sizes.eva, sizes.qformer, sizes.queries, width)
    return _drawn(module, dtype)


def _language_model(sizes: Dimensions, dtype: torch.dtype) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    shape = sizes.llama
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=shape.norm_eps,
        rope_theta=shape.rope_base,
    )
    with torch.device("meta"):
        module = LlamaForCausalLM(config)
    _drawn(module, dtype)
    module.model.rotary_emb = LlamaRotaryEmbedding(config)  # its table is no weight, and was lost with the meta device
    return module


def _drawn(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A module of the meta device with random weights in memory; norms have factors of one, as before training."""
    import torch

    module.to(dtype).to_empty(device="cpu")
    tile = torch.randn(TILE, dtype=torch.float32).mul_(SPREAD).to(dtype)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim == 1 and name.endswith("weight"):
                value.fill_(1)
            else:
                _fill(value, tile)
    return module.eval()


def _fill(value: torch.Tensor, tile: torch.Tensor) -> None:
    flat = value.view(-1)
    for start in range(0, len(flat), len(tile)):
        part = flat[start : start + len(tile)]
        part.copy_(tile[: len(part)])


def _timed_s(work: Any) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
