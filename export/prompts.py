"""The words that each model was trained and shown with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import typer

from xraygpt_edge.bundle import XRAYGPT_CLEAN_UP, PromptRecipe
from xraygpt_edge.bundle.manifest import QuestionGroup, UsualQuestion
from xraygpt_edge.generation.prompt import Template

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

PHRASES = (
    "The chest x-ray shows no acute cardiopulmonary abnormality.",
    "The lungs are clear without focal consolidation, pleural effusion or pneumothorax.",
    "There is no focal consolidation, pleural effusion, or pneumothorax.",
    "No focal consolidation, pleural effusion, or pneumothorax is seen.",
    "There is no evidence of pneumonia, pulmonary edema or pleural effusion.",
    "There is no pleural effusion or pneumothorax.",
    "The heart size is normal. The mediastinal contours are unremarkable.",
    "The cardiomediastinal silhouette is within normal limits.",
    "The cardiac and mediastinal silhouettes are stable.",
    "The heart is mildly enlarged. The heart is moderately enlarged.",
    "The pulmonary vasculature is normal.",
    "There is mild pulmonary vascular congestion.",
    "The hilar contours are normal. The osseous structures are intact.",
    "No acute osseous abnormality is identified. No bony abnormalities are seen.",
    "Bibasilar atelectasis is present. Low lung volumes are noted.",
    "A small left pleural effusion is present. A small right pleural effusion is present.",
    "Bilateral pleural effusions are present, with adjacent atelectasis.",
    "The endotracheal tube terminates above the carina. The nasogastric tube courses below the diaphragm.",
    "A right internal jugular central venous catheter terminates in the superior vena cava.",
    "Overall, the chest x-ray findings are normal.",
    "Further evaluation and clinical correlation are recommended.",
)
"""Turns that reports of chest radiographs often take. A wrong draft costs a little time and no word."""

XRAYGPT = PromptRecipe(
    default="demo",
    stop=("###",),
    templates={"demo": DEMO, "train": TRAIN},
    phrases=PHRASES,
    clean_up=XRAYGPT_CLEAN_UP,
)

LLAVA_RAD = PromptRecipe(
    default="v1",
    stop=("</s>",),
    templates={
        "v1": Template(
            before=(
                "A chat between a curious user and an artificial intelligence assistant. "
                "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
            ),
            after="\n{question} ASSISTANT:",
            follow_up=" {answer}{token:</s>}USER: {question} ASSISTANT:",
        )
    },
    phrases=PHRASES,
    questions=(
        UsualQuestion("findings", "Provide a description of the findings in the radiology image.", "findings"),
        UsualQuestion(
            "findings",
            "Provide a description of the findings in the radiology image given the following indication: {indication}",
            "findings-indication",
        ),
    ),
)
"""microsoft/LLaVA-Rad @ 1fc4409, template v1 of Vicuna, and the two questions that it was trained with."""

LLAVA_MED = PromptRecipe(
    default="mistral",
    stop=("</s>",),
    templates={
        "mistral": Template(
            before="[INST] ",
            after="\n{question} [/INST]",
            follow_up=" {answer} {token:</s>}[INST] {question} [/INST]",
        )
    },
    phrases=PHRASES,
)
"""microsoft/LLaVA-Med @ d406e3f, template mistral_instruct."""

_ASKED_OF_GEMMA = "\n\n{question}{token:<end_of_turn>}\n{token:<start_of_turn>}model\n"
_GEMMA = Template(
    before="{token:<start_of_turn>}user\n\n\n{token:<start_of_image>}",
    after="{token:<end_of_image>}" + _ASKED_OF_GEMMA,
    follow_up=(
        "{answer}{token:<end_of_turn>}\n{token:<start_of_turn>}user\n{question}"
        "{token:<end_of_turn>}\n{token:<start_of_turn>}model\n"
    ),
)
MEDGEMMA = PromptRecipe(
    default="radiologist",
    stop=("<end_of_turn>",),
    templates={
        "radiologist": replace(
            _GEMMA,
            before="{token:<start_of_turn>}user\nYou are an expert radiologist.\n\n\n\n{token:<start_of_image>}",
        ),
        "plain": _GEMMA,
    },
    phrases=PHRASES,
    questions=(UsualQuestion("describe", "Describe this X-ray", "describe"),),
    thinking=("<unused94>", "<unused95>"),
)
"""Gemma 3's turns as transformers 4.57 writes them, with the instruction and the question of MedGemma's model card."""

QUESTIONS_MAX, QUESTION_MAX_CHARACTERS = 100, 400
IMAGE_MARK = "<Img><ImageHere></Img>"
"""Where upstream's questions have the image; ours stands in the template."""
GROUPS: tuple[tuple[str, QuestionGroup], ...] = (
    ("infection", "infection"),
    ("lymph", "other"),
    ("risk", "other"),
    ("normal or abnormal", "normal or not"),
    ("shape of the heart", "heart"),
    ("heart enlarged", "heart"),
    ("finding", "findings"),
    ("abnormalit", "findings"),
    ("impression", "findings"),
    ("describe", "describe"),
    ("description", "describe"),
)
"""Words of a question → where it stands; the first that occur decide."""


def with_questions(file: Path | None) -> PromptRecipe:
    """XrayGPT's words, and the questions of a file like upstream's `prompts/alignment.txt`: one a line."""
    if file is None:
        return XRAYGPT
    lines = file.read_text("utf-8", "replace").splitlines()
    texts = [text for line in lines if (text := line.replace(IMAGE_MARK, "").strip())]
    if not texts or len(texts) > QUESTIONS_MAX or max(map(len, texts)) > QUESTION_MAX_CHARACTERS:
        raise typer.BadParameter(f"{file}: no list of questions, one a line", param_hint="--questions")
    questions = tuple(UsualQuestion(_group(text.lower()), text) for text in texts)
    return msgspec.structs.replace(XRAYGPT, questions=questions)


def _group(text: str) -> QuestionGroup:
    return next((group for words, group in GROUPS if words in text), "other")
