"""Ask a chest radiograph a question on this computer, with no network at all.

Importing this package loads no library; it only switches off ONNX Runtime's telemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xraygpt_edge.offline import silence
from xraygpt_edge.version import __version__

if TYPE_CHECKING:
    from xraygpt_edge.conversation import Conversation
    from xraygpt_edge.engine import EncodedImage, XrayGPT
    from xraygpt_edge.errors import XrayGPTError
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.loading import LoadOptions
    from xraygpt_edge.records import Answer, Failure

silence()

__all__ = [
    "Answer",
    "Conversation",
    "EncodedImage",
    "Failure",
    "LoadOptions",
    "ReadOptions",
    "Sampling",
    "XrayGPT",
    "XrayGPTError",
    "__version__",
]

_HOMES = {
    "Answer": "records",
    "Conversation": "conversation",
    "EncodedImage": "engine",
    "Failure": "records",
    "LoadOptions": "loading",
    "ReadOptions": "imaging.images",
    "Sampling": "generation.request",
    "XrayGPT": "engine",
    "XrayGPTError": "errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `--help` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
