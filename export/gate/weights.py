"""The files that the gate is shipped as: weights, and a card with their hash, sources and figures."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from xraygpt_edge.imaging.gate.classifier import Classifier

LICENCE = "CC BY-SA 4.0: see LICENCE.txt beside this file"


def save(gate: Classifier, folder: Path, facts: dict[str, Any]) -> None:
    """Write weights.npz, 16 bits a weight, and weights.json, which says what they are and how they did."""
    arrays = {name: getattr(gate, name) for name in ("hidden", "hidden_bias", "output", "output_bias")}
    stream = BytesIO()
    np.savez(stream, **{name: array.astype(np.float16) for name, array in arrays.items()})
    content = stream.getvalue()
    card = {"licence": LICENCE, "sha256": hashlib.sha256(content).hexdigest(), **facts}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.npz").write_bytes(content)
    (folder / "weights.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
