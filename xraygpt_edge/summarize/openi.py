"""OpenI's XML files: sections, study and images. A file that declares a document type or an entity is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from xraygpt_edge.errors import InputRefused

_SECTION, _STUDY, _IMAGE = "AbstractText", "uId", "parentImage"
MOST_DEPTH = 64
MOST_SECTIONS = 64


def read(data: bytes, encoding: str | None = None) -> tuple[str, str, tuple[str, ...]]:
    """Study, text and ids of images of one file; raises InputRefused.

    encoding: instead of the one that the file declares. The text has a heading for each section, as reports have.
    """
    found = _Found()
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler = found.start
    parser.EndElementHandler = found.end
    parser.CharacterDataHandler = found.words
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _refuse
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputRefused("E-SUM-013", f"line {error.lineno}: not well-formed") from None
    except (LookupError, ValueError, UnicodeError):
        raise InputRefused("E-SUM-013", "it declares an encoding that is not known") from None
    if not found.sections:
        raise InputRefused("E-SUM-013", "it has no AbstractText")
    return found.study, "\n\n".join(found.sections), tuple(dict.fromkeys(found.images))


def _refuse(*_: object) -> None:
    raise InputRefused("E-SUM-013", "it declares a document type")


@dataclass(slots=True)
class _Found:
    """What was read so far."""

    study: str = ""
    sections: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    _depth: int = 0
    _inside: int = 0
    """Depth of the section that is being read; 0 between sections."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MOST_DEPTH or len(self.sections) > MOST_SECTIONS:
            raise InputRefused("E-SUM-013", "it is nested too deeply, or has too many sections")
        if name == _SECTION and not self._inside:
            self._inside = self._depth
            label = attributes.get("Label", "").strip()
            self.sections.append(f"{label.upper()}: " if label else "")
        elif name == _STUDY and not self.study:
            self.study = attributes.get("id", "")
        elif name == _IMAGE and "id" in attributes:
            self.images.append(attributes["id"])

    def end(self, _name: str) -> None:
        if self._inside == self._depth:
            self._inside = 0
        self._depth -= 1

    def words(self, words: str) -> None:
        if self._inside:
            self.sections[-1] += words
