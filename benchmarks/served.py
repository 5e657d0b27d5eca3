"""The sides of `serve`, each in a process of its own, as `child.call` starts it."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.client import Client, Words, serving
from benchmarks.pairs import Raw
from xraygpt_edge.engine import Ask, XrayGPT
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.imaging.images import Radiograph

LOOK_S = 0.2
"""Between two looks at a run."""
ASK_S = 0.02
"""Between two questions for the state: as often as 50 open pages ask for it."""


def beside_ask(bundle: str, threads: int, tokens: int, question: str, films: list[str]) -> Raw:
    """Words of a server and of the public class, in turn; each pair is about a film that both meet first then."""
    options = ("--max-tokens", str(tokens), "--trust", "off")
    with serving(bundle, threads, *options) as client, XrayGPT.load(bundle, "cpu", threads) as model:
        client.wait_until_ready()
        pairs = [_pair(client, model, film, question, tokens, number) for number, film in enumerate(films)]
    served, asked = zip(*pairs[1:], strict=True)  # the first one warms up
    added_ms = [(ours.first_s - peer.first_s) * 1000 for ours, peer in pairs[1:]]
    shares = [ours.tokens_per_s / peer.tokens_per_s for ours, peer in pairs[1:]]
    values = {
        "serve_first_s": median(each.first_s for each in served),
        "ask_first_s": median(each.first_s for each in asked),
        "added_ms": median(added_ms),
        "serve_tokens_per_s": median(each.tokens_per_s for each in served),
        "ask_tokens_per_s": median(each.tokens_per_s for each in asked),
        "share": median(shares),
    }
    are_equal = all(ours.text == peer.text for ours, peer in pairs)
    return {"values": values, "added_ms": added_ms, "shares": shares, "same_words": are_equal}


def folder(bundle: str, threads: int, tokens: int, question: str, films: list[str]) -> Raw:
    """Seconds a radiograph of a folder that is sent as the page sends it, from the start of the server on."""
    began_s = time.perf_counter()
    with serving(bundle, threads, "--max-tokens", str(tokens)) as client:
        run: Raw = client.call("POST", "runs", json.dumps({"questions": [question], "files": len(films)}).encode())
        path = f"runs/{run['id']}"
        for number, film in enumerate(films, 1):
            _wait_for(client, path, "room", lambda room: room > 0)
            data = Path(film).read_bytes()
            client.call("PUT", f"{path}/files/{number}", data, **{"X-SHA256": sha256(data).hexdigest()})
        ended = _wait_for(client, path, "state", lambda state: state != "going")
        took_s = time.perf_counter() - began_s
    return {"values": {"seconds_per_radiograph": took_s / len(films)}, "took_s": took_s, "counts": ended["counts"]}


def under_load(bundle: str, threads: int, tokens: int, question: str, film: str, clients: int) -> Raw:
    """Milliseconds to the server's state while many ask, each by OpenAI's API with the film in the request."""
    with serving(bundle, threads, "--max-tokens", str(tokens)) as client, ThreadPoolExecutor(clients) as pool:
        client.wait_until_ready()
        process = psutil.Process(client.pid)
        before_bytes = grown_bytes = process.memory_info().rss
        body = _chat(client, question, film)
        asking = [pool.submit(client.status_of, "POST", "/v1/chat/completions", body) for _ in range(clients)]
        looks_ms = []
        while not all(each.done() for each in asking):
            began_s = time.perf_counter()
            client.call("GET", "status")
            looks_ms.append((time.perf_counter() - began_s) * 1000)
            grown_bytes = max(grown_bytes, process.memory_info().rss)
            time.sleep(ASK_S)
    values = {"slowest_ms": max(looks_ms), "median_ms": median(looks_ms), "grown_bytes": grown_bytes - before_bytes}
    return {"values": values, "looks": len(looks_ms), "statuses": _counted(asking)}


def _pair(client: Client, model: XrayGPT, film: str, question: str, tokens: int, number: int) -> tuple[Words, Words]:
    """Of a server and of `ask`; who begins changes from pair to pair."""
    held = client.call("POST", "radiographs", Path(film).read_bytes())["id"]
    radiograph = model.read(film)
    if number % 2:
        peer = _asked(model, radiograph, question, tokens)
        return client.ask(held, question), peer
    return client.ask(held, question), _asked(model, radiograph, question, tokens)


def _asked(model: XrayGPT, radiograph: Radiograph, question: str, tokens: int) -> Words:
    """As `ask` does it once a file is read."""
    began_s = time.perf_counter()
    encoded, text, first_s = model.encode_radiograph(radiograph), "", None
    with model.begin_answer(encoded, Ask(question, (), Sampling(max_tokens=tokens))) as pieces:
        for piece in pieces:
            text += piece.text
            if first_s is None and text.strip():
                first_s = time.perf_counter() - began_s
        answer = pieces.answer()
    took_s = time.perf_counter() - began_s
    return Words(first_s or took_s, took_s - (first_s or 0.0), answer.text, answer.timing.tokens)


def _wait_for(client: Client, path: str, field: str, is_so: Callable[[Any], bool]) -> Raw:
    while not is_so((found := client.call("GET", path))[field]):
        time.sleep(LOOK_S)
    return found


def _chat(client: Client, question: str, film: str) -> bytes:
    picture = base64.b64encode(Path(film).read_bytes()).decode()
    parts = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": f"data:application/dicom;base64,{picture}"}},
    ]
    model = client.call("GET", "status")["model"]["id"]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": parts}]}).encode()


def _counted(asking: list[Future[int]]) -> dict[str, int]:
    return {str(status): n for status, n in Counter(each.result() for each in asking).items()}
