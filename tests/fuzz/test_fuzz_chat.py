"""Bodies of chat completions that nobody would write: each is understood or refused by id, and no value is quoted."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import msgspec
import pytest

from tests.conftest import ROOT
from xraygpt_edge import bundle as bundles
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.imaging.images import DEFAULT
from xraygpt_edge.serve.chat_request import understood
from xraygpt_edge.serve.errors import Refused

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
BODY = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "q"}, PICTURE]}]}
CANARY = "CanaryAnna1984"
MANIFEST = msgspec.structs.replace(bundles.opened(ROOT / "models" / "demo").manifest, id="m")
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 2**70, 1e308, -0.0, "", "a", "\x00", "\ud800", CANARY, CANARY * 1000),
    *("data:", "data:;base64,", "data:image/png;base64,AAAA", "data:image/png;base64,\xe9", "http://x"),
    *([], {}, [[]], [None], {"type": CANARY}, {"type": "text", "text": CANARY}, {CANARY: CANARY}, PICTURE),
    *({"type": "image_url", "image_url": "x"}, {"type": "file", "file": {"file_id": "x"}}),
    *({"role": "user", "content": "q"}, {"role": "assistant", "content": None}, {"role": CANARY}),
]
FIELDS = [
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("seed", "stop", "n", "user", "xraygpt", "tools", "logprobs", "response_format", "audio", CANARY),
]


def places(found: Any) -> list[tuple[Any, Any]]:
    """Every container in a body, with a key of it."""
    keys = list(found) if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else []
    return [*((found, key) for key in keys), *(place for key in keys for place in places(found[key]))]


def changed(body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    value = copy.deepcopy(chance.choice(VALUES))
    inside = places(body)
    if not inside or chance.random() < 0.4:
        body[chance.choice(FIELDS)] = value
    else:
        container, key = chance.choice(inside)
        container[key] = value
    return body


def run(chance: random.Random, rounds: int) -> int:
    """How many were refused."""
    refused = 0
    for _ in range(rounds):
        body = copy.deepcopy(BODY)
        for _ in range(chance.randrange(4)):
            body = changed(body, chance)
        data = json.dumps(body).encode()
        data = data[: chance.randrange(len(data))] if chance.random() < 0.05 else data
        found = refusal(data)
        if found:
            refused += 1
            assert found.status in {400, 404, 422}
            assert CANARY not in found.failure.message
    return refused


def refusal(data: bytes) -> Refused | None:
    try:
        understood(data, MANIFEST, Sampling(), DEFAULT)
    except Refused as found:
        return found
    return None


def test_a_changed_body_is_understood_or_refused_by_id() -> None:
    assert 500 < run(random.Random(1), 2000) < 2000


@pytest.mark.fuzz
def test_many_changed_bodies_are_understood_or_refused_by_id() -> None:
    assert run(random.Random(), 100_000)
