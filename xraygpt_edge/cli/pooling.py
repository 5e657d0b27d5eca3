"""`scale ray`: a batch whose radiographs are answered by a pool of machines."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from xraygpt_edge.cli import batch, options
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.records import TRUST

app = typer.Typer(help="One folder over a pool of machines.", no_args_is_help=True)

Folder = Annotated[
    Path,
    typer.Argument(help="Every radiograph below it is answered; by default the current folder.", show_default=False),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Head of a cluster of Ray; without it, this computer alone.", show_default=False
    ),
]
CpusPerWorker = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPUs of a worker, which loads the model once; by default a machine's.", show_default=False
    ),
]
GpusPerWorker = Annotated[float, typer.Option(min=0, help="GPUs of a worker.")]
Chunk = Annotated[int, typer.Option(min=1, max=1024, help="Radiographs that a worker is given at once, at most.")]
SendFiles = Annotated[
    bool, typer.Option("--send-files", help="Send radiographs to the machines, where they see no common disk.")
]


@app.command("ray")
def ray(
    out: batch.Out,
    folder: Folder = Path(),
    films: batch.FilmList = None,
    address: Address = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = 0,
    chunk: Chunk = 64,
    send_files: SendFiles = False,
    question: batch.Questions = None,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    memory: options.Memory = "auto",
    parallel: batch.Parallel = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    profile: options.Profile = "mimic-jpg",
    template: options.Template = None,
    max_tokens: options.MaxTokens = 300,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = 0.9,
    seed: options.Seed = 0,
    timeout: options.Timeout = None,
    trust: options.Trust = TRUST,
    frame: options.Frame = None,
    force: options.Force = False,
    retry_failed: batch.RetryFailed = False,
    debug: options.Debug = False,
) -> int:
    """Answer about every radiograph with the machines of a Ray cluster; the folder of records is one of batch.

    Never in a clinic's network: whoever reaches Ray runs programs there. Research software, not a medical device.
    """
    from xraygpt_edge import batch as batches
    from xraygpt_edge.cli import progress
    from xraygpt_edge.scale.messages import Wish
    from xraygpt_edge.scale.pool import Pool

    settings = batch.settings_of(profile, frame, force, template, max_tokens, temperature, top_p, seed, timeout)
    job = batch.job_of(folder, bundle, question, settings, films, None)
    loading, level = options.load_options(device, cpus_per_worker, memory), options.trust_level(trust)
    running = batches.Running(loading, batch.slots(parallel), retry_failed, level)
    wish = Wish(address, cpus_per_worker, gpus_per_worker, chunk, send_files)
    pool = partial(Pool, wish=wish, manifest_sha256=job.manifest_sha256)
    with progress.BatchScreen(quiet=quiet) as screen:
        summary = batches.run(job, out, running, screen, pool)
    batch.tell(summary, out, as_json=as_json, quiet=quiet)
    return ExitCode.PARTIAL if summary.failed else ExitCode.DONE
