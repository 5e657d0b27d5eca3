"""`serve`: the model for programs on this computer."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.records import TRUST

if TYPE_CHECKING:
    from xraygpt_edge.serve import Service, Settings

MB = 1 << 20
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes any free one.")]
ApiOnly = Annotated[bool, typer.Option("--api-only", help="For programs: no page.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The API token, for scripts that outlive a restart; made when it is not there.",
        show_default="a random token at each start",
    ),
]
MaxUpload = Annotated[int, typer.Option(min=1, max=512, metavar="MB", help="Of one file.")]
Hold = Annotated[int, typer.Option(min=1, metavar="MB", help="Of all files in memory.")]
ForgetAfter = Annotated[
    float, typer.Option(min=0.01, metavar="MIN", help="Idle time after which a radiograph is forgotten.")
]
Queue = Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Questions that may wait.")]
IdleExit = Annotated[
    float | None, typer.Option(min=0.01, metavar="MIN", help="End when nobody asks for so long.", show_default=False)
]
Answer = Annotated[float, typer.Option(min=0.0, metavar="S", help="Longest time for an answer.")]


def serve(
    api_only: ApiOnly = False,
    port: Port = 8620,
    token_file: TokenFile = None,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    profile: options.Profile = "mimic-jpg",
    template: options.Template = None,
    max_tokens: options.MaxTokens = 300,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = 0.9,
    seed: options.Seed = 0,
    timeout: Answer = 300.0,
    trust: options.Trust = TRUST,
    max_upload: MaxUpload = 128,
    hold: Hold = 512,
    forget_after: ForgetAfter = 30.0,
    queue: Queue = 32,
    idle_exit: IdleExit = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> int:
    """Answer programs on this computer, by OpenAI's API and one of its own, until it is stopped.

    Only this computer can reach it, and only with the token that is printed. Research software, not a medical device.
    """
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge import serve as server
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import PROFILES, ReadOptions
    from xraygpt_edge.serve import tokens

    opened = bundles.opened(find_bundle(bundle))
    if template is not None:
        opened.template(template)
    reading = ReadOptions(options.one_of("--profile", profile, PROFILES))
    loading = options.load_options(device, threads, memory)
    sampling = Sampling(temperature, top_p, max_tokens, seed, timeout)
    limits = server.Limits(
        max_upload * MB, hold * MB, forget_after * 60, queue, idle_exit * 60 if idle_exit is not None else None
    )
    token = tokens.from_file(token_file) if token_file else tokens.new()
    sockets = server.bound(port)
    settings = server.Settings(
        bundle=opened,
        token=token,
        port=sockets[0].getsockname()[1],
        limits=limits,
        loading=loading,
        reading=reading,
        sampling=sampling,
        template=template,
        trust=options.trust_level(trust),
        strict=strict,
        api_only=api_only,
    )
    return server.run(settings, sockets, lambda service: _listening(service, as_json=as_json, quiet=quiet))


def _listening(service: Service, *, as_json: bool, quiet: bool) -> None:
    """Say where the server is; the link is the one line of standard output."""
    began_s, settings = time.monotonic(), service.settings
    print(_object(service) if as_json else _link(settings), flush=True)
    if quiet:
        return
    cut = "cut off by the kernel, except for connections to this server" if service.network else "not cut off"
    say(f"Serving bundle {settings.bundle.manifest.id} on this computer only, for who has the token behind #t=.")
    say("OpenAI's clients take the address with /v1 behind the port, and the token as api_key. Stop with Ctrl-C.")
    say(f"Network: {cut}. Model: loading ...")
    say(service.notice)
    service.on_ready = lambda: say(f"Model: ready after {time.monotonic() - began_s:.1f} s.")


def say(words: str) -> None:
    """One line for a person."""
    print(words, file=sys.stderr, flush=True)


def _link(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.port}/#t={settings.token}"


def _object(service: Service) -> str:
    settings = service.settings
    facts = {"status": "listening", "url": f"http://127.0.0.1:{settings.port}/", "token": settings.token}
    network = "cut off" if service.network else "not cut off"
    return json.dumps({"schema": 1, **facts, "port": settings.port, "pid": os.getpid(), "network": network})
