"""Questions that a bundle knows by name, and the reason for an exam that some of them hold."""

from __future__ import annotations

import re

from xraygpt_edge.bundle.manifest import PromptRecipe, UsualQuestion
from xraygpt_edge.errors import UsageError
from xraygpt_edge.text import file_name, require_clean

AT = "@"
FINDINGS = "findings"
"""What is asked where no question is given and the bundle has one of this name."""
WITH_INDICATION = "-indication"
PLACE = "{indication}"
INDICATION_MAX_CHARACTERS = 500
_WHITE = re.compile(r"\s+")


def named(prompt: PromptRecipe) -> dict[str, str]:
    """Name → text of each question that has a name."""
    return {question.name: question.text for question in prompt.questions if question.name}


def to_choose_from(prompt: PromptRecipe) -> tuple[UsualQuestion, ...]:
    """Those that can be asked as they stand."""
    return tuple(question for question in prompt.questions if PLACE not in question.text)


def to_complete(prompt: PromptRecipe) -> tuple[UsualQuestion, ...]:
    """Those that are asked by their name, with an indication."""
    return tuple(question for question in prompt.questions if PLACE in question.text and question.name)


def default(prompt: PromptRecipe) -> str | None:
    """What is asked where no question is given, by its name; None where one must be given."""
    return AT + FINDINGS if FINDINGS in named(prompt) else None


def asked(prompt: PromptRecipe, question: str, indication: str = "") -> str:
    """The words of a question: as they are, or behind `@NAME` the bundle's own with the indication in its place.

    Raises UsageError for a name that the bundle lacks, and for an indication without a place or a place without one.
    """
    indication = checked_indication(indication)
    text = _named_text(named(prompt), question.removeprefix(AT), indication) if question.startswith(AT) else ""
    if bool(indication) != (PLACE in text):
        why = "the question has no place for one" if indication else "the question needs one"
        raise UsageError("E-USE-011", why)
    return text.replace(PLACE, indication) or question


def with_place(prompt: PromptRecipe, question: str) -> str | None:
    """The bundle's own words behind `@NAME` with {indication} in them; None for a question without a place for one."""
    texts = named(prompt) if question.startswith(AT) else {}
    name = question.removeprefix(AT)
    found = texts.get(name + WITH_INDICATION, texts.get(name, ""))
    return found if PLACE in found else None


def checked_indication(text: str) -> str:
    """The reason for an exam in one line; raises UsageError when it is too long or no clean text."""
    found = _WHITE.sub(" ", text).strip()
    require_clean(found, "the indication")
    if len(found) > INDICATION_MAX_CHARACTERS:
        raise UsageError("E-USE-012", f"{len(found)} characters")
    return found


def _named_text(texts: dict[str, str], name: str, indication: str) -> str:
    """The text of that name; with an indication the one that has a place for it, where there are both."""
    if name not in texts:
        known = ", ".join(AT + known for known in texts) or "none"
        raise UsageError("E-USE-010", f"{AT}{file_name(name)}; it has {known}")
    return texts.get(name + WITH_INDICATION, texts[name]) if indication else texts[name]
