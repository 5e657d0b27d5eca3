"""`bench`: time and memory of each stage on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from xraygpt_edge.cli import options

if TYPE_CHECKING:
    from xraygpt_edge.bench import Bench


def bench(
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure this machine with a bundle: seconds to minutes, about a drawn picture.

    Close other programs first: threads that wait for each other show every disturbance.
    """
    from xraygpt_edge.bench import bench as measure
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console

    loading = options.load_options(device, threads, memory)
    with console.waiting("Measuring ...", quiet=quiet or as_json):
        found = measure(find_bundle(bundle), loading)
    if as_json:
        print(json.dumps(account(found)))
    else:
        console.table(rows(found), as_json=False)


def account(b: Bench) -> dict[str, object]:
    """For `bench --json`."""
    shares = {"decode_share": b.decode_share, "prompt_share": b.prompt_share}
    sums = {"first_token_s": b.stages.first_token_s, "total_s": b.stages.total_s}
    return {"schema": 1, **asdict(b), "sums": sums, **shares}


def rows(b: Bench) -> list[dict[str, str]]:
    """For a person."""
    s, engine = b.stages, b.engine
    arithmetic = f"{b.floor.flop_per_s / 1e9:.0f} GFLOP/s"
    settings = f"{engine.device}, {engine.threads} threads, --memory {engine.memory}"
    found = {
        "load": (f"{s.load_s:.2f} s", f"{b.bundle.id}, {b.bundle.vision} + {b.bundle.language}"),
        "read": (f"{s.read_s:.3f} s", "a drawn PNG of 2048 x 2048 pixels"),
        "vision": (f"{s.vision_s:.3f} s", ", ".join(engine.providers)),
        "prompt": (f"{s.prefill_s:.3f} s", f"{s.prompt_positions} positions, {b.prompt_share:.0%} of float32 products"),
        "answer": (f"{s.tokens_per_s:.1f} tokens/s", f"{b.decode_share:.0%} of the memory's speed"),
        "panel": (f"{s.panel_s:.3f} s", f"{s.panel_questions} questions about a film, for --trust fast"),
        "first token": (f"{s.first_token_s:.2f} s", "read, vision and prompt"),
        "total": (f"{s.total_s:.2f} s", "load, first token and an answer of 120 tokens"),
        "peak memory": (f"{s.peak_bytes / 1e9:.2f} GB", "of the program and its isolated reader"),
        "machine": (f"{b.floor.memory_bytes_per_s / 1e9:.0f} GB/s", f"{arithmetic}, {settings}"),
        "batch": (f"{b.answers_at_once} at a time", "radiographs, by the memory that is free now"),
    }
    return [{"stage": name, "measured": value, "about": about} for name, (value, about) in found.items()]
