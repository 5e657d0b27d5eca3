"""E-REP, W-REP: reports about a batch's records."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_KEPT = "The batch's records were not changed."

REPORT: dict[str, Entry] = {
    "E-REP-001": Entry(
        2,
        "this folder holds no records of a batch",
        "A report is a view of records.jsonl, which `xraygpt-edge batch` writes into the folder given with --out.",
        "Name the folder that was given to batch with --out.",
    ),
    "E-REP-002": Entry(
        13,
        "the records were written by a newer version of this program",
        "They may say things that this version would leave out without knowing it.",
        "Use the version that wrote them, or a newer one.",
        _KEPT,
    ),
    "E-REP-003": Entry(
        4,
        "summary.json or job.json is damaged",
        "It is not what a batch writes. The file was edited, or the disk is failing.",
        "Bring the folder back from a copy, or run the batch again in a new folder.",
        _KEPT,
    ),
    "E-REP-004": Entry(
        2,
        "this report needs the radiographs",
        "The records hold nothing about the patient. Who and which study it was is copied from the DICOM files.",
        "Name the folder that was given to batch, with --images FOLDER.",
    ),
    "E-REP-005": Entry(
        2,
        "thumbnails and maps need the radiographs",
        "The records hold no pictures. Small ones are made from the files, only when asked for, because they are "
        "patient images.",
        "Name the folder that was given to batch, with --images FOLDER, or leave them out.",
    ),
    "E-REP-010": Entry(
        3,
        "the radiograph is no longer where the batch found it",
        "The file is missing, is a link, or cannot be read. Without it nobody knows which patient the answer is about.",
        "Name the folder that was given to batch, with --images FOLDER.",
        "The other radiographs were not affected.",
    ),
    "E-REP-011": Entry(
        3,
        "the file has changed since the batch",
        "Its SHA-256 is not the one in the record. An answer under another patient's name would be worse than none.",
        "Bring the file back, or run the batch again in a new folder.",
        "The other radiographs were not affected.",
    ),
    "E-REP-012": Entry(
        3,
        "the radiograph belongs to no DICOM study",
        "A picture file has no patient and no study, and some DICOM files lack the study's number. None is made up.",
        "Use --to html, csv or json for these.",
        "The other radiographs were not affected.",
    ),
    "E-REP-013": Entry(
        3,
        "the patient's data cannot be copied exactly",
        "The file does not say in which alphabet its text is written, or says something that does not fit, or a UID "
        "is not one. Copied with a guess, the name would be another one.",
        "Repair the file's SpecificCharacterSet or UID, or use --to html, csv or json.",
        "The other radiographs were not affected.",
    ),
    "W-REP-001": Entry(
        0,
        "a value of the patient or the study is written as DICOM does not allow, and was repaired",
        "Only one thing can be meant, such as 19961029 by 1996.10.29. In the archive it still is as it was.",
    ),
    "W-REP-002": Entry(
        0,
        "a value of the patient or the study is none that DICOM allows, and was left out",
        "Such as a date 00000000, a number that is too long, an unknown sex. Archives refuse objects with such values.",
        "See that the report has found its patient and study in the archive.",
    ),
    "W-REP-003": Entry(
        0,
        "the file's character set is misspelt or unknown",
        "Its text is plain ASCII, which is the same in all, or fits the set that is clearly meant.",
        "See that the patient's name in the report is right.",
    ),
    "W-REP-004": Entry(
        0,
        "an identifier breaks the rules of DICOM and was kept as it is",
        "Archives hold such UIDs and numbers of patients and compare them byte by byte; repaired, it would be another.",
    ),
}
