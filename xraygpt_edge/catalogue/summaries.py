"""E-SUM, W-SUM: radiology reports into clean texts."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_UNCHANGED = "Nothing was changed."
_NEXT = "The other reports were not affected."

SUMMARIES: dict[str, Entry] = {
    "E-SUM-001": Entry(
        2,
        "the source of reports cannot be used",
        "summarize reads a folder of .txt and .xml files, one such file, a table (.csv, .jsonl), or - for "
        "standard input.",
        "Name such a source, or say what it holds with --form.",
        _UNCHANGED,
    ),
    "E-SUM-002": Entry(
        2,
        "the table has no column of reports",
        "A table needs a column text, or the columns findings and impression. They may have other names.",
        "Name the columns: --columns id=study_id,text=report.",
        _UNCHANGED,
    ),
    "E-SUM-003": Entry(
        2,
        "the table of images cannot be used",
        "It is a CSV file with the columns study and image_id (or study_id and dicom_id), one line a radiograph; "
        "a column "
        "path says what a batch's records call it.",
        "Correct the line that is named.",
        _UNCHANGED,
    ),
    "E-SUM-004": Entry(
        2,
        "this encoding is not known",
        "It must be a way to write text that Python knows, such as utf-8, cp1252, latin-1 or utf-16.",
        "Name another one with --encoding.",
        _UNCHANGED,
    ),
    "E-SUM-005": Entry(
        2,
        "training needs to know which radiographs belong to which report",
        "Its form names an image beside each text. Only OpenI's XML files name their images themselves.",
        "Name a table of studies and images with --images CSV.",
        "The records are whole.",
    ),
    "E-SUM-006": Entry(
        2,
        "there is no prompt for rewriting",
        "The words around a report belong to the language model. They come with the bundle, or from a file, and hold "
        "{report} once, where the report goes.",
        "Give one with --prompt FILE.",
        _UNCHANGED,
    ),
    "E-SUM-010": Entry(
        4,
        "this report is not in the expected encoding",
        "Text is read as UTF-8, or as --encoding says. Another alphabet would be a guess, and a guess turns "
        "letters into "
        "others.",
        "Save it as UTF-8, or name its encoding with --encoding, into a new folder.",
        _NEXT,
    ),
    "E-SUM-011": Entry(
        4,
        "this report is too long",
        "No report has 262,144 characters: it is another kind of file, or many reports in one.",
        "Look at the file; a table of reports ends in .csv or .jsonl.",
        _NEXT,
    ),
    "E-SUM-012": Entry(
        4,
        "this report holds control characters",
        "A wrong encoding leaves them, as zero bytes in UTF-16, or the file is no text. A screen would obey some "
        "of them.",
        "Name the encoding with --encoding, or save the report as text.",
        _NEXT,
    ),
    "E-SUM-013": Entry(
        4,
        "this XML file cannot be used",
        "It is damaged, declares a document type or entities, or has no AbstractText. Nothing that it refers to "
        "is opened.",
        "Bring the file back from a copy.",
        _NEXT,
    ),
    "E-SUM-014": Entry(
        4,
        "this report cannot be opened",
        "The system refuses it, or it is a link, a pipe or a device. No link is followed.",
        "Allow reading it; then summarize into a new folder.",
        _NEXT,
    ),
    "E-SUM-015": Entry(
        4,
        "this row of the table cannot be used",
        "Its cells do not fit the header, or it is no JSON object with the columns of the others.",
        "Correct the row that is named.",
        _NEXT,
    ),
    "W-SUM-001": Entry(
        0,
        "the rewriting does not say what it was given",
        "A finding was added or lost, or its side or its polarity has turned, or the model did not come to an end. The "
        "rules' own text is used instead.",
        "Read both in --to html; a better prompt or a larger model changes less.",
    ),
    "W-SUM-002": Entry(
        0,
        "reports have no radiograph in the table of images",
        "They are not in the file for training.",
        "See that the table names studies as the files are called.",
    ),
}
