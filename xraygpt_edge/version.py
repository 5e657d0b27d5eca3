"""The version, in a module that anybody may import."""

from __future__ import annotations

__version__ = "0.2.0"
