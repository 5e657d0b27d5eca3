"""What keeps libraries from the network, done before their first import: afterwards it is too late.

ONNX Runtime's telemetry, measured with 1.32: the variable set before the import, no socket and no file; set later,
or with `disable_telemetry_events()`, a device id and an event database are written all the same.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "ORT_DISABLE_TELEMETRY"

_came_too_late = False


def silence() -> None:
    """Set the variable; remember if ONNX Runtime was imported without it."""
    global _came_too_late  # noqa: PLW0603 - a fact about this process, set once at import
    if os.environ.get(VARIABLE) != "1":
        _came_too_late = "onnxruntime" in sys.modules
        os.environ[VARIABLE] = "1"


def came_too_late() -> bool:
    """Whether ONNX Runtime was imported before its telemetry was off."""
    return _came_too_late


def forbid_requests() -> None:
    """For processes of our own: pydicom imports `requests` if there is one, which opens a socket to try IPv6."""
    sys.modules["requests"] = None  # type: ignore[assignment]  # importing it fails, and pydicom does without
