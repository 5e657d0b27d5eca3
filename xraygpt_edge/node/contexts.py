"""Which objects are taken over the wire, in which encodings: one table for receiver and conformance statement."""

from __future__ import annotations

from xraygpt_edge.imaging.dicom.classes import RADIOGRAPHS
from xraygpt_edge.imaging.dicom.syntaxes import CODECS, ROOT

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
"""Storage Commitment Push Model: as a user only."""
COMMITMENT_SYNTAX = ROOT
"""The one that everybody must speak; so its answers can be read by hand."""
DEFLATED = f"{ROOT}.1.99"
STORED_CLASSES = tuple(sorted(RADIOGRAPHS))
"""Computed and digital radiographs, and what radiographs are commonly stored as."""
STORED_SYNTAXES = tuple(syntax for syntax in CODECS if syntax != DEFLATED)
"""All that we decode but the deflated one: a few bytes of it can become gigabytes, and senders fall back."""
PLAIN_SYNTAXES = (ROOT, f"{ROOT}.1")
"""Of everything that is no picture."""
MAXIMUM_PDU_BYTES = 131_072
"""Smaller ones cost a third of the speed."""
