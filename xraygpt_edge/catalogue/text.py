"""W-TXT: what the rules see in the words of an answer."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_MARKED = "The answer is as the model wrote it: a mark deletes and changes nothing."
_READ = "Look at the radiograph before you rely on this sentence."

TEXT: dict[str, Entry] = {
    "W-TXT-001": Entry(
        0,
        "a sentence compares with an earlier radiograph that the model has not seen",
        "The model was given one radiograph. Reports that it learnt from often compare with an earlier one, so it "
        "writes 'unchanged' or 'has improved' as a manner of speaking. Nothing was compared.",
        "Take the finding, if you see it, and ignore the comparison.",
        _MARKED,
    ),
    "W-TXT-002": Entry(
        0,
        "two sentences contradict each other",
        "One states what the other denies, on the same side. At most one of them is right.",
        _READ,
        _MARKED,
    ),
    "W-TXT-003": Entry(
        0,
        "a sentence speaks of a view that the model has not seen",
        "It names a lateral view, or several views. The file is another view, or the only one.",
        _READ,
        _MARKED,
    ),
    "W-TXT-004": Entry(
        0,
        "a sentence names a side, and what the file says about sides is doubtful",
        "The file says that it shows one side only, or that its rows do not run to the patient's left. Right and left "
        "may be exchanged in the picture or in the words.",
        "Find out which side is which from the marker in the film.",
        _MARKED,
    ),
    "W-TXT-005": Entry(
        0,
        "a sentence denies a device that another one names",
        "One says that there are no lines or tubes, or none on this side, and another one describes one.",
        _READ,
        _MARKED,
    ),
    "W-TXT-006": Entry(
        0,
        "a sentence gives a measurement",
        "The model sees a small copy of the radiograph and knows no scale: a length in its words is a guess.",
        "Measure in the radiograph itself.",
        _MARKED,
    ),
    "W-TXT-007": Entry(
        0,
        "the answer repeats itself or ends within a sentence",
        "A repeated sentence says nothing new and shows that the model has lost its thread. An answer that ends within "
        "a sentence was cut off at --max-tokens.",
        "Ask again with a larger --max-tokens, or ask a narrower question.",
        _MARKED,
    ),
}
