"""A clinic in miniature: `python -m tests.node_demo` sends a phantom by storescu and finds its report in Orthanc.

Needs Debian's dcmtk and orthanc. Everything happens on this computer, in a folder that is deleted at the end.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.node import Node, Orthanc, destination, running, send, until

ITEMS = "ContentSequence"


def words(item: dict[str, Any]) -> list[str]:
    """What a structured report says, in its order."""
    own = [item["TextValue"]] if "TextValue" in item else []
    return own + [line for each in item.get(ITEMS, ()) for line in words(each)]


def show(bundle: Path, image: Path, commit: str = "true") -> dict[str, Any]:
    """Send an image, wait for its report, and print it; gives the tags of the report as Orthanc has them."""
    with tempfile.TemporaryDirectory(prefix="xraygpt-demo-") as name:
        folder = Path(name)
        orthanc = Orthanc(folder / "orthanc", node := Node(folder, bundle))
        node.write(destination(orthanc.port, more=f"commit = {commit}\n"))
        try:
            with running(node):
                print(f"storescu {image.name}: {'stored' if send(node.port, image).returncode == 0 else 'REFUSED'}")
                (report,) = until(orthanc.instances, 120, "the report is in Orthanc")
                state = node.settled(1)["destinations"][0]
        finally:
            orthanc.stop()
    print(f"Orthanc has: {report['Modality']}, {report['SeriesDescription']}, {report['VerificationFlag']}")
    print(f"patient {report['PatientID']}; not arrived: {state['waiting']}, dead letters: {state['dead']}")
    print("\n".join(words(report)))
    return report


if __name__ == "__main__":
    show(ROOT / "models" / "demo", Path(sys.argv[1]) if len(sys.argv) > 1 else min((ROOT / "examples").glob("*.dcm")))
