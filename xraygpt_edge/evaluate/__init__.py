"""Records held against references: shared words, findings, sides, contradictions, each with an interval.

keyed       references and strata, read
pairs       records and references, matched
overlap     ROUGE and BLEU: the owner of rouge-score and sacrebleu
findings    tables of what is stated
marks       sides, and what the rules mark
strata      groups of radiographs
trusted     whether what the records say about trust holds
draws       intervals, differences, corrected p-values
evaluation  all of it
"""

from __future__ import annotations

from xraygpt_edge.evaluate.evaluation import NORMAL_REPORT, Evaluation, Options, evaluate

__all__ = ["NORMAL_REPORT", "Evaluation", "Options", "evaluate"]
