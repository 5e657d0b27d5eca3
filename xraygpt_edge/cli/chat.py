"""`chat`: a conversation about one radiograph."""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from xraygpt_edge import text
from xraygpt_edge.cli import options
from xraygpt_edge.records import TRUST

if TYPE_CHECKING:
    from xraygpt_edge.conversation import Conversation
    from xraygpt_edge.trust.assessor import Assessor

STANDARD_INPUT = "standard input"


def chat(
    image: options.Image,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
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
) -> None:
    """Talk about one radiograph: one question a line, or @NAME of the bundle; an empty line ends.

    The model sees the image and what was said before, as far as its context reaches.
    """
    options.keep_offline(strict=strict)
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console, mapping
    from xraygpt_edge.conversation import Conversation
    from xraygpt_edge.engine import XrayGPT
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.trust.assessor import Assessor

    loading = options.load_options(device, threads, memory)
    reading = ReadOptions(options.one_of("--profile", profile, ("mimic-jpg", "display")), frame, force)
    sampling = Sampling(temperature, top_p, max_tokens, seed, timeout, draft=not no_draft)
    level = options.trust_level(trust)
    root = find_bundle(bundle)
    maps = mapping.wanted(draw_maps, map_out, level, loading, root)
    with XrayGPT.begin(root, loading) as model:
        with console.waiting(quiet=quiet):
            encoded = model.encode(image, reading)
        console.about_image(encoded.source)
        conversation = Conversation(model, encoded, sampling, template)
        assessor = Assessor(model, level if map_out or not quiet else "off", maps=maps)
        for line in lines(quiet=quiet):
            answer_line(line, conversation, assessor, map_out, quiet=quiet)


def answer_line(
    line: bytes, conversation: Conversation, assessor: Assessor, map_out: Path | None, *, quiet: bool
) -> None:
    """Answer one question and say how far to trust the answer; one that fails does not end a conversation."""
    from xraygpt_edge.bundle.questions import asked
    from xraygpt_edge.cli import console, mapping, trusting
    from xraygpt_edge.errors import XrayGPTError
    from xraygpt_edge.trust.assess import Told

    with console.waiting(follow=conversation.model.parts.prompt_progress, quiet=quiet) as screen:
        try:
            given = options.stripped(text.decoded(line, STANDARD_INPUT))
            question = asked(conversation.model.parts.plan.bundle.manifest.prompt, given)
            answer = conversation.ask(question, screen.on_text)
        except XrayGPTError as error:
            screen.fail(error)
            return
        screen.finish(answer)
    if conversation.last:
        told = Told.of(conversation.image, *conversation.last)
        found = trusting.assessed(assessor, told, quiet=quiet)
        if not quiet:
            trusting.show(answer.text, found)
        mapping.save(map_out, conversation.image, found, answer.notice)


def lines(*, quiet: bool) -> Iterator[bytes]:
    """Lines of standard input until an empty one or the end.

    Raises UsageError for a file of UTF-16 that is damaged anywhere, before its first line is answered.
    """
    given: IO[bytes] = sys.stdin.buffer
    while True:
        if given.isatty() and not quiet:
            print("? ", end="", file=sys.stderr, flush=True)
        line = given.readline()
        if line.startswith(text.WIDE_MARKS):
            given = BytesIO(text.decoded(line + given.read(), STANDARD_INPUT).encode())
            line = given.readline()
        if not line.removeprefix(BOM_UTF8).strip():
            return
        yield line
