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

LLAVA_RAD = Terms(
    licence="LLaVA-Rad research use only, LLaMA 2 community licence, Vicuna: not for clinical care, no medical device",
    notice="""\
This bundle holds the weights of LLaVA-Rad in another file format. They are not part of xraygpt-edge
and not under its licence.

- LLaVA-Rad's weights are published for research use only, not for clinical care.
- Its language model is Vicuna-7B v1.5, a fine-tuned LLaMA 2. Meta's LLaMA 2 Community License and
  Vicuna's terms apply to it as well. Whoever passes this bundle on needs the right to do so.
- The training data (MIMIC-CXR) have terms of their own.

Changes: the adapter was added to the language model; converted from PyTorch to ONNX and GGUF; where
a file's name says so, rounded to fewer bits. How much that changes is in PARITY.md.

Research software, not a medical device. Not for diagnosis or treatment.

LLaVA-Rad: https://github.com/microsoft/LLaVA-Rad
""",
)

LLAVA_MED = Terms(
    licence="LLaVA-Med v1.5 research use only, on Mistral-7B (Apache-2.0): no clinical use, not a medical device",
    notice="""\
This bundle holds the weights of LLaVA-Med v1.5 in another file format. They are not part of
xraygpt-edge and not under its licence.

- LLaVA-Med's weights are published for research use only; any clinical use is excluded.
- Its language model is a fine-tuned Mistral-7B-Instruct-v0.2, which is under Apache-2.0.
- Its image encoder is a fine-tuned CLIP ViT-L/14 of OpenAI (MIT).

Changes: converted from PyTorch to ONNX and GGUF; where a file's name says so, rounded to fewer
bits. How much that changes is in PARITY.md.

Research software, not a medical device. Not for diagnosis or treatment.

LLaVA-Med: https://github.com/microsoft/LLaVA-Med
""",
)

MEDGEMMA = Terms(
    licence="Health AI Developer Foundations Terms of Use: not a medical device, see LICENSES/NOTICE.txt",
    notice="""\
This bundle holds the weights of MedGemma in another file format. They are not part of xraygpt-edge
and not under its licence.

HAI-DEF is provided under and subject to the Health AI Developer Foundations Terms of Use found at
https://developers.google.com/health-ai-developer-foundations/terms

- Whoever got the weights has agreed to these terms. They allow more than research; uses that they
  exclude stay excluded, and whoever passes this bundle on must pass these terms on with it.
- Nothing made with them is fit for clinical use without a maker's own validation and, where the law
  asks for it, an approval as a medical device. There is none here.

Changes: converted from PyTorch to ONNX and GGUF; where a file's name says so, rounded to fewer
bits. How much that changes is in PARITY.md.

Not a medical device. Not for diagnosis or treatment.

MedGemma: https://developers.google.com/health-ai-developer-foundations/medgemma
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
