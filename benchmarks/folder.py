"""A folder of radiographs: `batch`, beside one `ask` after another, beside what upstream does in PyTorch."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.pictures import draw_folder
from benchmarks.task import Task
from benchmarks.upstream import NO_TWIN, twin_scale

QUESTION = "Take a look at this chest x-ray and describe the findings and impression."
METRIC = Metric("seconds_per_radiograph", "a radiograph of a folder", "s", higher_is_better=False)
NOTES = (
    "batch: process start, loading, reading, encoding, answering and the records on disk, by the number of radiographs",
    "ask: XrayGPT.load, then ask for some of the files in the same process; loading counts once for the whole folder",
    "PyTorch: from the tensor to token ids; loading, reading and text do not count; same prompt length, all tokens",
)


def contests(task: Task) -> Iterator[Contest]:
    """One contest; the pictures are drawn once and go with it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(task, Path(scratch))
        sides = [Side("batch", folder.batch), Side("ask", folder.ask)]
        scale = twin_scale(task.opened.manifest)
        if scale:
            rounds = task.sizes.upstream_rounds
            sides.append(Side("PyTorch + transformers", lambda: folder.upstream(scale), rounds))
        notes = (f"{task.sizes.images} radiographs, answers of {task.sizes.answer_tokens} tokens", *NOTES)
        yield Contest("folder", (METRIC,), tuple(sides), notes if scale else (*notes, NO_TWIN))


class Folder:
    """Drawn radiographs, and the ways to have them answered."""

    def __init__(self, task: Task, scratch: Path) -> None:
        self._task, self._scratch, self._runs = task, scratch, 0

    @cached_property
    def files(self) -> list[Path]:
        """Drawn when they are first needed."""
        return draw_folder(self._scratch / "films", self._task.sizes.images, self._task.sizes.image_px)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of the prompt before and behind the image."""
        found: list[int] = child.call("ours.prompt_lengths", bundle=str(self._task.bundle), question=QUESTION)
        return found

    def batch(self) -> Raw:
        """The command, as a user types it."""
        films, self._runs = self.files[0].parent, self._runs + 1
        out = self._scratch / f"answers-{self._runs}"
        command = [sys.executable, "-m", "xraygpt_edge", "batch", str(films), "--out", str(out), "--question", QUESTION]
        command += ["--bundle", str(self._task.bundle), "--device", "cpu", "--threads", str(self._task.threads)]
        command += ["--max-tokens", str(self._task.sizes.answer_tokens), "--quiet"]
        began_s = time.perf_counter()
        child.run(command)
        took_s = time.perf_counter() - began_s
        return {**batch_facts(out), "values": {METRIC.name: took_s / len(self.files)}, "took_s": took_s}

    def ask(self) -> Raw:
        """The same files through the public class, in one process."""
        found: Raw = child.call(
            "ours.ask_all",
            bundle=str(self._task.bundle),
            files=[str(file) for file in self.files[: self._task.sizes.asked]],
            images=len(self.files),
            question=QUESTION,
            tokens=self._task.sizes.answer_tokens,
            threads=self._task.threads,
        )
        return found

    def upstream(self, scale: str) -> Raw:
        """PyTorch, on fewer images."""
        found: Raw = child.call(
            "upstream.answer",
            kind=self._task.opened.manifest.kind,
            scale=scale,
            size_px=self._task.opened.manifest.image.size_px,
            threads=self._task.threads,
            lengths=self.lengths,
            images=self._task.sizes.upstream_images,
            tokens=self._task.sizes.answer_tokens,
        )
        return found


def batch_facts(out: Path) -> Raw:
    """What a finished batch says about itself: lengths of answers, where time went, how it used memory."""
    records = [json.loads(line) for line in (out / "records.jsonl").read_text("utf-8").splitlines()]
    answers = [record for record in records if record.get("status") == "ok"]
    return {
        "answers": len(answers),
        "tokens": [answer["timing"]["tokens"] for answer in answers],
        "ended_early": sum(answer["finish_reason"] != "length" for answer in answers),
        "memory": answers[0]["engine"]["memory"] if answers else None,
        "busy_s": json.loads((out / "summary.json").read_text("utf-8"))["last_run"]["busy"],
    }
