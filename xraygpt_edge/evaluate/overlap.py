"""How many words two texts share: the one owner of rouge-score and sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import RuntimeMissing
from xraygpt_edge.evaluate.draws import Statistic

ROUGE = ("rouge1", "rouge2", "rougeL")
METRICS = (*ROUGE, "bleu")
_ORDERS = 4

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Scores of n answers against their references."""

    rouge: Array
    """(n, 3) F-measures of `ROUGE`."""
    bleu: Array
    """(n, 10) counts that a corpus BLEU is computed from: matches and totals of four orders, both lengths."""

    @property
    def statistic(self) -> Statistic:
        """Mean ROUGE and corpus BLEU, (k, 4) as `METRICS`, each from 0 to 1."""

        def of(weights: Array) -> Array:
            rouge = weights @ self.rouge / weights.sum(1, keepdims=True)
            return np.column_stack([rouge, [_bleu(counts) for counts in weights @ self.bleu]])

        return of


def overlap(answers: Sequence[str], references: Sequence[str]) -> Overlap:
    """Score each answer against its reference; raises RuntimeMissing where the libraries are not installed."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise RuntimeMissing("E-EVA-014", error.name or "") from error
    scorer, bleu = RougeScorer(list(ROUGE), use_stemmer=False), BLEU(effective_order=True)
    rouge, counts = [], []
    for answer, reference in zip(answers, references, strict=True):
        scores = scorer.score(reference, answer)
        rouge.append([scores[name].fmeasure for name in ROUGE])
        score = bleu.sentence_score(answer, [reference])
        counts.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return Overlap(np.array(rouge, np.float64), np.array(counts, np.float64))


def signature() -> str:
    """What computed the scores: enough to compute them again."""
    return (
        f"rouge-score {version('rouge-score')}, F-measure, no stemming, rougeL over the whole text; "
        f"sacrebleu {version('sacrebleu')}, corpus BLEU, 13a, mixed case, exp"
    )


def _bleu(counts: Array) -> float:
    from sacrebleu.metrics.bleu import BLEU

    matches, totals = counts[:_ORDERS].astype(int).tolist(), counts[_ORDERS : 2 * _ORDERS].astype(int).tolist()
    score = BLEU.compute_bleu(matches, totals, int(counts[-2]), int(counts[-1]), smooth_method="exp")
    return float(score.score) / 100
