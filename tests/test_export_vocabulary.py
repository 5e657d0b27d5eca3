"""Our GGUF splits text as the sentencepiece package does: both pieces of the prompt, whatever is asked."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import io
import random

import pytest

torch = pytest.importorskip("torch")

import sentencepiece
from gguf import GGUFWriter, TokenType

from export import synthetic
from export.errors import ExportRefused
from export.language_gguf import convert
from export.prompts import XRAYGPT
from export.vicuna import open_vicuna
from export.vocabulary import read_vocabulary, write_vocabulary
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.prompt import around
from xraygpt_edge.generation.scheduler import Scheduler

pytestmark = pytest.mark.export

STRINGS = 1000
TEXT = """\
the heart is enlarged no pleural effusion pneumothorax consolidation of left right lower lobe normal ###Patient: <Img>
ImageContent</Img> ###Doctor: ### # ## <s> </s> <unk> <0x41> [PAD] 12 3.5cm 1,000 2026-01-02 Größe señor 心脏 Сердце
القلب हृदय 🫁 👩\u200d⚕️ é e\u0301 \ufb01 \u00a0 \u200b \u3000 ½ µm °C x² \t \n \n\n    . , ; ? ! ( ) { } {question}
{answer} ' " \\ / @ _ ▁ ▁▁ ~ ^"""
WORDS = TEXT.split(" ")


def strings(count):
    draw = random.Random(20261)
    for _ in range(count):
        parts = [draw.choice(WORDS) for _ in range(draw.randint(1, 12))]
        text = draw.choice(["", " ", "", "  "]).join(parts) if draw.random() < 0.3 else " ".join(parts)
        if draw.random() < 0.2:
            text = "".join(chr(draw.choice([draw.randint(33, 126), draw.randint(160, 0x2FFF), 0x1F600])) for _ in text)
        yield draw.choice(["", " ", "\n", "   "]) + text + draw.choice(["", " ", "\n", "  "])


def train(**options):
    """A small tokenizer with the options of LLaMA's own."""
    lines = [" ".join(random.Random(n).choices(WORDS, k=12)) for n in range(2000)]
    lines += [template.before + template.after for template in XRAYGPT.templates.values()] * 50
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        **{
            "vocab_size": 640,
            "model_type": "bpe",
            "byte_fallback": True,
            "split_digits": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
            "character_coverage": 0.98,
            "num_threads": 1,
            "minloglevel": 2,
            **options,
        },
    )
    return model.getvalue()


def folder_with(tokenizer, tmp_path, **files):
    source = synthetic.make("medclip", "tiny", 0, tmp_path / "made")
    (source.vicuna / "tokenizer.model").write_bytes(tokenizer)
    for name, text in files.items():
        (source.vicuna / f"{name}.json").write_text(text)
    return source.vicuna


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same vocabulary as sentencepiece sees it, and as llama.cpp sees our GGUF."""
    folder = tmp_path_factory.mktemp("vocabulary")
    tokenizer = train(vocab_size=600)
    gguf = folder / "language-F16.gguf"
    convert(open_vicuna(folder_with(tokenizer, folder)), gguf)
    scheduler = Scheduler.load(gguf, Device("cpu", 1))
    yield sentencepiece.SentencePieceProcessor(model_proto=tokenizer), scheduler
    scheduler.close()


def test_a_thousand_strings_split_alike_alone(pair):
    theirs, ours = pair
    for text in strings(STRINGS):
        before, after = ours.token_ids(text, text)
        assert before == [theirs.bos_id(), *theirs.encode(text)], repr(text)
        assert after == theirs.encode(text), repr(text)


@pytest.mark.parametrize("name", ["demo", "train"])
def test_a_thousand_questions_split_alike_in_the_prompt(pair, name):
    theirs, ours = pair
    for text in strings(STRINGS):
        texts = around(XRAYGPT.templates[name], text)
        before, after = ours.token_ids(*texts)
        assert before == [theirs.bos_id(), *theirs.encode(texts[0])]
        assert after == theirs.encode(texts[1]), repr(text)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "unigram", "vocab_size": 400}, "no BPE"),
        ({"normalization_rule_name": "nmt_nfkc"}, "rewrites characters"),
        ({"remove_extra_whitespaces": True}, "extra spaces"),
    ],
)
def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused(tmp_path, options, reason):
    folder = folder_with(train(**{"vocab_size": 600, **options}), tmp_path)
    with pytest.raises(ExportRefused, match=reason):
        read_vocabulary(folder, 600, {})


def test_more_tokens_than_the_model_has_rows_are_refused(tmp_path):
    with pytest.raises(ExportRefused, match="640 tokens, the model only 600"):
        read_vocabulary(folder_with(train(), tmp_path), 600, {})


def test_added_tokens_and_empty_names_are_honoured_as_vicuna_has_them(tmp_path):
    folder = folder_with(
        train(vocab_size=600),
        tmp_path,
        tokenizer_config='{"bos_token": "", "eos_token": "", "add_bos_token": false}',
        added_tokens='{"[PAD]": 600, "[DOSE]": 601}',
        special_tokens_map='{"pad_token": {"content": "[PAD]"}}',
    )
    vocabulary = read_vocabulary(folder, 604, {"bos_token_id": 9})
    assert vocabulary.special == {"bos_token": 1, "eos_token": 2, "unk_token": 0, "pad_token": 600}
    assert vocabulary.texts[600:] == (b"[PAD]", b"[DOSE]", b"[SPARE0]", b"[SPARE1]")
    assert vocabulary.types[600:] == (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNUSED, TokenType.UNUSED)
    assert not vocabulary.add_bos
    writer = GGUFWriter(tmp_path / "header.gguf", "llama")
    write_vocabulary(writer, vocabulary)
    assert writer.kv_data[0]["tokenizer.ggml.bos_token_id"].value == 1
