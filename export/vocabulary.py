"""A SentencePiece vocabulary as GGUF stores it: text, score and type of every token."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece.sentencepiece_model_pb2 as layout
from gguf import GGUFWriter, TokenType
from sentencepiece import SentencePieceProcessor

from export.errors import ExportRefused

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
BPE = 2
"""SentencePiece's number for byte-pair encoding, the only kind that llama.cpp splits alike."""
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
ADDED_SCORE = -1000.0
"""Below every learned token, so that an added one never wins a merge."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a tokenizer folder says."""

    learned: int
    """Tokens of tokenizer.model."""
    known: int
    """These and the added ones; those behind them are spare."""
    texts: tuple[bytes, ...]
    scores: tuple[float, ...]
    types: tuple[TokenType, ...]
    special: Mapping[str, int]
    """Id of each special token that the folder names, as `bos_token` and so on."""
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool


def read_vocabulary(
    folder: Path, model_rows: int, config: Mapping[str, Any], control: Collection[str] = ()
) -> Vocabulary:
    """Read tokenizer.model and the files beside it.

    model_rows: tokens that the model has embeddings for; spare rows get placeholders.
    config: the model's config.json, for ids that the tokenizer's own files leave empty.
    control: texts of tokens that no text may become, beside those that the tokenizer's own files say are special.
    """
    pieces, proto = open_tokenizer(folder), _layout_of(folder / "tokenizer.model")
    rules = _merge_rules(proto)
    settings = _read_json(folder / "tokenizer_config.json")
    named = {**settings, **_read_json(folder / "special_tokens_map.json")}
    added = _added_tokens(folder, settings, pieces.vocab_size())
    known = pieces.vocab_size() + len(added)
    if known > model_rows:
        raise ExportRefused(f"The tokenizer has {known} tokens, the model only {model_rows}.")
    special = _special_ids(named, pieces, added, config)
    spare = range(model_rows - known)
    unspoken = {*control, *_called_special(settings)}
    types = [_type_of(proto.pieces[n], unspoken) for n in range(pieces.vocab_size())]
    texts = [_text_of(proto.pieces[n].piece, kind) for n, kind in enumerate(types)]
    scores = [float(pieces.get_score(n)) for n in range(pieces.vocab_size())]
    for number, text in enumerate(added, start=pieces.vocab_size()):
        texts.append(text.encode())
        is_control = text in unspoken or number in special.values()
        types.append(TokenType.CONTROL if is_control else TokenType.USER_DEFINED)
    texts += [f"[SPARE{n}]".encode() for n in spare]
    types += [TokenType.UNUSED for _ in spare]
    scores += [ADDED_SCORE] * (len(texts) - len(scores))
    return Vocabulary(
        learned=pieces.vocab_size(),
        known=known,
        texts=tuple(texts),
        scores=tuple(scores),
        types=tuple(types),
        special=special,
        add_bos=bool(settings.get("add_bos_token", True)),
        add_eos=bool(settings.get("add_eos_token", False)),
        add_space_prefix=rules.add_dummy_prefix,
    )


def write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Put the vocabulary into a GGUF file's header."""
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(vocabulary.texts))
    writer.add_token_scores(list(vocabulary.scores))
    writer.add_token_types([int(kind) for kind in vocabulary.types])
    setters = {
        "bos_token": writer.add_bos_token_id,
        "eos_token": writer.add_eos_token_id,
        "unk_token": writer.add_unk_token_id,
        "pad_token": writer.add_pad_token_id,
    }
    for name, number in vocabulary.special.items():
        setters[name](number)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
    writer.add_add_space_prefix(vocabulary.add_space_prefix)


def open_tokenizer(folder: Path) -> SentencePieceProcessor:
    """A folder's tokenizer.model; raises ExportRefused when there is none."""
    model = folder / "tokenizer.model"
    if not model.is_file():
        raise ExportRefused(f"{folder.name} has no tokenizer.model; it comes with the model's files.")
    return SentencePieceProcessor(model_file=str(model))


