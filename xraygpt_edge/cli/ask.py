"""`ask`: one answer about one radiograph."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from xraygpt_edge import text
from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode

Question = Annotated[
    str,
    typer.Argument(
        help="What to ask; - reads it from standard input.", show_default=False, callback=options.clean_text
    ),
]


def ask(
    image: options.Image,
    question: Question,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    profile: options.Profile = "mimic-jpg",
    template: options.Template = None,
    max_tokens: options.MaxTokens = 300,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = 0.9,
    seed: options.Seed = 0,
    timeout: options.Timeout = None,
    no_draft: options.NoDraft = False,
    frame: options.Frame = None,
    force: options.Force = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> int:
    """Ask one question about one radiograph.

    The answer is streamed to a terminal. Research software, not a medical device.
    """
    options.keep_offline(strict=strict)
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console
    from xraygpt_edge.engine import XrayGPT
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import ReadOptions

    asked = read_question(question)
    loading = options.load_options(device, threads, memory)
    reading = ReadOptions(options.one_of("--profile", profile, ("mimic-jpg", "display")), frame, force)
    sampling = Sampling(temperature, top_p, max_tokens, seed, timeout, draft=not no_draft)
    with (
        console.waiting(quiet=quiet or as_json) as screen,
        XrayGPT.begin(find_bundle(bundle), loading) as model,
    ):
        answer = model.ask(image, asked, sampling=sampling, template=template, options=reading, on_text=screen.on_text)
    if as_json:
        print(json.dumps(answer.to_dict(), ensure_ascii=True))
    else:
        screen.finish(answer)
    return ExitCode.TIMEOUT if answer.finish_reason == "timeout" else ExitCode.DONE


def read_question(question: str) -> str:
    """The question itself, or standard input for `-`."""
    given = text.decoded(sys.stdin.buffer.read(), "standard input") if question == "-" else question
    return options.stripped(given)
