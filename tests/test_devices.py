"""What this process may use: a container's limits count, not the whole machine's."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from xraygpt_edge import devices


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group within another; its files are still to be written."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "own").write_text("1:name=systemd:/elsewhere\n0::/outer/inner\n")
    monkeypatch.setattr(devices, "CGROUPS", tmp_path)
    monkeypatch.setattr(devices, "OWN_CGROUP", tmp_path / "own")
    return inner


def test_the_smallest_cpu_quota_of_all_containers_around_counts(container: Path) -> None:
    (container / "cpu.max").write_text("max 100000\n")
    (container.parent / "cpu.max").write_text("150000 100000\n")
    assert devices.usable_cpus() == 1


def test_memory_is_what_the_container_has_left_and_file_pages_are_free(container: Path) -> None:
    for folder, limit in ((container, "max"), (container.parent, "2000000000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("900000000")
        (folder / "memory.stat").write_text("anon 1\nactive_file 100000000\ninactive_file 200000000\n")
    assert devices.available_memory_bytes() == 1_400_000_000


def test_without_a_limit_the_machine_counts(container: Path) -> None:
    assert devices.usable_cpus() >= 1
    assert 0 < devices.available_memory_bytes() <= psutil.virtual_memory().total


def test_systems_without_control_groups_are_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "OWN_CGROUP", tmp_path / "absent")
    assert devices.containers() == []
    assert devices.available_memory_bytes() > 0
