"""What a bundle says about its licence: the weights are not ours, and not under our licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bundle says about its licence."""

    licence: str
    """One line."""
    notice: str
    """Text of LICENSES/NOTICE.txt."""


RESEARCH = Terms(
    licence="CC BY-NC-SA 4.0 and the LLaMA licence: research use only, not a medical device",
    notice="""\
This bundle holds the weights of XrayGPT in another file format. They are not part of xraygpt-edge
and not under its licence.

- XrayGPT's weights are published under Creative Commons Attribution-NonCommercial-ShareAlike 4.0:
  name the authors, do not use them commercially, pass changed versions on under the same terms.
- Its language model is a fine-tuned LLaMA. Meta's LLaMA licence applies to it as well, and allows
  research only. Whoever passes this bundle on needs the right to do so under both.
- The training data (MIMIC-CXR, OpenI) have terms of their own.

Changes: converted from PyTorch to ONNX and GGUF; where a file's name says so, rounded to fewer
bits. How much that changes is in PARITY.md.

Research software, not a medical device. Not for diagnosis or treatment.

XrayGPT: https://github.com/mbzuai-oryx/XrayGPT
CC BY-NC-SA 4.0: https://creativecommons.org/licenses/by-nc-sa/4.0/
""",
)

DEMO = Terms(
    licence="Apache-2.0; knows only drawn phantoms",
    notice="""\
This bundle is a demonstration. Its weights were trained from nothing, on drawn phantoms and made-up
sentences, by the program in export/demo of xraygpt-edge. No radiograph and no weight of anybody
else is in it. It is under the Apache License, Version 2.0, like xraygpt-edge itself:
https://www.apache.org/licenses/LICENSE-2.0

What it says about a real radiograph means nothing. Not a medical device.
""",
)

RANDOM = Terms(
    licence="Apache-2.0; random weights, for measuring a machine",
    notice="""\
This bundle holds random numbers in the shape of a model. It is for measuring time and memory, and
every answer it gives is noise. It is under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
""",
)
