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
    "E-SCA-014": Entry(
        14,
        "Ray is not installed",
        "scale ray speaks to the machines of a cluster through Ray, which is an extra.",
        'Install it on every machine: pip install "xraygpt-edge[cpu,ray]". Shards (batch --shard) need nothing.',
        "Nothing was asked.",
    ),
    "E-SCA-015": Entry(
        14,
        "the cluster cannot be reached",
        "No head of Ray answers at this address, this computer is no machine of its cluster, the token is another "
        "one, or the versions of Python or Ray differ.",
        "Look at ray status on this computer, and at docs/scale.md for how machines are started.",
        _KEPT,
    ),
    "E-SCA-017": Entry(
        17,
        "no machine has answered for ten minutes",
        "Every machine of the cluster has gone, or has no room for a worker with so many CPUs or GPUs.",
        f"Start machines, or ask for less with --cpus-per-worker. {_AGAIN}",
        _KEPT,
    ),
    "E-SCA-019": Entry(
        19,
        "the cluster has gone",
        "Its head node is lost or does not answer, or memory ran out on this computer: Ray then ends the process that "
        "speaks to it.",
        f"Start the cluster again. {_AGAIN}",
        _KEPT,
    ),
    "E-SCA-020": Entry(
        20,
        "this cluster lets anybody run programs",
        "Whoever reaches Ray's ports may run code as the user who started it. Only a token keeps others out; a "
        "cluster that listens on 127.0.0.1 alone may do without.",
        "Start every machine and this command with RAY_AUTH_MODE=token and the same token, as docs/scale.md shows.",
        "No film was sent.",
    ),
    "E-SCA-021": Entry(
        20,
        "this cluster reports its use to Ray's makers",
        "Ray's usage statistics are on by default, and `ray start` tells even that they are off.",
        "Start every machine with the settings that docs/scale.md shows.",
        "No film was sent.",
    ),
    "E-SCA-022": Entry(
        19,
        "three workers have died with this radiograph",
        "It was given to others twice, the last one had nothing else to do, and each of them was lost.",
        "Look at the file with xraygpt-edge inspect; --retry-failed tries it again.",
        "The other radiographs are not affected.",
    ),
    "E-SCA-023": Entry(
        19,
        "the workers of a machine die again and again",
        "Three in a row were lost there with no radiograph finished in between: memory ran out, or a library crashes.",
        f"Look at xraygpt-edge doctor on that machine. {_AGAIN}",
        _KEPT,
    ),
    "E-SCA-024": Entry(
        14,
        "a machine has another program or another model",
        "All machines must answer alike: the same version of xraygpt-edge and the same bundle, at the same path.",
        "Install the same there.",
        _KEPT,
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
    "W-SCA-004": Entry(
        0,
        "a machine of the cluster takes no further part",
        "Its workers cannot load the model, have another version or bundle, or have died three times in a row.",
        "Look at xraygpt-edge doctor on that machine; it may join again.",
        "The other machines go on with its films.",
    ),
    "W-SCA-003": Entry(
        0,
        "folders could not be opened, and their films are not in the list",
        "The system refuses to list them.",
        "Allow reading them; then make the list again.",
        "The list is whole otherwise.",
    ),
}
