"""E-TRU, W-TRU: how far an answer can be trusted, and the profile that says so."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_UNCHANGED = "Nothing was changed."

TRUST: dict[str, Entry] = {
    "E-TRU-001": Entry(
        13,
        "the trust profile was made for another model",
        "Its figures hold for one encoder file, one language file, one template and one table of findings. With any "
        "other they would look right and be wrong.",
        "Make one for this model: xraygpt-edge calibrate FOLDER.",
        "The answer itself does not need it.",
    ),
    "E-TRU-002": Entry(
        12,
        "the trust profile is damaged",
        "The file is cut, changed, or none that calibrate writes. Nothing of it is used.",
        "Copy it again, or make it again: xraygpt-edge calibrate FOLDER.",
        "The answer itself does not need it.",
    ),
    "E-TRU-003": Entry(
        2,
        "there are too few films for a profile",
        "Whether a film is like the reference films takes at least 100 of them. 300 flag 39 % of badly seen phantoms, "
        "1,200 flag 69 %.",
        "Give a folder of at least 100 radiographs that can be read.",
        _UNCHANGED,
    ),
    "E-TRU-004": Entry(
        2,
        "the labels cannot be used",
        "Labels are a CSV file with the columns id, finding and label: the radiograph's path below the folder, a name "
        "that the model's panel asks about, and 1 for present, 0 for absent, -1 where nobody knows. In each half of "
        "the labelled films something must be present and something absent.",
        "Correct the line that is named, or leave --labels out: then there are no percentages.",
        _UNCHANGED,
    ),
    "E-TRU-005": Entry(
        2,
        "the profile cannot be checked on the films that made it",
        "On its own films every figure looks better than it is.",
        "Give a folder of other radiographs.",
        _UNCHANGED,
    ),
    "E-TRU-006": Entry(
        2,
        "this model has no trust profile yet",
        "A profile lies in the bundle, or beside it where calibrate has written it.",
        "Make one first: xraygpt-edge calibrate FOLDER.",
    ),
    "E-TRU-010": Entry(
        2,
        "no map can be drawn for this model",
        "Maps reached their goals on drawn findings for models with one image embedding a film. With 32 they missed "
        "some, and nobody has measured others, so they are off.",
        "Ask without --map.",
        "The answer is not affected.",
    ),
    "E-TRU-011": Entry(
        2,
        "the records were made by another model",
        "An answer can be asked again only of the bundle that gave it, with the same encoder file and the same "
        "language file. Any other may say other words, and rightly.",
        "Name the bundle that the records name: --bundle.",
        _UNCHANGED,
    ),
    "W-TRU-001": Entry(
        0,
        "The model's figures do not hold for such a film",
        "Its image embeddings lie farther from the reference films than those of 99 in 100 reference films. Then "
        "percentages, verdicts and agreement mean nothing, so none is shown.",
        "Look at the film: the projection, the exposure, what covers it.",
    ),
    "W-TRU-002": Entry(
        0,
        "This answer would read the same without the image",
        "The words are hardly likelier with this film than with another one. So the answer does not rest on it.",
        "Do not use the answer.",
    ),
    "W-TRU-003": Entry(
        0,
        "more than one in ten films are unlike the reference films",
        "The site's films may have changed, or were never like those that the profile was made from.",
        "Make a profile from films of this site: xraygpt-edge calibrate FOLDER.",
    ),
    "W-TRU-004": Entry(
        0,
        "a profile of few films flags fewer of those that the model sees badly",
        "On phantoms, 1,200 reference films flag 69 % of badly seen films, 300 films 39 %, 100 films 23 %.",
        "Take 300 films or more.",
    ),
    "W-TRU-005": Entry(
        0,
        "the model's answers to some questions do not move with the image",
        "Over the reference films their log-odds spread by less than 1.5. A model that sees nothing agrees with itself "
        "perfectly, so no verdict is shown for these findings.",
        "calibrate --check names them.",
    ),
}
