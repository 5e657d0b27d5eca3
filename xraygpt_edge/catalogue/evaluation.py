"""E-EVA, W-EVA: records held against references."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_UNCHANGED = "Records and references were not changed."

EVALUATION: dict[str, Entry] = {
    "E-EVA-001": Entry(
        2,
        "the references cannot be used",
        "References are a CSV file with a header, or JSON lines. Each has a text and either the id or the path of the "
        "record that it belongs to, and no record has two.",
        "Correct the line that is named.",
        _UNCHANGED,
    ),
    "E-EVA-002": Entry(
        2,
        "no record has a reference",
        "Records and references are matched by id or by path, exactly as records.jsonl has them. Failed records have "
        "no answer to evaluate.",
        "Compare the ids and paths of both files.",
        _UNCHANGED,
    ),
    "E-EVA-003": Entry(
        2,
        "the records answer several questions about a radiograph",
        "A reference is one text, so it can be held against one answer.",
        "Choose the question with --question.",
        _UNCHANGED,
    ),
    "E-EVA-004": Entry(
        2,
        "the strata cannot be used",
        "Strata are a CSV file with the column id or path and one column more for each way to divide the radiographs: "
        "sex, age group, view, device, site. Each radiograph has one line at most.",
        "Correct the line that is named.",
        _UNCHANGED,
    ),
    "E-EVA-005": Entry(
        2,
        "the two sets of records have no radiograph in common",
        "A paired comparison holds two answers about the same radiograph against the same reference.",
        "Name two folders of records about the same radiographs.",
        _UNCHANGED,
    ),
    "E-EVA-014": Entry(
        14,
        "the libraries that score text are missing",
        "ROUGE is computed by rouge-score and BLEU by sacrebleu, so that the figures can be compared with published "
        "ones. They are not needed to ask questions.",
        "Install them: pip install 'xraygpt-edge[evaluate]'.",
        _UNCHANGED,
    ),
}
