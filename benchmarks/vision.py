"""One image through the encoder: each ONNX file of the bundle, and PyTorch with random weights of the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import child
from benchmarks.pairs import Contest, Measure, Metric, Side
from benchmarks.task import Task
from benchmarks.upstream import NO_TWIN, twin_scale
from xraygpt_edge.loading import VISION_FOR

METRIC = Metric("seconds", "one image", "s", higher_is_better=False)


def contests(task: Task) -> Iterator[Contest]:
    """Ours is the encoder that the program takes by itself; the others are its peers."""
    there = {entry.precision: entry for entry in task.opened.manifest.files if entry.role == "vision"}
    precisions = [precision for precision in VISION_FOR["cpu"] if precision in there]
    sides = [Side(f"ONNX {precision}", onnx(task, precision)) for precision in precisions]
    scale = twin_scale(task.opened.manifest)
    if scale:
        sides.append(Side("PyTorch eager fp32", partial(torch_eager, task, scale)))
    yield Contest("vision", (METRIC,), tuple(sides), () if scale else (NO_TWIN,))


def onnx(task: Task, precision: str) -> Measure:
    """An encoder file of the bundle, in ONNX Runtime."""
    return lambda: child.call(
        "ours.vision",
        path=str(task.opened.path_of(task.opened.file("vision", precision))),
        size_px=task.opened.manifest.image.size_px,
        threads=task.threads,
        repetitions=task.sizes.encoded,
    )


def torch_eager(task: Task, scale: str) -> dict[str, object]:
    """The same layers in PyTorch."""
    found: dict[str, object] = child.call(
        "upstream.vision",
        kind=task.opened.manifest.kind,
        scale=scale,
        size_px=task.opened.manifest.image.size_px,
        threads=task.threads,
        repetitions=task.sizes.encoded,
    )
    return found
