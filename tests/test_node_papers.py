"""What a node prints for others: a conformance statement, and units for service managers."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from tests.node import needs
from tests.test_node_parts import MINIMAL, PEER, read
from xraygpt_edge.node import conformance, contexts, service, settings


def test_the_statement_names_exactly_the_classes_and_syntaxes_that_are_taken(tmp_path: Path) -> None:
    statement = conformance.markdown(read(tmp_path, MINIMAL + PEER))
    accepted = statement.partition("## Presentation contexts accepted")[2].partition("## Presentation contexts prop")[0]
    named = set(re.findall(r"\| (1\.2\.[\d.]+) \|", accepted))
    assert named == {*contexts.STORED_CLASSES, *contexts.STORED_SYNTAXES}
    assert "DX1 from 192.168.7.20" in statement
    assert contexts.DEFLATED not in statement


@needs("systemd-analyze")
def test_the_unit_is_sound_and_little_exposed(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    unit = tmp_path / "xraygpt.service"
    unit.write_text(service.systemd(read(tmp_path, MINIMAL + PEER), config))
    assert {"IPAddressAllow=192.168.7.20", "IPAddressAllow=127.0.0.1"} <= set(unit.read_text().splitlines())
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)], capture_output=True, text=True
    )
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd judges no files")
    assert judged.returncode == 0, judged.stdout[-200:]


def test_only_a_port_below_1024_is_given_the_right_to_bind(tmp_path: Path) -> None:
    high = read(tmp_path, MINIMAL)
    low = read(tmp_path, MINIMAL.replace("[[result]]", 'listen = "127.0.0.1:104"\n[[result]]'))
    assert "CAP_NET_BIND_SERVICE" not in service.systemd(high, tmp_path)
    assert "CAP_NET_BIND_SERVICE" in service.systemd(low, tmp_path)


def test_the_task_for_windows_is_well_formed_and_starts_again(tmp_path: Path) -> None:
    text = service.windows(read(tmp_path, MINIMAL), tmp_path / "a & b.toml")
    task = ET.fromstring(text.partition("?>")[2])
    assert [each.text for each in task.iter() if each.tag.endswith("Interval")] == ["PT1M"]
    assert any("a & b.toml" in (each.text or "") for each in task.iter())


@pytest.mark.parametrize("table", [settings.NodeTable, settings.Peer, settings.Destination])
def test_every_key_of_the_settings_is_in_the_docs(root: Path, table: type) -> None:
    docs = (root / "docs" / "node.md").read_text("utf-8")
    keys = [field.encode_name for field in msgspec.structs.fields(table)]
    assert [key for key in keys if f"`{key}`" not in docs] == []
