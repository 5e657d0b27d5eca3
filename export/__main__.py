"""`python -m export`: checkpoints into bundles. A command parses, calls, and shows one result."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from export.console import refusals, show, show_goals, words
from xraygpt_edge.devices import usable_cpus
from xraygpt_edge.text import decoded, escape_unencodable

if TYPE_CHECKING:
    from export.pipeline import Source

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

VISION = "fp32,fp16,int8"
LANGUAGE = "F16,Q8_0,Q5_K_M,Q4_K_M"
DEMO_CHECKPOINTS = Path("build/demo-checkpoints")
DEMO_REWRITER = Path("build/demo-rewriter")
EXAMPLE_CHECKPOINTS = Path("examples/checkpoints")
GATE = Path("xraygpt_edge/imaging/gate")

Out = Annotated[Path, typer.Option(help="Folder of the bundle; must not exist yet.")]
Vicuna = Annotated[Path, typer.Option(help="Folder of the language model, in Hugging Face's layout.")]
Checkpoint = Annotated[Path, typer.Option(help="XrayGPT's own checkpoint: the projector.")]
Vision = Annotated[str, typer.Option(help="Encoder precisions: fp32, fp16, int8, with commas.")]
Language = Annotated[str, typer.Option(help="Language precisions: F32, F16, Q8_0, ... Q2_K, with commas.")]
Questions = Annotated[
    Path | None, typer.Option(help="Upstream's prompts/alignment.txt: the questions that people are offered.")
]
Name = Annotated[str | None, typer.Option(help="The bundle's id; the folder's name without it.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores without it.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
Bundle = Annotated[Path, typer.Argument(help="Folder of a bundle.")]


@app.callback()
def describe() -> None:
    """Turn XrayGPT's checkpoints into bundles that run without PyTorch, and bundles into kits to carry away."""


@app.command()
def released(  # noqa: PLR0913, PLR0917 - a command has as many parameters as options
    eva: Annotated[Path, typer.Option(help="EVA-CLIP ViT-g: eva_vit_g.pth.")],
    blip2: Annotated[Path, typer.Option(help="BLIP-2's Q-Former: blip2_pretrained_flant5xxl.pth.")],
    checkpoint: Checkpoint,
    vicuna: Vicuna,
    out: Out,
    vision: Vision = VISION,
    language: Language = LANGUAGE,
    name: Name = None,
    questions: Questions = None,
    threads: Threads = None,
    vision_depth: Annotated[
        int | None, typer.Option(help="EVA blocks to use; without it 39 at width 1408, else all.")
    ] = None,
) -> None:
    """Export the model as it was released: EVA-CLIP, Q-Former, projector, Vicuna."""
    from export import prompts
    from export import released as layout
    from export.pipeline import Source

    files = {"eva": eva, "blip2": blip2, "checkpoint": checkpoint}
    load = partial(layout.load, layout.Files(**files), vision_depth)
    prompt = prompts.with_questions(questions)
    source = Source(files, load, vicuna, options=f"vision depth {vision_depth}", prompt=prompt)
    _export(source, out, vision, language, name, threads)


@app.command()
def medclip(  # noqa: PLR0913, PLR0917 - a command has as many parameters as options
    medclip: Annotated[Path, typer.Option(help="MedCLIP's Swin: medclip-vit/pytorch_model.bin.")],
    checkpoint: Checkpoint,
    vicuna: Vicuna,
    out: Out,
    vision: Vision = VISION,
    language: Language = LANGUAGE,
    name: Name = None,
    questions: Questions = None,
    threads: Threads = None,
) -> None:
    """Export the model as the paper draws it: MedCLIP, projector, Vicuna."""
    from export import medclip as layout
    from export import prompts
    from export.pipeline import Source

    files = {"medclip": medclip, "checkpoint": checkpoint}
    load = partial(layout.load, layout.Files(**files))
    source = Source(files, load, vicuna, prompt=prompts.with_questions(questions))
    _export(source, out, vision, language, name, threads)


@app.command()
def llava_rad(
    llava_rad: Annotated[Path, typer.Option(help="Folder of LLaVA-Rad: adapter, projector, image encoder.")],
    vicuna: Annotated[Path, typer.Option(help="Folder of Vicuna-7B v1.5, which the adapter is added to.")],
    out: Out,
    vision: Vision = VISION,
    language: Language = LANGUAGE,
    name: Name = None,
    threads: Threads = None,
) -> None:
    """Export LLaVA-Rad: findings of a frontal film, with the reason for the exam."""
    from export import llava

    with refusals():
        source = llava.rad(llava_rad, vicuna)
    _export(source, out, vision, language, name, threads)


