"""The only reader of DICOM: a grey picture, or patient and study, out of the bytes of a file, or the reason why not.

mending    slips of writers put right in the bytes, before a parser sees them
container  bytes → data set, with warnings caught and bombs stopped
classes    what kind of object it is, from its SOP class
header     data set → the facts that reading needs, each checked
syntaxes   which decoder reads which transfer syntax
fragments  which fragments of the compressed pixels make a frame
codestream what a compressed picture says about itself, against the header
decode     one frame → words
layout     where in a word the value lies, also when the header is wrong about it
tables     lookup tables: modality, VOI, palette
geometry   orientation and aspect ratio
content    what the header says about body part, view and species
picture    all of it in order
identity   patient and study as Unicode, for reports
character_sets  in which the text is written
conformance     values that break their VR: repaired, left out, or kept
"""

from xraygpt_edge.imaging.dicom.identity import read_identity
from xraygpt_edge.imaging.dicom.picture import read

__all__ = ["read", "read_identity"]
