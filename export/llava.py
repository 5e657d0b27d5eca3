"""LLaVA's family: a vision transformer, two linear layers, and a language model; as LLaVA-Rad and LLaVA-Med publish it.

The names and numbers are those of microsoft/LLaVA-Rad @ 1fc4409 and microsoft/LLaVA-Med @ d406e3f.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from export import prompts, terms, vit
from export.checkpoints import Tensors, fill, load_tensors, take
from export.errors import ExportRefused
from export.image_path import ImageFacts, ImagePath, left_out_note
from export.low_rank import CONFIG as ADAPTER_CONFIG
from export.low_rank import adapter_file, read_adapter
from export.pipeline import Source
from export.released import CLIP_MEAN, CLIP_STD
from export.vicuna import Vicuna, find_shards, language_problems, open_vicuna, read_config
from xraygpt_edge.bundle import ImageRecipe, PromptRecipe

N_CTX = 4096
"""Most tokens of context where the files name no smaller number: what both language models began with."""
RAD_TOWER, RAD_TOWER_CONFIG = "biomedclipcxr_518_checkpoint.pt", "biomedclipcxr_518.json"
RAD_PROJECTOR = "non_lora_trainables.bin"
RAD_PREFIX, MED_PREFIX = "base_model.model.model.mm_projector.", "model.mm_projector."
MED_TOWER = "model.vision_tower."
MED_CLIP = f"{MED_TOWER}vision_tower.vision_model."
MED_COLOR = (122, 116, 104)
"""CLIP's mean colour in 8 bits, which upstream puts round a film."""
UNROUNDED = ("projector/projector.0", "projector/projector.2")
"""Of so many rows the worst decides. Of 4,107 rows of a LLaVA-Rad at full size with random weights its cosine is 0.9947
with the first product alone in fp32, 0.9976 with the second alone, and 0.99997 with both."""
HF_CLIP = "vision_model."
HF_CLIP_UNUSED = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")
PUBLISHED = {
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
}
"""What the image path is built for; another model would need another one."""
SHARED_FACTS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    *("vocab_size", "rms_norm_eps", "rope_theta"),
)
"""What LLaVA-Rad's folder and its language model's must agree on."""


class LlavaVision(nn.Module):
    """image (batch, 3, size, size) → rows (batch, patches, n_embd)."""

    def __init__(self, tower: vit.Dino | vit.Clip, n_embd: int) -> None:
        super().__init__()
        self.config = tower.config
        self.tower = tower
        width = tower.config.hidden_size
        self.projector = nn.Sequential(nn.Linear(width, n_embd), nn.GELU(), nn.Linear(n_embd, n_embd))

    def forward(self, image: Tensor) -> Tensor:
        """Look at the image, and speak the language model's width."""
        rows: Tensor = self.projector(self.tower(image))
        return rows


def rad(llava_rad: Path, vicuna: Path) -> Source:
    """LLaVA-Rad from its own folder and that of Vicuna-7B v1.5; raises ExportRefused with every problem found."""
    config, base, weights = read_config(llava_rad), read_config(vicuna), adapter_file(llava_rad)
    names = ("config.json", RAD_TOWER, RAD_TOWER_CONFIG, RAD_PROJECTOR, ADAPTER_CONFIG, weights.name)
    files = {name: llava_rad / name for name in names}
    found = {
        f"{llava_rad.name}/config.json": [*_image_problems(config, "square"), *language_problems(config)],
        f"{vicuna.name}/config.json": language_problems(base),
        f"{llava_rad.name}/config.json and {vicuna.name}/config.json": list(_differences(config, base)),
        f"{llava_rad.name}/{RAD_TOWER_CONFIG}": list(_tower_problems(files[RAD_TOWER_CONFIG])),
        llava_rad.name: [f"{name} is missing" for name, path in files.items() if not path.is_file()],
    }
    _require_none(found)
    return Source(
        {f"llava-rad/{name}": path for name, path in files.items()},
        partial(_rad_image, llava_rad),
        vicuna,
        open_language=partial(_adapted, llava_rad),
        language_name="LLaVA-Rad language model",
        n_ctx=N_CTX,
        prompt=_with_tokenizer(prompts.LLAVA_RAD, vicuna),
        terms=terms.LLAVA_RAD,
        views=("frontal",),
    )


def med(llava_med: Path, clip: Path | None = None) -> Source:
    """LLaVA-Med v1.5 from its folder, with the encoder that is in it; raises ExportRefused with every problem found.

    clip: OpenAI's encoder in Hugging Face's layout, which the published program loads instead.
    """
    config = read_config(llava_med)
    _require_none({f"{llava_med.name}/config.json": [*_image_problems(config, "pad"), *language_problems(config)]})
    files = {f"clip/{path.name}": path for path in [clip / "config.json", *find_shards(clip)]} if clip else {}
    return Source(
        files,
        partial(_med_image, llava_med, clip),
        llava_med,
        open_language=partial(open_vicuna, beside=(MED_TOWER, MED_PREFIX)),
        language_name="LLaVA-Med language model",
        n_ctx=config.get("tokenizer_model_max_length") or N_CTX,
        prompt=_with_tokenizer(prompts.LLAVA_MED, llava_med),
        terms=terms.LLAVA_MED,
    )


