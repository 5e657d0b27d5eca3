"""The benchmark suite: its arithmetic, its reading of the peers' output, and a whole small run. No time is judged."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest
from typer.testing import CliRunner

from benchmarks import (
    busy,
    child,
    drafted,
    machine,
    memory,
    ours,
    pairs,
    peers,
    plot,
    results,
    table,
    tools,
    trusted,
    vision,
)
from benchmarks.__main__ import app
from benchmarks.pairs import Contest, Metric, Side
from benchmarks.run import MEASUREMENTS, NotQuiet, run
from benchmarks.task import Sizes, Task
from benchmarks.upstream import NO_TWIN
from tests import tiny

# Printed by the tools of llama-cpp-python 0.3.36 for the demonstration's language model.
LLAMA_BENCH = """
[
  {
    "build_commit": "0c1e570",
    "build_number": 1,
    "cpu_info": "AMD EPYC",
    "gpu_info": "",
    "backends": "CPU",
    "model_filename": "models/demo/language-Q8_0.gguf",
    "model_type": "llama ?B Q8_0",
    "model_size": 4187264,
    "model_n_params": 3934496,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 1,
    "cpu_mask": "0x0",
    "cpu_strict": false,
    "poll": 50,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": -1,
    "n_cpu_moe": 0,
    "split_mode": "layer",
    "main_gpu": 0,
    "no_kv_offload": false,
    "flash_attn": -1,
    "devices": "auto",
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "load_mode": "auto",
    "lazy_mode": "auto",
    "embeddings": false,
    "no_op_offload": 0,
    "no_host": false,
    "repack": false,
    "fit_target": 0,
    "fit_min_ctx": 0,
    "n_prompt": 61,
    "n_gen": 0,
    "n_depth": 0,
    "test_time": "2026-11-24T03:47:17Z",
    "avg_ns": 15534333,
    "stddev_ns": 5091422,
    "avg_ts": 4149.668281,
    "stddev_ts": 1360.065010,
    "samples_ns": [ 19134511, 11934156 ],
    "samples_ts": [ 3187.96, 5111.38 ]
  }
]
"""
BATCHED_BENCH = """
{"n_kv_max": 1024, "n_batch": 2048, "n_ubatch": 512, "flash_attn": -1, "is_pp_shared": 0, "n_gpu_layers": -1, \
"n_threads": 1, "n_threads_batch": 1, "pp": 61, "tg": 8, "pl": 1, "n_kv": 69, "t_pp": 0.024614, \
"speed_pp": 2478.264404, "t_tg": 0.003015, "speed_tg": 2653.399658, "t": 0.027629, "speed": 2497.375732}
{"n_kv_max": 1024, "n_batch": 2048, "n_ubatch": 512, "flash_attn": -1, "is_pp_shared": 0, "n_gpu_layers": -1, \
"n_threads": 1, "n_threads_batch": 1, "pp": 61, "tg": 8, "pl": 4, "n_kv": 276, "t_pp": 0.035031, \
"speed_pp": 6965.259766, "t_tg": 0.005068, "speed_tg": 6314.127930, "t": 0.040099, "speed": 6882.964844}

