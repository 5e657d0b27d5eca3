"""The words that XrayGPT was trained and shown with (mbzuai-oryx/XrayGPT @ d0baa6a)."""

from __future__ import annotations

from xraygpt_edge.bundle import PromptRecipe
from xraygpt_edge.prompt import Template

DEMO = Template(
    before=(
        "You are an experienced Doctor, give the following medical scan: <Img>ImageContent</Img>. "
        "You will be able to see the medical scan once I provide it to you. Please answer my questions."
        "###Patient: <Img>"
    ),
    after="</Img> {question}###Doctor:",
    follow_up=" {answer}###Patient: {question}###Doctor:",
)
"""What upstream's demonstration program sends."""

TRAIN = Template(
    before="###Patient: <Img>",
    after="</Img> {question} ###Doctor: ",
    follow_up="{answer}###Patient: {question} ###Doctor: ",
)
"""What the model saw in training; the paper's figures were made with it."""

XRAYGPT = PromptRecipe(default="demo", stop=("###",), templates={"demo": DEMO, "train": TRAIN})
