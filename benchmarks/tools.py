"""llama.cpp's measuring tools: run one, read what it printed."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import child
from benchmarks.pairs import Raw

BENCH_FACTS = ("n_prompt", "n_gen", "n_depth", "n_threads", "n_batch", "n_ubatch", "type_k", "flash_attn", "repack")
BATCHED_FACTS = ("n_kv_max", "n_batch", "n_ubatch", "flash_attn", "n_threads", "is_pp_shared")


def llama_bench(tool: Path, options: list[str]) -> Raw:
    """One test of llama-bench, for example `-p 61 -n 0`."""
    return read_bench(child.run([str(tool), "-o", "json", *options]))


def read_bench(printed: str) -> Raw:
    """The one test in llama-bench's JSON; paths and names of the machine are dropped."""
    (test,) = json.loads(printed)
    samples = [round(float(sample), 4) for sample in test["samples_ts"]]
    facts = {name: test[name] for name in BENCH_FACTS if name in test}
    return {"values": {"tokens_per_s": median(samples)}, "samples_tokens_per_s": samples, **facts}


def batched_bench(tool: Path, options: list[str]) -> Raw:
    """llama-batched-bench for one length of prompt and answer and several numbers of sequences."""
    return read_batched(child.run([str(tool), "--output-format", "jsonl", *options]))


def read_batched(printed: str) -> Raw:
    """Lines of llama-batched-bench's JSON: decode and prompt speed for each number of sequences."""
    tests: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    values = {f"decode_{test['pl']}": test["speed_tg"] for test in tests}
    values |= {f"prompt_{test['pl']}": test["speed_pp"] for test in tests}
    facts = {name: tests[0][name] for name in BATCHED_FACTS if name in tests[0]}
    return {"values": values, "pp": tests[0]["pp"], "tg": tests[0]["tg"], **facts}