def token_ids(folder: Path, texts: Iterable[str]) -> dict[str, int]:
    """Ids of the tokens of exactly these texts, added ones among them; a text without one is left out."""
    pieces = open_tokenizer(folder)
    count = pieces.vocab_size()
    added = _added_tokens(folder, _read_json(folder / "tokenizer_config.json"), count)
    own = {text: pieces.piece_to_id(text) for text in texts}
    ids = {text: number for text, number in own.items() if pieces.id_to_piece(number) == text}
    return {**ids, **{text: count + added.index(text) for text in own if text in added}}


def _layout_of(model: Path) -> Any:
    proto = layout.ModelProto()  # type: ignore[attr-defined]  # made at import
    proto.ParseFromString(model.read_bytes())
    return proto


def _merge_rules(proto: Any) -> Any:
    """The SentencePiece normaliser's settings, if llama.cpp can do the same."""
    rules, problems = proto.normalizer_spec, []
    if proto.trainer_spec.model_type != BPE:
        problems.append("it is no BPE model")
    if rules.precompiled_charsmap:
        problems.append(f"it rewrites characters before it splits ({rules.name})")
    if rules.remove_extra_whitespaces:
        problems.append("it removes extra spaces")
    if not rules.escape_whitespaces or proto.trainer_spec.treat_whitespace_as_suffix:
        problems.append("it treats spaces in another way than LLaMA's")
    if problems:
        raise ExportRefused("llama.cpp cannot split text as this tokenizer.model does.", problems)
    return rules


def _type_of(piece: Any, unspoken: Collection[str]) -> TokenType:
    """A piece's type, which both number alike; of those that a text could become, some must not."""
    kind = TokenType(piece.type)
    is_text = kind in {TokenType.NORMAL, TokenType.USER_DEFINED}
    return TokenType.CONTROL if is_text and piece.piece in unspoken else kind


def _text_of(piece: str, kind: TokenType) -> bytes:
    """What GGUF stores; llama.cpp looks for a user's own pieces before it writes spaces in SentencePiece's way."""
    return (piece.replace(SPACE, " ") if kind == TokenType.USER_DEFINED else piece).encode()


def _called_special(settings: Mapping[str, Any]) -> set[str]:
    """Texts that the tokenizer's own files call special."""
    tokens = settings.get("added_tokens_decoder", {}).values()
    return {token["content"] for token in tokens if token.get("special")}


def _added_tokens(folder: Path, settings: Mapping[str, Any], first: int) -> list[str]:
    """Texts of the tokens beyond tokenizer.model, in order of their ids."""
    listed = {int(number): text for text, number in _read_json(folder / "added_tokens.json").items()}
    listed |= {int(number): token["content"] for number, token in settings.get("added_tokens_decoder", {}).items()}
    beyond = sorted(number for number in listed if number >= first)
    if beyond != list(range(first, first + len(beyond))):
        raise ExportRefused(f"Added tokens have ids {beyond}; they should follow {first - 1} without a gap.")
    return [listed[number] for number in beyond]


def _special_ids(
    named: Mapping[str, Any],
    pieces: SentencePieceProcessor,
    added: list[str],
    config: Mapping[str, Any],
) -> dict[str, int]:
    """Ids by the tokenizer's own files; an empty name falls back to SentencePiece, then config.json."""
    own = {"bos_token": pieces.bos_id(), "eos_token": pieces.eos_id(), "unk_token": pieces.unk_id()}
    texts = {text: pieces.vocab_size() + n for n, text in enumerate(added)}
    found: dict[str, int] = {}
    for name in SPECIAL:
        token = named.get(name)
        text = token.get("content", "") if isinstance(token, dict) else token or ""
        number = texts.get(text, pieces.piece_to_id(text) if text else -1)
        if text and (number == pieces.unk_id()) and name not in ("unk_token", "pad_token"):
            raise ExportRefused(f"The tokenizer names {text!r} as its {name}, but has no such token.")
        for candidate in (number, own.get(name, -1), config.get(f"{name}_id")):
            if isinstance(candidate, int) and candidate >= 0:
                found[name] = candidate
                break
    missing = [name for name in ("bos_token", "eos_token") if name not in found]
    if missing:
        raise ExportRefused("The tokenizer has no beginning or end of a sequence.", missing)
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ExportRefused(f"{path.name} holds no object.")
    return content