@app.command()
def llava_med(
    llava_med: Annotated[Path, typer.Option(help="Folder of llava-med-v1.5-mistral-7b.")],
    out: Out,
    clip: Annotated[
        Path | None, typer.Option(help="OpenAI's CLIP ViT-L/14 336, instead of the encoder in the checkpoint.")
    ] = None,
    vision: Vision = VISION,
    language: Language = LANGUAGE,
    name: Name = None,
    threads: Threads = None,
) -> None:
    """Export LLaVA-Med v1.5: questions about any medical picture."""
    from export import llava

    with refusals():
        source = llava.med(llava_med, clip)
    _export(source, out, vision, language, name, threads)


@app.command()
def medgemma(
    medgemma: Annotated[Path, typer.Option(help="Folder of MedGemma 4B, instruction-tuned, 1 or 1.5.")],
    out: Out,
    gguf: Annotated[
        Path | None, typer.Option(help="The language model as a GGUF file that is there already; taken as it is.")
    ] = None,
    vision: Vision = VISION,
    language: Annotated[
        str | None, typer.Option(help=f"Language precisions; {LANGUAGE}, or that of --gguf, without it.")
    ] = None,
    name: Name = None,
    threads: Threads = None,
) -> None:
    """Export MedGemma: describes medical pictures, answers questions; not for research alone."""
    from export import medgemma as layout

    with refusals():
        source = layout.source(medgemma, gguf)
    _export(source, out, vision, language or (source.ready[0] if source.ready else LANGUAGE), name, threads)


@app.command()
def demo(  # noqa: PLR0913 - a command has as many parameters as options
    out: Out,
    seed: Seed = 0,
    checkpoints: Annotated[
        Path, typer.Option(help="Where the trained checkpoints are, or will be.")
    ] = DEMO_CHECKPOINTS,
    vision: Vision = "int8,fp32",
    language: Language = "Q8_0,F16",
    threads: Threads = None,
    *,
    form: Annotated[
        Literal["paper", "released"], typer.Option(help="paper: one row an image. released: 32 rows of a Q-Former.")
    ] = "paper",
    trained: Annotated[bool, typer.Option("--trained", help="Export checkpoints that are there; no training.")] = False,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Measure the bundle on phantoms never seen.")] = False,
) -> None:
    """Train the demonstration model on drawn phantoms; export it by the code that exports the real one."""
    from export import demo as trainer

    with refusals():
        if not trained:
            trainer.train(checkpoints, seed, form)
    source = trainer.source(checkpoints, form)
    _export(source, out, vision, language, "demo" if form == "paper" else f"demo-{form}", threads)
    if evaluate:
        trainer.evaluate(out, checkpoints)


@app.command()
def evaluate_demo(
    bundle: Bundle = Path("models/demo"),
    checkpoints: Annotated[
        Path, typer.Option(help="The same model in PyTorch, to compare with.")
    ] = EXAMPLE_CHECKPOINTS,
) -> None:
    """Measure the demonstration bundle on phantoms that it never saw."""
    from export import demo as trainer

    trainer.evaluate(bundle, checkpoints)


@app.command()
def trust_profile(bundle: Bundle = Path("models/demo")) -> None:
    """Measure the demonstration's trust profile on 1,200 phantoms and put it into the bundle: about 8 minutes."""
    from export import trust_profile as profiles

    with refusals():
        head = profiles.write(bundle).head
    words.print(f"{bundle / profiles.FILE}: {head.films} films, {len(head.places)} findings.")


@app.command()
def evaluate_trust(bundle: Bundle = Path("models/demo")) -> None:
    """Measure the trust profile on 760 other phantoms, beside its goals: about 6 minutes."""
    from export import trust_profile as profiles

    with refusals():
        show_goals(profiles.evaluate(bundle))


@app.command()
def evaluate_summaries() -> None:
    """Hold `summarize` against the truth of 5,000 synthetic reports, beside its goals: about a minute."""
    from export.demo import report_evaluation

    scores = report_evaluation.evaluate()
    report_evaluation.show(scores)
    raise typer.Exit(bool(report_evaluation.missed(scores)))


