"""`serve`: the model for programs on this computer."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.cli import serve_setup as setup
from xraygpt_edge.cli.batch import Parallel, slots
from xraygpt_edge.errors import ExitCode, Locked
from xraygpt_edge.records import TRUST

if TYPE_CHECKING:
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.serve import Running, Service, Settings
    from xraygpt_edge.serve.browser import Browser

MB = 1 << 20
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes any free one.")]
ApiOnly = Annotated[bool, typer.Option("--api-only", help="For programs: no page.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Open no browser; nor do --api-only and --json.")]
Log = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A line a request: time, method, route, status, bytes, ms.", show_default=False),
]
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
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="For a ward: where other computers reach it; needs the next three.", show_default=True
    ),
]
TlsCert = Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, PEM.", show_default=False)]
TlsKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Its key, readable by its owner alone.", show_default=False)
]
PasswordFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="As --make-password writes it.", show_default=False)
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="HOST", help="Further name of this server; repeat it.", show_default=False),
]
MakePassword = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Ask for a password twice, write its hash there, end.", show_default=False),
]
Shortcut = Annotated[
    bool, typer.Option("--shortcut", help="Put an entry with these options into the applications menu, end.")
]
Queue = Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Questions that may wait.")]
IdleExit = Annotated[
    float | None, typer.Option(min=0.01, metavar="MIN", help="End when nobody asks for so long.", show_default=False)
]
Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Record folder runs there as batch does: answers, warnings, file names.",
        show_default="nothing is kept",
    ),
]
Answer = Annotated[float, typer.Option(min=0.0, metavar="S", help="Longest time for an answer.")]


def serve(
    context: typer.Context,
    api_only: ApiOnly = False,
    no_browser: NoBrowser = False,
    port: Port = 8620,
    host: Host = "127.0.0.1",
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    password_file: PasswordFile = None,
    name: Names = None,
    make_password: MakePassword = None,
    shortcut: Shortcut = False,
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
    log: Log = None,
    keep: Keep = None,
    parallel: Parallel = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> int:
    """Answer people, by a page in their browser, and programs, by OpenAI's API and one of its own, until it is stopped.

    Only this computer can reach it, and only with the token that is printed, unless --host opens it to a ward. Research
    software, not a medical device.
    """
    if make_password:
        return setup.make_password(make_password)
    if shortcut:
        return setup.make_shortcut(context)
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge import serve as server
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.serve import log as logs
    from xraygpt_edge.serve import tokens
    from xraygpt_edge.serve import ward as wards
    from xraygpt_edge.serve.browser import Browser
    from xraygpt_edge.serve.runs.keeping import Keeper

    opened = bundles.opened(find_bundle(bundle))
    if template is not None:
        opened.template(template)
    reading, loading = _reading(profile), options.load_options(device, threads, memory)
    sampling = Sampling(temperature, top_p, max_tokens, seed, timeout)
    limits = server.Limits(
        max_upload * MB, hold * MB, forget_after * 60, queue, idle_exit * 60 if idle_exit is not None else None
    )
    reach = wards.reach(host, name or (), tls_cert, tls_key, password_file)
    token, link_token = tokens.chosen(token_file, in_link=not reach.ward)
    at_once, kept = slots(parallel), Keeper(keep, opened.manifest_sha256) if keep else None
    level, lines = options.trust_level(trust), logs.opened(log) if log else None
    browser = None if api_only or no_browser or as_json or reach.ward else Browser()
    try:
        sockets = server.bound(port, reach.listening)
    except Locked:
        if browser and (running := server.running(port, opened.manifest_sha256)):
            return _open_again(running, browser)
        raise
    settings = server.Settings(
        bundle=opened,
        token=token,
        link_token=link_token,
        port=sockets[0].getsockname()[1],
        names=reach.names,
        ward=reach.ward,
        limits=limits,
        loading=loading,
        reading=reading,
        sampling=sampling,
        template=template,
        trust=level,
        strict=strict,
        log=lines,
        parallel=at_once,
        keep=kept,
        api_only=api_only,
        waits_when_broken=browser is not None,
    )
    listening = partial(_listening, browser=browser, as_json=as_json, quiet=quiet)
    return server.run(settings, sockets, listening)


def _reading(profile: str) -> ReadOptions:
    from xraygpt_edge.imaging.images import PROFILES, ReadOptions

    return ReadOptions(options.one_of("--profile", profile, PROFILES))


def _open_again(running: Running, browser: Browser) -> int:
    """Show the page of the server that runs already."""
    from xraygpt_edge.serve.codes import new_code

    link = f"http://127.0.0.1:{running.port}/#c={new_code(running.key)}"
    browser.open(link)
    print(link, flush=True)
    say(
        "It runs already: its page opens in your browser. If it does not, copy the link within a minute; it works once."
    )
    return ExitCode.DONE


def _listening(service: Service, *, browser: Browser | None, as_json: bool, quiet: bool) -> None:
    """Say where the server is; the link is the one line of standard output."""
    began_s, settings = time.monotonic(), service.settings
    print(_object(service) if as_json else _link(settings), flush=True)
    if browser:
        browser.open(f"http://127.0.0.1:{settings.port}/#c={service.sessions.codes.new()}")
    if quiet:
        return
    cut = "cut off by the kernel, except for connections to this server" if service.network else "not cut off"
    for line in _about_ward(settings) if settings.ward else _about_loopback(settings, browser):
        say(line)
    say(f"Network: {cut}. Model: loading ...")
    say(service.notice)
    service.on_ready = lambda: say(f"Model: ready after {time.monotonic() - began_s:.1f} s.")


def _about_loopback(settings: Settings, browser: Browser | None) -> Iterator[str]:
    yield f"Serving bundle {settings.bundle.manifest.id} on this computer only, for who has the token behind #t=."
    if browser:
        yield 'The page opens in your browser. If not, copy the link. Stop with Ctrl-C or with "Quit" on the page.'
    else:
        yield "OpenAI's clients take the address with /v1 behind the port, and the token as api_key. Stop with Ctrl-C."


def _about_ward(settings: Settings) -> Iterator[str]:
    yield f"Serving bundle {settings.bundle.manifest.id} to other computers, by TLS, for who knows the password."
    programs = "show the token of --token-file as api_key" if settings.token else "have no way in without --token-file"
    yield f"Programs {programs}. Stop with Ctrl-C."


def say(words: str) -> None:
    """One line for a person."""
    print(words, file=sys.stderr, flush=True)


def _link(settings: Settings) -> str:
    """A token that is in a file stands nowhere else."""
    return f"{settings.origins[0]}/" + (f"#t={settings.link_token}" if settings.link_token else "")


def _object(service: Service) -> str:
    settings = service.settings
    facts = {
        "status": "listening",
        "url": f"{settings.origins[0]}/",
        "token": None if settings.ward else settings.token,
    }
    network = "cut off" if service.network else "not cut off"
    return json.dumps({"schema": 1, **facts, "port": settings.port, "pid": os.getpid(), "network": network})