def _rad_image(folder: Path) -> ImagePath:
    tower = vit.dino(RAD_TOWER, load_tensors(folder / RAD_TOWER))
    size_px = json.loads((folder / RAD_TOWER_CONFIG).read_text("utf-8"))["vision_cfg"]["image_size"]
    if size_px != tower.module.config.image_size:
        found = f"{RAD_TOWER_CONFIG} says {size_px} px, the tensors of {RAD_TOWER} {tower.module.config.image_size} px"
        raise ExportRefused("The image encoder's files do not fit each other.", [found])
    recipe = ImageRecipe(size_px=size_px, fit="crop", mean=CLIP_MEAN, std=CLIP_STD)
    notes = left_out_note(RAD_TOWER, tower.unused)
    projector = _projector(RAD_PROJECTOR, load_tensors(folder / RAD_PROJECTOR), RAD_PREFIX)
    return _joined("llava-rad", tower, projector, recipe, notes)


def _med_image(folder: Path, clip: Path | None) -> ImagePath:
    found = _tensors(folder, (MED_TOWER, MED_PREFIX))
    own = {name: tensor for name, tensor in found.items() if name.startswith(MED_TOWER)}
    tower, notes = vit.clip(folder.name, own, MED_CLIP), ("the image encoder is the checkpoint's own",)
    if clip:
        other = _openai_clip(clip)
        notes = (f"the image encoder is the one of --clip, {_comparison(tower, other)} the checkpoint's own",)
        tower = other
    projector = _projector(folder.name, {n: t for n, t in found.items() if n.startswith(MED_PREFIX)}, MED_PREFIX)
    size_px = tower.module.config.image_size
    recipe = ImageRecipe(size_px=size_px, fit="pad-color", mean=CLIP_MEAN, std=CLIP_STD, pad_color=MED_COLOR)
    return _joined("llava-med", tower, projector, recipe, (*left_out_note(folder.name, tower.unused), *notes))


def _joined(kind: Any, tower: vit.Tower, projector: Tensors, recipe: ImageRecipe, notes: tuple[str, ...]) -> ImagePath:
    width = len(projector["projector.2.bias"])
    with torch.device("meta"):
        module = LlavaVision(tower.module, width)
    fill(module, {**{f"tower.{name}": tensor for name, tensor in tower.state.items()}, **projector})
    return ImagePath(module, ImageFacts(kind, recipe, tower.image_tokens, width, notes, UNROUNDED))


def _projector(source: str, found: Tensors, prefix: str) -> Tensors:
    names = [f"{layer}.{end}" for layer in (0, 2) for end in ("weight", "bias")]
    return take(source, found, {f"{prefix}{name}": f"projector.{name}" for name in names}, unused=()).state


def _tensors(folder: Path, beginnings: tuple[str, ...]) -> Tensors:
    """Those of a folder's shards whose names begin so; mapped, not read."""
    return {
        name: tensor
        for shard in find_shards(folder)
        for name, tensor in load_tensors(shard).items()
        if name.startswith(beginnings)
    }


def _openai_clip(folder: Path) -> vit.Tower:
    """The vision part of a CLIP in Hugging Face's layout."""
    config = read_config(folder)
    activation = config.get("vision_config", config).get("hidden_act", vit.QUICK_GELU)
    tensors = _tensors(folder, ("",))
    seen = {name: tensor for name, tensor in tensors.items() if not name.startswith(HF_CLIP_UNUSED)}
    return vit.clip(folder.name, seen, HF_CLIP, activation)


def _comparison(own: vit.Tower, other: vit.Tower) -> str:
    """Whether two encoders are the same but for rounding to bfloat16, in words."""
    same = own.state.keys() == other.state.keys() and all(
        torch.equal(tensor.bfloat16(), other.state[name].bfloat16()) for name, tensor in own.state.items()
    )
    return "equal (to bfloat16) to" if same else "which differs from"


def _adapted(llava_rad: Path, vicuna: Path) -> Vicuna:
    """The language model with the adapter's part added to each weight as it is read."""
    opened = open_vicuna(vicuna)
    return replace(opened, added=read_adapter(llava_rad, opened.shape))


def _with_tokenizer(recipe: PromptRecipe, folder: Path) -> PromptRecipe:
    """The prompt, with what the tokenizer does behind a control token: newer ones put no space there."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return msgspec.structs.replace(recipe, space_after_control=bool(settings.get("legacy", True)))


def _image_problems(config: Mapping[str, Any], aspect: str) -> Iterator[str]:
    for key, wanted in {**PUBLISHED, "image_aspect_ratio": aspect}.items():
        if config.get(key, False) != wanted:  # a switch that is left out is off
            yield f"{key} is {config.get(key)!r}, {wanted!r} is needed"


def _differences(config: Mapping[str, Any], base: Mapping[str, Any]) -> Iterator[str]:
    for key in SHARED_FACTS:
        one, other = config.get(key), base.get(key)
        if None not in (one, other) and one != other:
            yield f"{key} is {one!r} and {other!r}"


def _tower_problems(path: Path) -> Iterator[str]:
    """What makes the encoder's description another than that of a DINOv2."""
    if not path.is_file():
        return  # which is told of every file
    described = json.loads(path.read_text("utf-8")).get("vision_cfg", {})
    name = str(described.get("timm_model_name", ""))
    if "dinov2" not in name or "reg" in name:
        yield f"timm_model_name is {name!r}, a DINOv2 without registers is needed"
    if type(described.get("image_size")) is not int:
        yield f"image_size is {described.get('image_size')!r}"


def _require_none(found: Mapping[str, Sequence[str]]) -> None:
    """Raise ExportRefused with every problem of every file."""
    problems = [f"{where}: {problem}" for where, each in found.items() for problem in each]
    if problems:
        raise ExportRefused("These files are not a model that this exporter knows.", problems)
