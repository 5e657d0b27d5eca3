"""E-SCA, W-SCA: one folder of radiographs over several machines."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_UNCHANGED = "Nothing was written, and no shard was changed."
_KEPT = "Every record that was written is whole."
_AGAIN = "Run the same command again: it does what is left."

SCALE: dict[str, Entry] = {
    "E-SCA-001": Entry(
        4,
        "the list of films cannot be used",
        "A list has one film a line, and its last line says how many there are and what their SHA-256 is. A list "
        "that was cut off or edited would leave films out without a word.",
        "Copy the list again, or make it anew with xraygpt-edge plan.",
        "Nothing was asked.",
    ),
    "E-SCA-002": Entry(
        2,
        "the list would replace a file that is no list",
        "plan overwrites only what it has written itself.",
        "Choose another name with --out.",
        "The file was not changed.",
    ),
    "E-SCA-003": Entry(
        2,
        "these are not shards of one job",
        "Shards are merged when bundle, questions, settings, number of shards, list and program version are the same; "
        "without a list, the folder too. Answers that were made in different ways must not look like one batch.",
        "Leave out the one that is named, or run it again with the others' options.",
        _UNCHANGED,
    ),
    "E-SCA-004": Entry(
        13,
        "the records of a shard are damaged",
        "A line in the middle of its records.jsonl is not what a batch writes. A crash can cut off only the last line; "
        "so the file was edited, was copied badly, or a disk is failing.",
        "Copy the shard's folder again, or run that shard into a new folder.",
        _UNCHANGED,
    ),
    "E-SCA-005": Entry(
        2,
        "two shards answer the same question about the same radiograph differently",
        "The same shard was run twice, and one of the answers would be dropped. Different processors or several at "
        "once can turn a near tie.",
        "Leave one of the two folders out.",
        _UNCHANGED,
    ),
    "E-SCA-006": Entry(
        3,
        "the shards are not complete",
        "A shard is missing, has not come to its end, or has failures. Merged like this, nobody would see that "
        "radiographs are missing.",
        "Finish those that are named, --retry-failed tries failures again; or merge what is there with --partial.",
        _UNCHANGED,
    ),
    "E-SCA-007": Entry(
        2,
        "the answers come from several kinds of processor",
        "Different processors choose different kernels, which round differently: a near tie between two words can fall "
        "to the other side. --one-cpu asked for one kind.",
        "Run the shards of one kind again on the other, or leave --one-cpu out.",
        _UNCHANGED,
    ),
    "E-SCA-008": Entry(
        2,
        "the output folder holds other records",
        "merge replaces nothing but the very same records: somebody may have gone on with them.",
        "Choose another folder with --out.",
        "Nothing was changed.",
    ),
    "E-SCA-009": Entry(
        2,
        "this is not a folder that batch has written",
        "merge takes the folders that were given to batch with --out. Each holds job.json.",
        "Name those folders, or leave this one out.",
        _UNCHANGED,
    ),
    "W-SCA-001": Entry(
        0,
        "the answers come from several kinds of processor",
        "Different processors choose different kernels, which round differently: a near tie between two words can fall "
        "to the other side. Each record says in engine.cpu which one it was.",
        "Use --one-cpu where that must not be.",
        _KEPT,
    ),
    "W-SCA-002": Entry(
        0,
        "the merged records are not complete",
        "--partial asked for what is there. summary.json says what is not, under partial.",
        "Finish the shards and merge them into another folder.",
        _KEPT,
    ),
    "W-SCA-003": Entry(
        0,
        "folders could not be opened, and their films are not in the list",
        "The system refuses to list them.",
        "Allow reading them; then make the list again.",
        "The list is whole otherwise.",
    ),
}
