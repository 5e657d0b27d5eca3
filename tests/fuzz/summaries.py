"""Hostile files for `summarize`: mutated reports, and files that were made to do harm; one number is one file."""

from __future__ import annotations

import numpy as np

from export.demo.reports import sample_report
from tests.fuzz.hostile import change

WORDS = b"FINDINGS: The lungs are clear.\n\nIMPRESSION: No disease.\n"
XML = b'<eCitation><AbstractText Label="FINDINGS">The lungs are clear.</AbstractText></eCitation>'
BOMB = b"<!DOCTYPE b [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)
MADE = (
    (".xml", BOMB + b"]><b>&j;</b>"),
    (".xml", b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><AbstractText>&e;</AbstractText>"),
    (".xml", b"<!DOCTYPE a SYSTEM 'http://localhost/a.dtd'><AbstractText>a</AbstractText>"),
    (".xml", b"<a>" * 50_000),
    (".xml", XML.decode().encode("utf-16")),
    (".xml", b"<AbstractText/>" * 10_000),
    (".txt", b"FINDINGS:" * 25_000),
    (".txt", b"WET READ:\n" * 25_000),
    (".txt", b"IMPRESSION\n" * 20_000),
    (".txt", b"FINDINGS: " + b"no ___ " * 35_000 + b"\n\nIMPRESSION: no disease"),
    (".txt", b"FINDINGS: " + b"(" * 250_000),
    (".txt", b":" * 250_000),
    (".txt", b"*" * 250_000),
    (".txt", b"_" * 250_000),
    (".txt", b" " * 250_000),
    (".txt", b"FINDINGS: a" + b"\n" * 250_000),
    (".txt", b"FINDINGS: " + b"a, " * 80_000 + b"\n\nIMPRESSION: b c"),
    (".txt", b"FINDINGS: " + b"is are and but " * 16_000 + b"\n\nIMPRESSION: b c"),
    (".txt", b"\x00" * 1000),
    (".txt", WORDS.decode().encode("utf-16")),
    (".txt", WORDS.decode().encode("utf-32")),
    (".txt", b"\xef\xbb\xbf" + WORDS),
    (".txt", b"a" * (2 << 20)),
    (".txt", b""),
    (".txt", b"\x1b[2J" + WORDS),
    (".txt", "FINDINGS: \u202e\u2028 \U0001f600 clear".encode()),
)


def make(number: int) -> tuple[str, bytes]:
    """Ending and bytes of the file of a number."""
    if number % 10 == 0:
        return MADE[number // 10 % len(MADE)]
    random = np.random.default_rng(number)
    is_xml = number % 3 == 0
    data = bytearray(XML if is_xml else sample_report(number).text.encode())
    for _ in range(int(random.integers(1, 6))):
        change(data, random, 0)
    return (".xml" if is_xml else ".txt"), bytes(data)