"""
SMALL = Sizes(
    repetitions=1,
    encoded=1,
    images=2,
    image_px=256,
    answer_tokens=4,
    memory_tokens=4,
    starts=1,
    clients=3,
)
SPEED = Metric("speed", "speed", "tokens/s", higher_is_better=True)
TIME = Metric("time", "time", "s", higher_is_better=False)


@pytest.fixture(scope="module")
def task(tmp_path_factory, root) -> Task:
    return Task(tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny"), root / "models/demo", 1, SMALL)


def contest(values: dict[str, list[float]], metric: Metric, **rest) -> dict:
    """A contest whose sides measure these values, round after round."""
    queues = {name: iter(numbers) for name, numbers in values.items()}
    sides = [
        Side(name, lambda queue=queue: {"values": {metric.name: next(queue)}}, len(values[name]))
        for name, queue in queues.items()
    ]
    measured = pairs.measured(Contest("drawn", (metric,), tuple(sides), **rest), 3, lambda measure: measure())
    return json.loads(json.dumps(measured))


def test_a_ratio_is_ours_against_the_peer_in_the_same_round():
    ours_row, peer_row = pairs.summary(contest({"ours": [10, 40, 30], "peer": [20, 20, 10]}, SPEED))
    assert (ours_row.value, ours_row.ratio) == (30, None)
    assert (peer_row.value, peer_row.ratio) == (20, 2.0)  # of 0.5, 2 and 3
    assert (peer_row.lowest, peer_row.highest, peer_row.rounds) == (0.5, 3.0, 3)


def test_where_less_is_better_the_ratio_turns_over():
    _, peer = pairs.summary(contest({"ours": [1, 2, 4], "peer": [4, 4, 4]}, TIME))
    assert (peer.ratio, peer.lowest, peer.highest) == (2.0, 1.0, 4.0)


def test_a_slow_peer_may_miss_rounds():
    _, peer = pairs.summary(contest({"ours": [1, 2, 4], "peer": [8]}, TIME))
    assert (peer.rounds, peer.ratio) == (1, 8.0)


def test_our_own_ways_get_no_ratio():
    rows = list(pairs.summary(contest({"low": [1, 1, 1], "fast": [2, 2, 2]}, TIME, has_peers=False)))
    assert [row.ratio for row in rows] == [None, None]


def test_sides_take_turns():
    turns = []
    sides = tuple(Side(name, lambda name=name: turns.append(name) or {"values": {}}) for name in ("ours", "peer"))
    pairs.measured(Contest("drawn", (SPEED,), sides), 2, lambda measure: measure())
    assert turns == ["ours", "peer", "ours", "peer"]


def test_llama_bench_is_read_and_its_paths_are_dropped():
    found = tools.read_bench(LLAMA_BENCH)
    assert found["values"] == {"tokens_per_s": (3187.96 + 5111.38) / 2}
    assert (found["n_prompt"], found["n_threads"], found["repack"]) == (61, 1, False)
    assert "models/" not in json.dumps(found)


def test_llama_batched_bench_is_read():
    found = tools.read_batched(BATCHED_BENCH)
    assert found["values"] == {
        "decode_1": 2653.399658,
        "decode_4": 6314.127930,
        "prompt_1": 2478.264404,
        "prompt_4": 6965.259766,
    }
    assert (found["pp"], found["tg"]) == (61, 8)


def test_tools_are_kept_under_the_key_of_the_wheel_and_only_when_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = peers.folder_here()
    assert folder.parent == tmp_path / "xraygpt-edge/peers"
    assert peers.kept(folder) is None
    (folder / "bin").mkdir(parents=True)
    (folder / "receipt.json").write_text("{}")
    assert peers.kept(folder) is None
    suffix = ".exe" if sys.platform == "win32" else ""
    for tool in peers.TOOLS:
        (folder / "bin" / f"{tool}{suffix}").touch()
    assert peers.ready() == peers.kept(folder)


def test_our_sides_decode_as_many_tokens_as_the_peer_is_told(task):
    shared = {"language": str(task.language_path), "threads": 1, "n_rows": 2}
    prompt = ours.prompt(**shared, repetitions=2, repack=False)
    assert len(prompt["samples_tokens_per_s"]) == 2
    decode = ours.decode(**shared, tokens=5, repack=True)
    assert decode["ended_early"] or decode["tokens"] == 5
    many = ours.many(**shared, sequences=[1, 3], tokens=5)
    assert sorted(many["values"]) == ["decode_1", "decode_3", "prompt_1", "prompt_3"]
    assert all(value > 0 for value in (*many["values"].values(), prompt["values"]["tokens_per_s"]))


@pytest.mark.long
def test_the_suite_runs_and_keeps_every_round(task, tmp_path, capsys):
    file = run(task, ["vision", "folder", "start"], 1, tmp_path / "out", anyway=True)
    result = results.load(file)
    assert [m["name"] for m in result["measurements"]] == ["vision", "folder", "start"]
    assert results.newest(tmp_path / "out") == file
    folder = result["measurements"][1]["rounds"][0]
    assert folder["batch"]["answers"] == 2
    assert folder["batch"]["tokens"] == folder["ask"]["tokens"]  # the same answers, so the same work
    assert NO_TWIN in result["measurements"][1]["notes"]
    assert set(result["measurements"][2]["rounds"][0]["xraygpt-edge"]["values"]) >= {"whole_s", "help_s"}
    text = table.markdown(result)
    assert "| a radiograph of a folder | s | ask |" in text
    assert str(task.bundle) not in file.read_text("utf-8")
    drawn = ET.fromstring(plot.svg(result))
    assert drawn.tag.endswith("svg")


def test_the_whole_tree_of_processes_is_weighed():
    below = "import time; held = b'x' * 10**8; time.sleep(1)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {below!r}])"
    peak = memory.peak_of([sys.executable, "-c", code])
    assert peak.rss_bytes > 1e8
    assert sys.platform != "linux" or 1e8 < peak.pss_bytes <= peak.rss_bytes


def test_a_side_that_fails_says_why():
    with pytest.raises(child.SideFailed, match=r"(?s)ended with 3.*no such thing"):
        child.run([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"])


def a_wheel(path: Path) -> Path:
    """The llama.cpp that is installed, as a wheel."""
    package = Path(find_spec("llama_cpp").origin).parent
    with ZipFile(path, "w") as archive:
        for file in package.rglob("*"):
            archive.write(file, file.relative_to(package.parent))
    return path


@pytest.mark.long
def test_each_build_is_measured_alone_and_beside_a_busy_program(task, tmp_path, monkeypatch):
    wheel = a_wheel(tmp_path / "ours.whl")
    monkeypatch.setattr("export.llama_wheel.built_wheel", lambda cpu: wheel)
    compared = Task(task.bundle, task.demo, 1, SMALL, {"portable": wheel})
    native, portable = results.load(run(compared, ["busy"], 1, tmp_path, anyway=True))["measurements"]
    assert (native["name"], native["sides"]) == ("busy, native", ["xraygpt-edge"])
    assert (portable["name"], portable["sides"]) == ("busy, portable", ["xraygpt-edge", "other wheel"])
    for side in (native["rounds"][0]["xraygpt-edge"], *portable["rounds"][0].values()):
        values = side["values"]
        assert values["kept"] == values["beside"] / values["alone"]


@pytest.mark.long
def test_a_kits_build_is_measured_beside_the_native_one_and_an_older_kits(task, tmp_path, monkeypatch):
    wheel = a_wheel(tmp_path / "ours.whl")
    monkeypatch.setattr("export.llama_wheel.built_wheel", lambda cpu: wheel)
    compared = Task(task.bundle, task.demo, 1, SMALL, {"portable": wheel})
    (kit,) = results.load(run(compared, ["kit"], 1, tmp_path, anyway=True))["measurements"]
    assert kit["sides"] == ["kit", "native build", "other wheel"]
    rows = list(pairs.summary(kit))
    assert [(row.metric.name, row.side) for row in rows] == [
        (name, side) for name in ("prompt", "alone", "beside") for side in kit["sides"]
    ]
    assert all(row.value > 0 and (row.ratio is None) == (row.side == "kit") for row in rows)


def test_a_side_takes_the_packages_that_it_is_told(tmp_path):
    (tmp_path / "told.py").write_text("import json; dumps = json.dumps", "utf-8")
    code = "import told; print(told.__file__)"
    assert child.run([sys.executable, "-c", code], packages=tmp_path).strip() == str(tmp_path / "told.py")


def test_the_busy_program_is_busy_and_ends_with_the_measurement():
    with busy.endless_loop() as pid:
        loop = psutil.Process(pid)
        while loop.cpu_times().user < 0.2:
            time.sleep(0.01)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("given", ["native", "desktop=FILE", "native=nowhere.whl", "native=FILE"])
def test_a_wheel_that_cannot_be_compared_is_refused(given, tmp_path):
    given = given.replace("FILE", __file__)
    result = CliRunner().invoke(app, ["busy", "--bundle", str(tmp_path), "--other-wheel", given])
    assert result.exit_code == 2


@pytest.mark.slow
def test_drafts_are_measured_along_the_same_words(task, monkeypatch):
    monkeypatch.setattr("xraygpt_edge.generation.core.LARGE_BYTES", 0)
    monkeypatch.setattr("xraygpt_edge.generation.drafter.PAYS_BELOW", math.inf)
    shared = {"language": str(task.demo / "language-Q8_0.gguf"), "demo": str(task.demo), "n_rows": 1, "threads": 1}
    for what in ("reports", "phantoms"):
        ahead, alone = (drafted.replayed(**shared, what=what, draft=draft) for draft in (True, False))
        assert alone["decodes"] == alone["tokens"] == ahead["tokens"]
        assert ahead["decodes"] < 0.9 * alone["decodes"]
    hopeless = drafted.replayed(**shared, what="nonsense", draft=True)
    assert hopeless["decodes"] == hopeless["tokens"]


@pytest.mark.long
def test_several_runs_of_one_bundle_make_one_table_and_others_do_not(task, tmp_path):
    files = [run(task, [name], 1, tmp_path / name, anyway=True) for name in ("vision", "start")]
    assert [m["name"] for m in results.merged(files)["measurements"]] == ["vision", "start"]
    other = run(Task(task.demo, task.demo, 1, SMALL), ["vision"], 1, tmp_path / "other", anyway=True)
    with pytest.raises(ValueError, match="another bundle"):
        results.merged([files[0], other])


@pytest.mark.long
def test_a_server_is_measured_beside_ask_beside_batch_and_under_load(task, tmp_path):
    one, folder, many, _ = results.load(run(task, ["serve"], 1, tmp_path, anyway=True))["measurements"]
    words = one["rounds"][0]["xraygpt-edge"]
    assert words["same_words"] is True
    assert words["values"]["serve_first_s"] > 0
    assert folder["sides"] == ["serve", "batch"]
    assert folder["rounds"][0]["serve"]["counts"] == {"ok": SMALL.images}
    load = many["rounds"][0]["xraygpt-edge"]
    assert load["statuses"] == {"200": SMALL.clients}
    assert load["values"]["slowest_ms"] >= load["values"]["median_ms"] > 0


def test_a_busy_machine_is_refused_or_marked(task, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "busy_share", lambda: 0.5)
    with pytest.raises(NotQuiet, match="50%"):
        run(task, ["vision"], 1, tmp_path, anyway=False)
    assert list(tmp_path.iterdir()) == []
    result = results.load(run(task, ["vision"], 1, tmp_path, anyway=True))
    assert result["quiet"] is False
    assert "not quiet" in table.markdown(result)


def test_the_demonstration_has_an_encoder_of_each_precision_and_no_twin(task):
    (contest,) = vision.contests(Task(task.demo, task.demo, 1, SMALL))
    assert [side.name for side in contest.sides] == ["ONNX int8", "ONNX fp32"]
    assert contest.notes == (NO_TWIN,)


@pytest.mark.export
@pytest.mark.slow
def test_what_upstream_does_runs_in_pytorch():
    found = child.call(
        "upstream.answer", kind="released", scale="tiny", size_px=224, threads=1, lengths=[8, 21], images=1, tokens=3
    )
    assert found["values"]["seconds_per_radiograph"] > 0
    assert set(found["probed_s"]) == {"bfloat16", "float32"}


def test_each_measurement_is_a_command_and_an_unknown_one_is_refused(tmp_path):
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(name in shown for name in (*MEASUREMENTS, "all", "peers", "table", "plot"))
    assert CliRunner().invoke(app, ["all", "--bundle", str(tmp_path), "--only", "luck"]).exit_code == 2
    assert CliRunner().invoke(app, ["vision", "--bundle", str(tmp_path)]).exit_code == 1


def test_the_program_that_starts_the_sides_loads_nothing_heavy():
    heavy = {"torch", "transformers", "onnxruntime", "llama_cpp", "onnx"}
    code = f"import sys, benchmarks.__main__; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_trust_adds_is_measured_in_pairs_of_one_process(demo: Path, at_once: int) -> None:
    found = trusted.pairs(str(demo), 1, tokens=8, at_once=at_once, repetitions=2)
    assert found["has_profile"]
    assert found["tokens"] == 8
    assert [len(found[side]) for side in ("off_s", "fast_s")] == [2, 2]
    assert set(found["values"]) == {"off_s", "fast_s", "ratio"}
