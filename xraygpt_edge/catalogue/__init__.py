"""Every error and warning id: the one place where their words are written."""

from __future__ import annotations

from xraygpt_edge.catalogue.batch import BATCH
from xraygpt_edge.catalogue.entry import Entry
from xraygpt_edge.catalogue.image import IMAGE
from xraygpt_edge.catalogue.model import MODEL
from xraygpt_edge.catalogue.program import PROGRAM
from xraygpt_edge.catalogue.report import REPORT
from xraygpt_edge.catalogue.serve import SERVE

__all__ = ["CATALOGUE", "Entry"]

CATALOGUE: dict[str, Entry] = {**PROGRAM, **MODEL, **IMAGE, **BATCH, **REPORT, **SERVE}
