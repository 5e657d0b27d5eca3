"""What the page says about this computer: the bundle that answers, what `doctor` finds, versions and licences."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, distributions, metadata, requires
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.bundle import Bundle
from xraygpt_edge.serve import page_files
from xraygpt_edge.serve.events import json_response
from xraygpt_edge.serve.service import service_of

DOCTOR = (sys.executable, "-m", "xraygpt_edge", "doctor", "--json")
DOCTOR_S = 120
PROGRAM = "xraygpt-edge"
NAME = re.compile(r"[A-Za-z0-9._-]+")
LICENCE = "License :: "
LONGEST = 80
"""Of a licence's name; some packages put its text there."""


async def about(request: Request) -> Response:
    """`GET about`: bundle, versions, and how this computer is; seconds the first time, since the model is tried."""
    service = service_of(request)
    facts = {"bundle": list(_bundle(service.settings.bundle)), "versions": list(_versions())}
    if service.checks is None:  # one `doctor` for everybody: it takes seconds and loads a model
        service.checks = asyncio.ensure_future(asyncio.to_thread(_checks))
    try:
        return json_response({**facts, "checks": await asyncio.shield(service.checks)})
    except Exception:
        service.checks = None  # the next one tries again
        raise


def _bundle(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    yield "Bundle", manifest.id
    yield "Kind", "demonstration" if manifest.demo else manifest.kind
    yield "Licence", manifest.licence or "not stated"
    yield "Manifest SHA-256", bundle.manifest_sha256
    yield from (
        (entry.role, f"{entry.path}, {entry.size / 1e6:,.1f} MB") for entry in manifest.files if entry.precision
    )


def _versions() -> Iterator[tuple[str, str]]:
    """Program, libraries and parts of the page, with their licences."""
    for each in (PROGRAM, *sorted(_libraries())):
        found = metadata(each)
        yield each, ", ".join(filter(None, (found["Version"], _licence(found))))
    yield from {each.package: f"{each.version}, {each.license}" for each in page_files.vendored()}.items()


def _libraries() -> Iterator[str]:
    """What is needed to answer."""
    yield from (name for line in requires(PROGRAM) or () if "extra ==" not in line for name in NAME.findall(line)[:1])
    yield from {"onnxruntime", "onnxruntime-gpu"} & {each.name for each in distributions()}


def _licence(found: PackageMetadata) -> str:
    said = found["License-Expression"] or found["License"] or ""
    named = (each for each in found.get_all("Classifier") or () if each.startswith(LICENCE))
    return said if 0 < len(said) < LONGEST else next(named, "").rpartition(" :: ")[2]


def _checks() -> list[Any]:
    """What `doctor` finds, in a process of its own: it loads what the server must not."""
    done = subprocess.run(DOCTOR, capture_output=True, timeout=DOCTOR_S, check=False, stdin=subprocess.DEVNULL)
    return list(msgspec.json.decode(done.stdout)["checks"]) if done.stdout else []


ROUTES = (Route("/api/v1/about", about),)
