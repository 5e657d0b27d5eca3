"""Every error and warning id: the one place where their words are written."""

from __future__ import annotations

from xraygpt_edge.catalogue.batch import BATCH
from xraygpt_edge.catalogue.entry import Entry
from xraygpt_edge.catalogue.evaluation import EVALUATION
from xraygpt_edge.catalogue.image import IMAGE
from xraygpt_edge.catalogue.model import MODEL
from xraygpt_edge.catalogue.node import NODE
from xraygpt_edge.catalogue.program import PROGRAM
from xraygpt_edge.catalogue.report import REPORT
from xraygpt_edge.catalogue.scale import SCALE
from xraygpt_edge.catalogue.serve import SERVE
from xraygpt_edge.catalogue.summaries import SUMMARIES
from xraygpt_edge.catalogue.text import TEXT
from xraygpt_edge.catalogue.trust import TRUST

__all__ = ["CATALOGUE", "Entry"]

CATALOGUE: dict[str, Entry] = {
    **PROGRAM,
    **MODEL,
    **IMAGE,
    **BATCH,
    **REPORT,
    **SERVE,
    **TEXT,
    **TRUST,
    **EVALUATION,
    **NODE,
    **SCALE,
    **SUMMARIES,
}
