"""Batch folders for the tests of reports: records as a batch writes them, made without a model."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from xraygpt_edge.records import Answer, BundleFacts, EngineFacts, Failure, ReadWarning, Source, Timing

BUNDLE = BundleFacts("xraygpt-demo", "ab" * 32, "medclip", "int8", "Q8_0", demo=True)
ENGINE = EngineFacts(
    "0.1.0", "cpu", ("CPUExecutionProvider",), 2, "auto", 512, 0, 0.0, 0.9, 300, "demo", False,
    {"onnxruntime": "1.32.0", "llama_cpp": "0.3.36", "pydicom": "3.0.2"},
)  # fmt: skip
TIMING = Timing(0.21, 0.0, 0.04, 0.31, 1.2, 0.6, 1.76, 46, 38.3)
LATERAL = ReadWarning("W-DCM-003", "The file says that this is a lateral view; the model knows frontal ones.")
QUESTION = "Take a look at this chest x-ray and describe the findings and impression."


def source(data: bytes = b"", kind: str = "dicom", **more: Any) -> Source:
    facts = {"sop_class": "Computed Radiography Image Storage", "transfer_syntax": "JPEG 2000 Image Compression"}
    known = {**facts, "photometric": "MONOCHROME2"} if kind == "dicom" else {}
    return Source(sha256(data).hexdigest(), kind, 2048, 2500, "mimic-jpg", **{**known, **more})


def answer(text: str = "The lungs are clear.", question: str = QUESTION, **more: Any) -> Answer:
    facts = {"finish_reason": "stop", "token_ids": (1, 2, 3), "input": source(), "bundle": BUNDLE, "engine": ENGINE}
    return Answer(text, question, **{**facts, "timing": TIMING, **more})


def record(result: Answer | Failure, path: str, **more: Any) -> dict[str, Any]:
    raw = os.fsencode(path)
    shown = raw.decode("utf-8", "backslashreplace")
    exact = {} if shown.encode() == raw else {"path_b64": base64.b64encode(raw).decode()}
    named = {"id": sha256(raw).hexdigest()[:12], "path": shown, **exact, "attempt": 1, "question": QUESTION}
    return {**named, **result.to_dict(), **more}


def write_batch(folder: Path, records: Sequence[dict[str, Any]], summary: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "ascii")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), "ascii")
    return folder
