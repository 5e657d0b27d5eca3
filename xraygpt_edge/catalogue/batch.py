"""E-BAT, E-OUT-002 and after, W-BAT: many radiographs at once."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_KEPT = "Every record that was written is whole."
_AGAIN = "Run the same command again: it does what is left."

BATCH: dict[str, Entry] = {
    "E-BAT-001": Entry(
        2,
        "this is not a folder of radiographs",
        "batch takes a folder that is there and can be read. It looks at every file below it and follows no link.",
        "Name the folder, or use ask for a single file.",
    ),
    "E-BAT-002": Entry(
        2,
        "the output folder belongs to another job",
        "A job is a bundle, questions, settings and a folder of radiographs. Records of two jobs in one folder "
        "could not be told apart.",
        "Choose another folder with --out, or repeat the first job's options.",
        _KEPT,
    ),
    "E-BAT-011": Entry(
        11,
        "another batch is working in this output folder",
        "Two writers would mix their records. The lock is the system's own: it ends with the process that holds it.",
        "Wait for it, or choose another folder with --out.",
        "Nothing was changed.",
    ),
    "E-BAT-015": Entry(
        15,
        "the process that runs the model could not be started",
        "The system refused a new process: too many are running, or too many files are open.",
        _AGAIN,
        _KEPT,
    ),
    "E-BAT-019": Entry(
        19,
        "the process that runs the model died three times in a row",
        "A native library crashed, or the system ended the process because memory ran out. It was started again "
        "each time, and no radiograph in between was finished.",
        "Look at xraygpt-edge doctor, try --parallel 1, then run the same command again.",
        _KEPT,
    ),
    "E-BAT-020": Entry(
        19,
        "the process that runs the model died twice with this radiograph",
        "The radiograph was tried twice, the second time alone, and a native library crashed or the process "
        "stopped answering both times.",
        "Look at the file with xraygpt-edge inspect; --retry-failed tries it again.",
        "The other radiographs are not affected.",
    ),
    "E-BAT-021": Entry(
        4,
        "this folder cannot be opened",
        "The system refuses to list it, so the radiographs in it are unknown.",
        "Allow reading it; then run the same command again with --retry-failed.",
        "The other radiographs are not affected.",
    ),
    "E-OUT-002": Entry(
        16,
        "the batch cannot write its output",
        "The disk is full, failing or read-only, or the folder does not allow it. A record counts only when it is "
        "safely on disk, so the batch has stopped.",
        f"Make room or choose another folder with --out. {_AGAIN}",
        _KEPT,
    ),
    "E-OUT-003": Entry(
        16,
        "the records are damaged",
        "A line in the middle of records.jsonl is not what a batch writes. A crash can cut off only the last line; "
        "so the file was edited, or the disk is failing.",
        "Bring the folder back from a copy, or run the batch into a new folder.",
        "Nothing was changed.",
    ),
    "E-OUT-004": Entry(
        16,
        "the records cannot be read",
        "The system does not give records.jsonl out: it belongs to somebody else, or the disk is failing.",
        "Allow reading it, or bring the folder back from a copy.",
        "Nothing was changed.",
    ),
    "W-BAT-001": Entry(
        0,
        "files were left out in which radiographs may be",
        "Pictures of formats that are not read, films, and archives, which are not opened. They are counted by "
        "kind; summary.json names the first of each kind.",
        "Save such pictures as DICOM or PNG, or unpack the archives, and run the same command again.",
        _KEPT,
    ),
    "W-BAT-002": Entry(
        0,
        "rows of the table of indications belong to no film of the folder",
        "Their films were asked about without the reason for the exam, or are not there. A path in the table is that "
        "of the film below the folder, with forward slashes, in the same letters.",
        "Compare the table's paths with those in records.jsonl, mend the table, and write to another folder.",
        _KEPT,
    ),
}
