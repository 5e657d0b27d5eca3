"""What the demonstration model knows: asked through the public API about DICOM files that training never saw.

Each pipeline gets the same files. Controls show that the answers come from the image: the same reports and
questions with the images exchanged among the cases, and with the images mirrored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.engine import EncodedImage

from .dicom_files import PACKINGS, write_picture
from .findings import LABELS, PLACED_LABELS, Case, mirrored, sample_case
from .phantoms import draw
from .pictures import label_table
from .texts import TOPICS, parse_labels, parse_yes, yes_no_question

TEST_SEEDS = range(20_000_000, 20_000_300)
"""Training used seeds below 10,000,000."""
REPORT_REQUEST = "Describe the given chest x-ray image in detail."
PER_TOPIC = 14
"""Cases with yes and with no for each yes/no topic: balanced, so guessing gives one half."""
PERMUTATIONS = 5
PIPELINES = {"ONNX fp32 + F16": ("fp32", "F16"), "ONNX int8 + quantized": ("int8", None)}
ANSWER = Sampling(max_tokens=160)

Asked: TypeAlias = tuple[EncodedImage, str]
AskAll = Callable[[Sequence[Asked]], list[str]]


@dataclass(frozen=True, slots=True)
class Question:
    """A yes/no question about one case, and the truth."""

    case: int
    text: str
    truth: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """One pipeline's results, each from 0 to 1."""

    f1: float
    """Macro over the labels, from the reports."""
    by_label: tuple[float, ...]
    yes_no: float
    f1_permuted: float
    """Reports held against other cases' truth."""
    yes_no_permuted: float
    mirrored_f1: float
    """Sided labels of mirrored images against the mirrored truth."""
    mirrored_f1_unswapped: float
    """The same against the truth before mirroring: low, when sides really swap."""


def evaluate(bundle: Path, checkpoints: Path) -> dict[str, Scores]:
    """Score every pipeline, print the table and return it. The torch pipeline needs the checkpoints."""
    with _written() as (cases, files, flipped):
        results = {}
        if (checkpoints / "xraygpt_checkpoint.pth").is_file():
            results["torch fp32"] = _torch_scores(cases, files, flipped, bundle, checkpoints)
        results |= {name: _bundle_scores(cases, files, flipped, bundle, name) for name in PIPELINES}
    _print(results, cases)
    return results


def score_bundle(bundle: Path, pipeline: str, seeds: Iterable[int] = TEST_SEEDS) -> Scores:
    """Score one of `PIPELINES` on phantoms."""
    with _written(seeds) as (cases, files, flipped):
        return _bundle_scores(cases, files, flipped, bundle, pipeline)


def _bundle_scores(
    cases: Sequence[Case], files: Sequence[Path], flipped: Sequence[Path], bundle: Path, pipeline: str
) -> Scores:
    vision, language = PIPELINES[pipeline]
    with XrayGPT.load(bundle, "cpu", threads=1, vision=vision, language=language) as model:
        seen, seen_flipped = ([model.encode(path) for path in paths] for paths in (files, flipped))
        return score(cases, seen, seen_flipped, _asking(model))


def score(cases: Sequence[Case], seen: Sequence[EncodedImage], flipped: Sequence[EncodedImage], ask: AskAll) -> Scores:
    """Ask for every report and every question, and for the controls."""
    truth, swapped = label_table(cases), label_table([mirrored(case) for case in cases])
    said = _labels(ask([(image, REPORT_REQUEST) for image in seen]))
    said_flipped = _labels(ask([(image, REPORT_REQUEST) for image in flipped]))
    questions = list(balanced_questions(cases))
    orders = list(_permutations(len(cases)))
    by_label = f1(said, truth)
    sided = [LABELS.index(label) for label in PLACED_LABELS]
    return Scores(
        f1=float(by_label.mean()),
        by_label=tuple(float(value) for value in by_label),
        yes_no=_accuracy(questions, seen, ask),
        f1_permuted=float(np.mean([f1(said[order], truth).mean() for order in orders])),
        yes_no_permuted=float(np.mean([_accuracy(questions, [seen[i] for i in order], ask) for order in orders])),
        mirrored_f1=float(f1(said_flipped, swapped)[sided].mean()),
        mirrored_f1_unswapped=float(f1(said_flipped, truth)[sided].mean()),
    )


