"""E-BUG, E-USE, E-OUT: the program itself, its options and its output."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

PROGRAM: dict[str, Entry] = {
    "E-BUG-001": Entry(
        1,
        "the program met a case that it does not handle",
        "This is a fault of xraygpt-edge, not of your file.",
        "Run the command again with --debug and report what it prints, without patient data.",
    ),
    "E-USE-001": Entry(
        2,
        "the command was not understood",
        "An option, a value or the number of words does not fit the command.",
        "Add --help to the command to see what it takes.",
    ),
    "E-USE-002": Entry(
        2,
        "this id is not known",
        "Ids look like E-DCM-021 for errors and W-DCM-030 for warnings.",
        "List all with: xraygpt-edge explain.",
    ),
    "E-USE-004": Entry(
        2,
        "the question is empty",
        "A question of no words has no answer.",
        "Write a question, or - and give it on standard input.",
    ),
    "E-USE-005": Entry(
        2,
        "the bundle has no prompt template of this name",
        "The words around the question belong to the model and come with the bundle.",
        "Choose one of the bundle's with --template, or leave the option out.",
    ),
    "E-USE-006": Entry(
        2,
        "a bundle of this id is there already",
        "Installed bundles are never overwritten, because results name them.",
        "Remove the installed folder first, or give the new bundle another id.",
        "The installed bundle was not changed.",
    ),
    "E-USE-007": Entry(
        2,
        "several bundles are installed and none was chosen",
        "Which model answers must not depend on chance.",
        "Choose one with --bundle NAME or with the environment variable XRAYGPT_BUNDLE.",
    ),
    "E-USE-008": Entry(
        2,
        "the question and the answer do not fit the model's context",
        "Prompt, image embeddings and answer share a context of fixed length. Cutting the prompt would cut the image "
        "away, so nothing is cut.",
        "Ask a shorter question, or allow a shorter answer with --max-tokens.",
    ),
    "E-USE-009": Entry(
        2,
        "this text is not clean UTF-8",
        "Text is read as UTF-8, or by its byte-order mark. Any other alphabet would be a guess, and one wrong letter "
        "makes another question. Control characters are refused too: a wrong alphabet leaves them, and a screen would "
        "obey them.",
        "Save the text as UTF-8, or give it on standard input with the byte-order mark of UTF-8, UTF-16 or UTF-32.",
        "It was not asked.",
    ),
    "E-USE-010": Entry(
        2,
        "the bundle has no question of this name",
        "A question that begins with @ is taken from the bundle, by its name.",
        "See its names: xraygpt-edge bundle info NAME. Or write the question itself.",
        "Nothing was asked.",
    ),
    "E-USE-011": Entry(
        2,
        "the indication and the question do not go together",
        "Only some models take the reason for the exam, in a place of their own questions; put anywhere else it would "
        "be something that they were never trained with.",
        "Ask a question that has a place for it, such as @findings where the bundle has one, or leave it out. One "
        "that holds {indication} needs it: --indication TEXT, or `indication` in the settings of a node.",
        "Nothing was asked.",
    ),
    "E-USE-012": Entry(
        2,
        "the indication is too long",
        "The reason for an exam is a line of at most 500 characters; it is not cut, since its end may matter most.",
        "Shorten it.",
        "Nothing was asked.",
    ),
    "E-USE-013": Entry(
        2,
        "the table of indications cannot be used",
        "It is a CSV file whose first line is path,text: the film's path below the folder, and the reason for its "
        "exam. Each film stands there once, or not at all.",
        "Correct the table, and run the batch again.",
        "Nothing was asked.",
    ),
    "E-OUT-001": Entry(
        16,
        "the output cannot be written",
        "The disk is full, or the folder does not allow it.",
        "Choose another place, or make room.",
    ),
    "E-OUT-004": Entry(
        16,
        "the output would replace the radiograph itself",
        "The place to save to is the file that was read.",
        "Choose another place.",
        "The radiograph was not changed.",
    ),
}
