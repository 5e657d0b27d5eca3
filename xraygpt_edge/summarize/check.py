"""Whether a rewriting says what it was given: claims of the one against claims of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from xraygpt_edge.findings import CHEXPERT, NORMAL_CHEST, Finding
from xraygpt_edge.records import Polarity
from xraygpt_edge.trust import claims
from xraygpt_edge.trust.claims import Claim

Change: TypeAlias = Literal["added", "lost", "turned"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One claim that a rewriting adds, loses or turns into another one."""

    change: Change
    finding: str
    side: str
    """Empty where none is named."""
    polarity: Polarity
    """What the given text says; of an added claim, what the rewriting says."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """A finding on one side, or without one."""

    finding: str
    side: str
    zone: str


@dataclass(frozen=True, slots=True)
class _Said:
    """What a text says."""

    stated: dict[_Atom, frozenset[Polarity]]
    """Present or unsure."""
    named: frozenset[_Atom]
    """Denied by its name: "no effusion"."""
    covered: frozenset[_Atom]
    """Denied by any words; a normal phrase denies what is told together with what it names, too."""
    normal: tuple[frozenset[str], ...]
    """Findings that a sentence such as "The lungs are clear" denies without naming them, and those told with them."""


def differences(given: str, rewritten: str, findings: Sequence[Finding] = CHEXPERT) -> tuple[Difference, ...]:
    """Every claim that is not the same in both; none where the rewriting is faithful.

    What a normal phrase denies without a name may be denied by name, and the other way round: "The lungs are clear"
    for "No consolidation". What neither text nor table of findings names is not seen.
    """
    before, after = _said(given, findings), _said(rewritten, findings)
    found = dict.fromkeys([*_stated(before, after), *_denied(before, after)])
    turned = {d.finding for d in found if d.change == "turned"}
    return tuple(d for d in found if d.change == "turned" or d.finding not in turned)


def _said(text: str, findings: Sequence[Finding]) -> _Said:
    by_name = tuple(replace(finding, normal=()) for finding in findings)
    sentences, bare = claims(text, findings), claims(text, by_name)
    all_claims = [claim for sentence in sentences for claim in sentence.claims]
    together = told_together(findings)
    normal = tuple(
        frozenset[str]().union(*(together[name] for name in names))
        for sentence, named in zip(sentences, bare, strict=True)
        if (names := [c.finding for c in sentence.claims if c.polarity == "absent" and c not in named.claims])
    )
    stated: dict[_Atom, frozenset[Polarity]] = {}
    for claim in all_claims:
        for atom in _atoms(claim) if claim.polarity != "absent" else ():
            stated[atom] = stated.get(atom, frozenset()) | {claim.polarity}
    return _Said(
        _without_vaguer(stated),
        frozenset(atom for s in bare for claim in s.claims if claim.polarity == "absent" for atom in _atoms(claim)),
        frozenset(atom for claim in all_claims if claim.polarity == "absent" for atom in _atoms(claim))
        | frozenset(_Atom(name, "", "") for names in normal for name in names),
        normal,
    )


def told_together(findings: Sequence[Finding]) -> dict[str, frozenset[str]]:
    """Each finding by name, and those that one phrase says to be absent together with it: all of the pleura, say.

    A phrase that denies everything, such as "normal chest", joins nothing.
    """
    phrases = {finding.name: frozenset(finding.normal) - frozenset(NORMAL_CHEST) for finding in findings}
    return {
        name: frozenset({name, *(other for other in phrases if phrases[other] & phrases[name])}) for name in phrases
    }


def _atoms(claim: Claim) -> Iterator[_Atom]:
    for side in claim.sides or ("",):
        yield _Atom(claim.finding, side, claim.zone)


def _without_vaguer(stated: dict[_Atom, frozenset[Polarity]]) -> dict[_Atom, frozenset[Polarity]]:
    """What names no side says nothing beside what does: "effusion", "left effusion"."""
    exact = {(atom.finding, polarity) for atom, said in stated.items() if atom.side for polarity in said}
    kept = {
        atom: said if atom.side else frozenset(p for p in said if (atom.finding, p) not in exact)
        for atom, said in stated.items()
    }
    return {atom: said for atom, said in kept.items() if said}


def _stated(before: _Said, after: _Said) -> Iterator[Difference]:
    lost = [(atom, p) for atom, said in before.stated.items() for p in said - after.stated.get(atom, frozenset())]
    added = [(atom, p) for atom, said in after.stated.items() for p in said - before.stated.get(atom, frozenset())]
    for atom, polarity in lost:
        is_turned = any(a.finding == atom.finding for a, _ in added) or _is_covered(atom, after.covered)
        yield Difference("turned" if is_turned else "lost", atom.finding, atom.side, polarity)
    for atom, polarity in added:
        if not any(a.finding == atom.finding for a, _ in lost):
            is_turned = _is_covered(atom, before.covered)
            yield Difference(
                "turned" if is_turned else "added", atom.finding, atom.side, "absent" if is_turned else polarity
            )


def _denied(before: _Said, after: _Said) -> Iterator[Difference]:
    for change, here, there in (("lost", before, after), ("added", after, before)):
        for atom in sorted(here.named, key=str):
            if not _is_covered(atom, there.covered):
                yield Difference(_change(change), atom.finding, atom.side, "absent")
        denied = {atom.finding for atom in there.covered}
        for names in here.normal:
            if not names & denied:
                yield Difference(_change(change), min(names), "", "absent")


def _change(word: str) -> Change:
    return "lost" if word == "lost" else "added"


def _is_covered(atom: _Atom, covered: frozenset[_Atom]) -> bool:
    """A denial without a side is one of every side; both sides denied are one without."""
    same = {other.side for other in covered if other.finding == atom.finding and other.zone in ("", atom.zone)}
    return bool({"", atom.side} & same) or (not atom.side and {"right", "left"} <= same)