@app.command()
def rewriter(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a language model, in Hugging Face's layout.")],
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle that it goes into.")],
    prompt: Annotated[Path, typer.Option(help="File with its words around a report, and {report} in them.")],
    language: Annotated[str, typer.Option(help="Its precision: F16, Q8_0, ... Q2_K.")] = "Q8_0",
    threads: Threads = None,
) -> None:
    """Put a language model that rewrites reports into a bundle: what `summarize --mode rewrite` asks."""
    from export import rewriter as rewriters
    from xraygpt_edge.proof import table

    with refusals():
        words_around = decoded(prompt.read_bytes(), "--prompt")
        show(table.tables(rewriters.put(checkpoint, bundle, words_around, language, threads or usable_cpus()), {}))


@app.command()
def demo_rewriter(
    bundle: Bundle = Path("models/demo"),
    checkpoint: Annotated[Path, typer.Option(help="Where the trained checkpoint is, or will be.")] = DEMO_REWRITER,
    seed: Seed = 0,
    *,
    trained: Annotated[bool, typer.Option("--trained", help="Export the checkpoint that is there.")] = False,
) -> None:
    """Teach a small language model to rewrite synthetic reports, and put it into the demonstration bundle."""
    from export import demo as trainer
    from export import rewriter as rewriters
    from xraygpt_edge.proof import table

    if not trained:
        trainer.teach_rewriting(checkpoint, seed)
    with refusals():
        figures = rewriters.put(checkpoint, bundle, trainer.rewriting_prompt(), "Q8_0", usable_cpus())
        show(table.tables(figures, {}))


@app.command()
def evaluate_rewriter(bundle: Bundle = Path("models/demo")) -> None:
    """Let a bundle rewrite 300 synthetic reports that it never saw: how many pass the check."""
    from export.demo import rewriter_evaluation

    with refusals():
        rewriter_evaluation.show(rewriter_evaluation.evaluate(bundle))


@app.command()
def reports(
    out: Annotated[Path, typer.Argument(help="A new folder.")], count: int = 200, seed: int = 60_000_000
) -> None:
    """Write synthetic reports about phantoms as text files, with their truth in truth.jsonl beside them."""
    from export.demo.report_folder import write_folder

    write_folder(out, count, seed)


@app.command()
def evaluate_maps(bundle: Bundle = Path("models/demo")) -> None:
    """Hold maps against what was drawn in phantoms, beside their goals: about 5 minutes."""
    from export import trust_maps

    with refusals():
        show_goals(trust_maps.evaluate_bundle(bundle))


