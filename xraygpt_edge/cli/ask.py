"""`ask`: one answer about one radiograph."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Annotated

import typer

from xraygpt_edge import text
from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.records import TRUST

Question = Annotated[
    str | None,
    typer.Argument(
        help="What to ask; - reads it from standard input, @NAME takes the bundle's question of that name. "
        "A bundle with a question @findings asks that by default.",
        show_default=False,
        callback=options.clean_text,
    ),
]


def ask(
    image: options.Image,
    question: Question = None,
    indication: options.Indication = "",
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
    trust: options.Trust = TRUST,
    draw_maps: options.Map = False,
    map_out: options.MapOut = None,
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
    from xraygpt_edge.cli import console, mapping, trusting
    from xraygpt_edge.engine import Ask, XrayGPT
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.native import Deadline
    from xraygpt_edge.trust.assessor import Assessor

    loading = options.load_options(device, threads, memory)
    reading = ReadOptions(options.one_of("--profile", profile, ("mimic-jpg", "display")), frame, force)
    sampling = Sampling(temperature, top_p, max_tokens, seed, timeout, draft=not no_draft)
    level = options.trust_level(trust)
    root = find_bundle(bundle)
    asked = options.asked(root, read_question(question), indication)
    maps = mapping.wanted(draw_maps, map_out, level, loading, root)
    with XrayGPT.begin(root, loading) as model:
        assessor = Assessor(model, "off" if quiet and not (as_json or map_out) else level, maps=maps)
        with console.waiting(follow=model.parts.prompt_progress, quiet=quiet or as_json) as screen:
            deadline = Deadline(timeout)
            encoded = (model.encode if maps else model.encode_last)(image, reading, deadline)
            answer, told = assessor.ask(encoded, Ask(asked, (), sampling, template), screen.on_text, deadline)
        if not as_json:
            screen.finish(answer)
        found = trusting.assessed(assessor, told, deadline, quiet=quiet or as_json)
    if as_json:
        print(json.dumps(replace(answer, trust=found).to_dict(), ensure_ascii=True))
    elif not quiet:
        trusting.show(answer.text, found)
    mapping.save(map_out, encoded, found, answer.notice)  # last: the answer is out, whatever the folder does
    return ExitCode.TIMEOUT if answer.finish_reason == "timeout" else ExitCode.DONE


def read_question(question: str | None) -> str | None:
    """The question itself, or standard input for `-`; None where there is none."""
    given = text.decoded(sys.stdin.buffer.read(), "standard input") if question == "-" else question
    return None if given is None else options.stripped(given)