def f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """F1 of each label, (13,), from tables (n, 13)."""
    both = (said & truth).sum(0)
    return 2 * both / np.maximum(1, said.sum(0) + truth.sum(0))


def balanced_questions(cases: Sequence[Case]) -> Iterator[Question]:
    """For each topic as many cases with yes as with no."""
    random = np.random.default_rng(7)
    for topic in TOPICS:
        for truth in (True, False):
            fitting = [number for number, case in enumerate(cases) if topic.holds(case) == truth]
            for number in random.choice(fitting, PER_TOPIC, replace=len(fitting) < PER_TOPIC):
                yield Question(int(number), yes_no_question(topic, random), truth)


def _accuracy(questions: Sequence[Question], seen: Sequence[EncodedImage], ask: AskAll) -> float:
    said = ask([(seen[q.case], q.text) for q in questions])
    return float(np.mean([parse_yes(text) == q.truth for text, q in zip(said, questions, strict=True)]))


def _permutations(count: int) -> Iterator[NDArray[np.int64]]:
    """Orders in which no image stays where it was: one cycle through all of them."""
    random = np.random.default_rng(11)
    for _ in range(PERMUTATIONS):
        cycle, order = random.permutation(count), np.empty(count, np.int64)
        order[cycle] = np.roll(cycle, 1)
        yield order


def _labels(texts: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[label in parse_labels(text) for label in LABELS] for text in texts], bool)


def _asking(model: XrayGPT) -> AskAll:
    return lambda asked: [model.ask(image, question, sampling=ANSWER).text for image, question in asked]


@contextmanager
def _written(seeds: Iterable[int] = TEST_SEEDS) -> Iterator[tuple[list[Case], list[Path], list[Path]]]:
    """The test cases, each as a DICOM file in all packings by turns, and once more mirrored."""
    cases = [sample_case(seed) for seed in seeds]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number:03}.dcm" for number in range(len(cases))]
        flipped = [path.with_stem(f"{path.stem}-mirrored") for path in files]
        for number, case in enumerate(cases):
            packing, values = PACKINGS[number % len(PACKINGS)], draw(case)
            write_picture(files[number], values, number, packing)
            write_picture(flipped[number], np.ascontiguousarray(values[:, ::-1]), number, packing)
        yield cases, files, flipped


def _torch_scores(
    cases: Sequence[Case], files: Sequence[Path], flipped: Sequence[Path], bundle: Path, checkpoints: Path
) -> Scores:
    from xraygpt_edge.bundle import load

    from .original import Original

    original = Original.load(checkpoints, "released" if load(bundle).manifest.kind == "released" else "paper")
    with _reading(bundle) as tensor_of:
        seen, seen_flipped = ([original.encode(tensor_of(path)) for path in paths] for paths in (files, flipped))
        return score(cases, seen, seen_flipped, original.ask_all)


@contextmanager
def _reading(bundle: Path) -> Iterator[Callable[[Path], NDArray[np.float32]]]:
    """A function from a file to the encoder's tensor, as the program reads it."""
    from xraygpt_edge.bundle import load
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.imaging.isolated import Reader
    from xraygpt_edge.imaging.preprocess import to_tensor

    recipe = load(bundle).manifest.image
    with Reader() as reader:
        yield lambda path: to_tensor(reader.read(path, ReadOptions()), recipe)


def _print(results: dict[str, Scores], cases: Sequence[Case]) -> None:
    table = Table("", *results, title=f"{len(cases)} phantoms that training never saw", title_justify="left")
    rows = {
        "report, macro F1": "f1",
        "yes/no, balanced accuracy": "yes_no",
        "images exchanged: F1": "f1_permuted",
        "images exchanged: yes/no": "yes_no_permuted",
        "images mirrored: F1 with sides swapped": "mirrored_f1",
        "images mirrored: F1 with sides as before": "mirrored_f1_unswapped",
    }
    for title, name in rows.items():
        table.add_row(title, *(f"{getattr(scores, name):.3f}" for scores in results.values()))
    table.add_section()
    positives = label_table(cases).sum(0)
    for column, label in enumerate(LABELS):
        values = (f"{scores.by_label[column]:.2f}" for scores in results.values())
        table.add_row(f"F1 {label} ({positives[column]})", *values)
    Console().print(table)
