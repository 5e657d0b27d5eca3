"""What a node asks about each film, in the words of its bundle."""

from __future__ import annotations

from xraygpt_edge import bundle
from xraygpt_edge.batch import DEFAULT_QUESTION
from xraygpt_edge.bundle import Bundle
from xraygpt_edge.bundle.questions import asked, default, with_place
from xraygpt_edge.bundle.store import find_bundle
from xraygpt_edge.errors import UsageError
from xraygpt_edge.node.settings import NodeTable


def opened(node: NodeTable) -> tuple[Bundle, tuple[str, ...]]:
    """The bundle of the settings, and the words of their questions, each once.

    Raises UsageError for a name that the bundle lacks and for an indication that no question has a place for;
    NoBundle, BundleAltered, BundleIncompatible.
    """
    found = bundle.opened(find_bundle(node.bundle))
    prompt = found.manifest.prompt
    given = node.questions or (default(prompt) or DEFAULT_QUESTION,)
    indications = {each.strip(): node.indication if with_place(prompt, each.strip()) else "" for each in given}
    if node.indication and not any(indications.values()):
        raise UsageError("E-USE-011", "no question has a place for one")
    return found, tuple(dict.fromkeys(asked(prompt, *each) for each in indications.items()))