@app.command()
def synthetic(
    kind: Annotated[
        Literal["released", "medclip", "llava-rad", "llava-med", "medgemma"], typer.Option(help="Which image path.")
    ],
    out: Out,
    scale: Annotated[
        Literal["full", "small", "tiny"],
        typer.Option(help="full: the published sizes; small: 1.1 billion language parameters; tiny: a few megabytes."),
    ] = "full",
    vision: Vision = "int8",
    language: Language = "Q4_K_M",
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Random weights at true shapes, through the same code: to measure a machine."""
    from export import synthetic as maker

    folder = out.with_name(f".{out.name}.checkpoints")
    with words.status("drawing random weights"):
        source = maker.make(kind, scale, seed, folder)
    _export(source, out, vision, language, None, threads)
    maker.remove(folder)


@app.command()
def parity(
    bundle: Bundle,
    markdown: Annotated[Path | None, typer.Option(help="Write the table to this file as well.")] = None,
    threads: Threads = None,
) -> None:
    """Measure a bundle on this machine against what the original computed, which is in the bundle."""
    from xraygpt_edge.proof import prove, table

    with refusals():
        proof = prove(bundle, threads or usable_cpus())
        show(table.tables(proof.figures, proof.gates))
        if markdown:
            markdown.write_text(table.markdown(proof.bundle_id, proof.figures, proof.gates), "utf-8")
        proof.require()


@app.command()
def compare(
    bundle: Bundle,
    films: Annotated[Path, typer.Option(metavar="FOLDER", help="Radiographs below it are asked about: 300 or more.")],
    vision: Annotated[str, typer.Option(help="Encoder precisions, with commas; without it the bundle's own.")] = "",
    language: Annotated[
        str, typer.Option(help="Language precisions; what the bundle lacks is made from its F16 and removed again.")
    ] = "",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where QUANTIZATION.md and parity.json go.")] = Path(),
    threads: Threads = None,
) -> None:
    """Measure what rounding changes in the answers of a bundle that holds fp32 and F16; ends with 18 if too much."""
    from export import compare as comparing
    from export.compare import page

    wanted = comparing.Wanted(_listed(vision), _listed(language), threads or usable_cpus())
    with refusals():
        out.mkdir(parents=True, exist_ok=True)
        with words.status("") as status:
            found = comparing.compare(bundle, films, wanted, out, lambda what: status.update(f"asking {what}"))
        page.write(found, out)
        show([(f"{found.films} films", page.summary(found))])
        comparing.require(found)


@app.command()
def phantoms(
    folder: Annotated[Path, typer.Argument(help="Folder of the films; must not exist yet.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 300,
) -> None:
    """Draw films that nothing was fitted on, with references.csv and labels.csv: for compare, calibrate, evaluate."""
    from export.demo import film_folder

    with refusals():
        film_folder.write(folder, count)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a bundle's manifest: models/manifest.schema.json."""
    from xraygpt_edge.bundle.manifest import json_schema

    print(json_schema().decode(), end="")


@app.command()
def gate(
    pictures: Annotated[Path, typer.Option(help="The pictures to learn from: a .npz file.")],
    out: Annotated[Path, typer.Option(help="Where the weights and their figures go.")] = GATE,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of pictures that are no radiographs, to measure with.")
    ] = None,
    seed: Seed = 0,
    *,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Measure on sources left out of training.")] = False,
) -> None:
    """Train the gate that tells frontal chest radiographs from everything else."""
    from export.gate.making import make

    with refusals():
        show(make(pictures, out, seed, photos, measure=evaluate))


@app.command()
def airgap(  # noqa: PLR0913, PLR0917 - a command has as many parameters as options
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle that goes along.")],
    out: Annotated[Path, typer.Option(help="Folder of the kit; must not exist yet.")],
    extra: Annotated[Literal["cpu", "cuda"], typer.Option(help="Which ONNX Runtime.")] = "cpu",
    cpu: Annotated[
        Literal["portable", "native"],
        typer.Option(help="llama.cpp for any desktop CPU of the last ten years, or for one like this."),
    ] = "portable",
    pythons: Annotated[
        str, typer.Option(help="Pythons of the other computers, as 3.11,3.12; by default all that can be served.")
    ] = "",
    sign: Annotated[Path | None, typer.Option(help="Sign it with this key (ssh-keygen -t ed25519).")] = None,
    system: Annotated[
        Literal["here", "windows"], typer.Option("--for", help="For a system as this computer's, or for Windows.")
    ] = "here",
    python: Annotated[
        Path | None, typer.Option(help="Python's embeddable package (python-3.12.N-embed-amd64.zip), for Windows.")
    ] = None,
) -> None:
    """Make the kit for a machine with no network and no compiler: wheels, bundle, installer."""
    from export import airgap as kits
    from export.airgap_signing import fingerprint
    from export.measure import Meter

    meter = Meter()
    with refusals():
        kits.make(kits.Kit(bundle, extra, cpu, _listed(pythons), sign, system, python), out, meter)
        show([("What each step took", meter.rows())])
        there = "a double click on install.cmd" if system == "windows" else "sh install.sh"
        words.print(f"The kit is in {out}. Carry the whole folder over, and there: {there}", soft_wrap=True)
        if sign:
            words.print(f"Send this on paper, or some other way than the kit: {fingerprint(sign)}", soft_wrap=True)


def _export(source: Source, out: Path, vision: str, language: str, name: str | None, threads: int | None) -> None:
    """Make the bundle, and show what each step cost and how exact the result is."""
    from export.measure import Meter
    from export.pipeline import Plan, export_bundle
    from xraygpt_edge.proof import table

    meter = Meter()
    plan = Plan(name or out.name, source, _listed(vision), _listed(language), threads or usable_cpus())
    with refusals():
        try:
            result = export_bundle(plan, out, meter)
        finally:
            show([("What each step took", meter.rows())])
        show(table.tables(result.figures, result.gates))
    words.print(f"The bundle is in {out}.")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


if __name__ == "__main__":
    escape_unencodable()
    app()
