"""llama.cpp through its low-level API.

Thin on purpose: a model, a context, one decode. What must be guarded is guarded before it gets here,
except the one thing that llama.cpp is never told: the width of an embedding.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted, UnusableOutput, XrayGPTError
from xraygpt_edge.generation import cpu_backend
from xraygpt_edge.generation.llama_library import flag_reader, import_backends, import_llama, libraries
from xraygpt_edge.generation.llama_state import STATE_HEAD, WORD_BYTES

ABORTED = 2
"""What llama_decode returns when the abort callback said so."""
NO_SLOT, INVALID_BATCH, NO_MEMORY = 1, -1, -2
"""What else it returns: the KV cache is full, the batch is wrong, an allocation failed."""
NO_VOCABULARY = 0
"""LLAMA_VOCAB_TYPE_NONE."""
PLAIN_ATTENTION, FUSED_ATTENTION = 0, 1
"""LLAMA_FLASH_ATTN_TYPE_DISABLED and _ENABLED. Fused attention is faster, by 3 % for one answer and a tenth for 32 at
once, and sums in fp16: with unrounded weights the original's logits are missed by 0.0195 instead of 0.0077, which
is far less than what rounding the weights does."""
HALF_BYTES = 2
ALL_LAYERS = 999
PROOF_TOKENS = 40
"""Enough for the product of matrices; the token behind them takes that of a matrix and a vector."""
PIECE_BYTES = 256
KV_NUMBER_BYTES = 2
"""Keys and values are kept in fp16."""
FORKS = 15
"""Sequences beside the first that a context of one has: copies of its beginning in the same cells of the cache, for
continuations that are computed in one decode. They cost no cache of their own but for their own tokens."""
WINDOW_ALONE = 1
"""LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY: of a state, what layers with a window hold."""
GEMMA = "gemma3"
"""The architecture that looks at all rows of an image at once, and multiplies its words' embeddings by √n_embd."""
FACT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring positions of one sequence: token ids, or embeddings that stand in for them."""

    content: NDArray[Any]
    """int32 (n,) token ids, or float32 (n, n_embd) embeddings."""
    start: int
    """Position of the first one."""
    sequence: int = 0
    n_logits: int = 0
    """Compute the logits behind so many of its last positions."""
    others: tuple[int, ...] = ()
    """Sequences that hold the same, in the same cells; in a forked context only."""
    is_whole_image: bool = False
    """Rows of an image that look at each other whatever their order: all of them, and nothing else."""

    @property
    def kind(self) -> int:
        """What it may share a decode with: 0 with words, else with images of so many rows."""
        return len(self.content) if self.is_whole_image else 0


class Aborted(Exception):
    """A decode was cancelled; what its sequences hold behind their last whole decode is unknown."""


class LlamaModel:
    """The weights and the vocabulary of a GGUF file."""

    def __init__(self, path: Path, device: Device, *, repack: bool = False) -> None:
        """Open a GGUF file.

        repack: weights in an order that this CPU multiplies faster, which costs
        their size again in memory and seconds at load.
        """
        self.lib = lib = import_llama()
        cpu_backend.make_ready(import_backends(), libraries(), path)
        params = lib.llama_model_default_params()
        params.n_gpu_layers = ALL_LAYERS if device.name == "cuda" else 0
        params.use_extra_bufts = self.repacked = repack
        self.handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise BundleIncompatible("E-BND-023", path.name)
        self._vocab = lib.llama_model_get_vocab(self.handle)
        if lib.llama_vocab_type(self._vocab) == NO_VOCABULARY:  # asked anything, it aborts the process
            raise BundleIncompatible("E-BND-023", f"{path.name} has no vocabulary")
        self.n_embd: int = lib.llama_model_n_embd(self.handle)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self._vocab)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self.handle)
        self.size_bytes: int = lib.llama_model_size(self.handle)
        self.n_parameters: int = lib.llama_model_n_params(self.handle)
        self.is_quantized = self.size_bytes < HALF_BYTES * self.n_parameters
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.n_window: int = lib.llama_model_n_swa(self.handle)
        """Positions that some layers look back at, their own included; 0 where all layers look at all."""
        self.architecture = self._fact("general.architecture")
        self.sees_images_whole = self.architecture == GEMMA
        """Whether the rows of an image look at those behind them too; words never do."""
        self.kv_bytes: int = KV_NUMBER_BYTES * self._kv_width() * lib.llama_model_n_layer(self.handle)
        """Bytes of cache per position."""
        self.space_after_control = True
        """Whether the tokenizer puts its leading space behind a control token too; GGUF does not say."""
        self.thinking: tuple[int, ...] = ()
        """The two tokens between which it thinks aloud, where it does; GGUF does not say."""

    @property
    def word_scale(self) -> float:
        """What llama.cpp multiplies the embedding of a token id by, and not a row that is given."""
        return float(np.sqrt(np.float32(self.n_embd))) if self.sees_images_whole else 1.0

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text: never a control token, no beginning-of-sequence."""
        return self._tokenized(text, parse_special=False)

    def tokenize_behind(self, text: str) -> list[int]:
        """Token ids of plain text that goes on where other text stood: without the tokenizer's leading space."""
        line_break = self.tokenize("\n")  # no other character ever merges with it
        return self.tokenize(f"\n{text}")[len(line_break) :]

    def _kv_width(self) -> int:
        """Numbers that a layer keeps of a position."""
        heads, kv_heads = self.lib.llama_model_n_head(self.handle), self.lib.llama_model_n_head_kv(self.handle)
        lengths = [self._fact(f"{self.architecture}.attention.{of}_length") for of in ("key", "value")]
        return kv_heads * sum(int(length or self.n_embd // heads) for length in lengths)  # type: ignore[no-any-return]

    def _fact(self, key: str) -> str:
        """What the file's header says, as text; empty where it says nothing."""
        buffer = ctypes.create_string_buffer(FACT_BYTES)
        self.lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, FACT_BYTES)
        return buffer.value.decode("utf-8", "replace")

    def control_token(self, text: str) -> int:
        """The id of the control token of exactly this text; raises BundleIncompatible when there is none."""
        ids = self._tokenized(text, parse_special=True)
        is_control = len(ids) == 1 and self.lib.llama_vocab_is_control(self._vocab, ids[0])
        if not is_control or self.lib.llama_vocab_get_text(self._vocab, ids[0]) != text.encode():
            raise BundleIncompatible("E-BND-026", text)
        return ids[0]

    def _tokenized(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", errors="replace")
        ids = (ctypes.c_int32 * (len(data) + 8))()
        count = self.lib.llama_tokenize(self._vocab, data, len(data), ids, len(ids), False, parse_special)
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        length = self.lib.llama_token_to_piece(self._vocab, token, buffer, PIECE_BYTES, 0, False)
        return buffer.raw[: max(0, length)]

    def is_end(self, token: int) -> bool:
        """Whether the model ends its answer with this token."""
        return bool(self.lib.llama_vocab_is_eog(self._vocab, token))

    def close(self) -> None:
        """Give the memory back."""
        if self.handle:
            self.lib.llama_model_free(self.handle)
            self.handle = None


class LlamaContext:
    """A KV cache over a model, and the decodes that fill it.

    n_ctx: positions of each sequence. Each has a part of the cache to itself: in one cache for all, plain attention
    would compute every token against the positions of every other sequence, and throw most of it away. A context of
    one sequence can be forked instead.
    """

    def __init__(self, model: LlamaModel, n_ctx: int, n_batch: int, threads: int, n_sequences: int = 1) -> None:
        if n_sequences > n_batch:  # llama.cpp would abort the process
            raise ValueError(f"{n_sequences} sequences and batches of {n_batch}")
        self._model, self._lib = model, model.lib
        self.n_ctx, self.n_batch = n_ctx, n_batch
        self._cancelled = ctypes.create_string_buffer(2)
        self.copies_pending = False
        """llama.cpp makes copies of sequences when it decodes the next time: until then a copy has no state."""
        params = self._lib.llama_context_default_params()
        params.n_ctx = n_ctx * n_sequences
        params.n_batch = params.n_ubatch = n_batch
        is_forked = n_sequences == 1 and n_batch > FORKS
        params.n_seq_max, params.kv_unified = 1 + FORKS if is_forked else n_sequences, is_forked
        params.swa_full = True  # layers with a window keep all positions too: a prefix is cut where others go on
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        params.flash_attn_type = FUSED_ATTENTION if model.is_quantized else PLAIN_ATTENTION
        params.abort_callback = flag_reader(self._lib)
        params.abort_callback_data = ctypes.addressof(self._cancelled)
        self.handle = self._lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise ResourceExhausted("E-RUN-015", f"a KV cache of {n_ctx} positions could not be made")

    def decode(self, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        """Compute spans, all of token ids or all of embeddings and of one kind, at most n_batch positions in all.

        In the order of their sequences: llama.cpp computes neighbours together, and others one after another.
        Returns logits (n_logits, n_vocab) for each span, which may be NaN. Raises Aborted, ValueError where
        llama.cpp would read past a buffer or abort the process, and what llama.cpp's status stands for.
        """
        if len({span.kind for span in spans}) > 1:  # the shorter of two images would cut the longer one
            raise ValueError("spans of several kinds in one decode")
        batch, keep_alive = self._batch(spans)
        self._lib.llama_set_causal_attn(self.handle, not spans[0].is_whole_image)
        status = self._lib.llama_decode(self.handle, batch)
        del keep_alive
        if status != 0:
            raise self._failure(status)
        self.copies_pending = False
        ends = np.cumsum([len(span.content) for span in spans]).tolist()
        return [self._logits(range(end - span.n_logits, end)) for span, end in zip(spans, ends, strict=True)]

    def cancel(self) -> None:
        """Make the decode that is running raise Aborted soon; safe from any thread."""
        self._cancelled[0] = b"1"

    def resume(self) -> None:
        """Let the next decode run: a cancelled one is over."""
        self._cancelled[0] = b"\0"

    def clear(self) -> None:
        """Forget every sequence, and overwrite what was remembered."""
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self.handle), True)

    def forget_from(self, position: int, sequence: int = 0) -> bool:
        """Forget a sequence's positions from this one on; whether what is left can be continued.

        It cannot where layers with a window lack some of what the next position looks at: a state that was copied
        holds no more than its own next position needs.
        """
        memory, window = self._lib.llama_get_memory(self.handle), self._model.n_window
        self._lib.llama_memory_seq_rm(memory, sequence, position, -1)
        if not window or not position:
            return True
        first: int = self._lib.llama_memory_seq_pos_min(memory, sequence)  # -1 where nothing is left
        return 0 <= first <= max(0, position - window + 1)

    def copy(self, source: int, target: int) -> None:
        """Make the target sequence what the source is; what it was before is forgotten."""
        self.copies_pending = True
        self._lib.llama_memory_seq_cp(self._lib.llama_get_memory(self.handle), source, target, -1, -1)

    def fork(self, length: int, n_forks: int) -> None:
        """Let sequences 1 to n_forks begin with so many positions of sequence 0, in a context of one."""
        memory = self._lib.llama_get_memory(self.handle)
        for number in range(1, n_forks + 1):
            self._lib.llama_memory_seq_cp(memory, 0, number, 0, length)

    def forget_forks(self) -> None:
        """Forget all sequences but the first."""
        memory = self._lib.llama_get_memory(self.handle)
        for number in range(1, FORKS + 1):
            self._lib.llama_memory_seq_rm(memory, number, -1, -1)

    def state(self, sequence: int) -> bytes:
        """Copy what the cache holds of a sequence, for a context of as many; not while copies are pending."""
        size = self._lib.llama_state_seq_get_size(self.handle, sequence)
        buffer = np.empty(size, np.uint8)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = self._lib.llama_state_seq_get_data(self.handle, pointer, size, sequence)
        return buffer[:written].tobytes()

    def window_bytes(self, sequence: int) -> int:
        """How much at the end of a sequence's state is of layers with a window."""
        if not self._model.n_window:
            return 0
        size: int = self._lib.llama_state_seq_get_size_ext(self.handle, sequence, WINDOW_ALONE)
        return size - WORD_BYTES * STATE_HEAD

    def restore(self, sequence: int, state: bytes | memoryview) -> bool:
        """Make a sequence what `state` returned; whether llama.cpp took it. Only for bytes that are known to be its."""
        data = np.frombuffer(state, np.uint8)  # no copy: it may be 50 MB
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return bool(len(data) and self._lib.llama_state_seq_set_data(self.handle, pointer, len(data), sequence))

    def close(self) -> None:
        """Give the memory back."""
        if self.handle:
            self._lib.llama_free(self.handle)
            self.handle = None

    def _failure(self, status: int) -> Exception:
        if status == ABORTED:
            return Aborted()
        if status == NO_SLOT:
            return ResourceExhausted("E-RUN-016", f"{self.n_ctx} tokens")
        if status == INVALID_BATCH:
            return XrayGPTError("E-BUG-001", "llama.cpp was given a batch that it does not take")
        if status == NO_MEMORY:
            return ResourceExhausted("E-RUN-015", "llama.cpp could not allocate what a decode needs")
        return UnusableOutput("E-RUN-033", f"llama_decode returned {status}")

    def _logits(self, positions: range) -> NDArray[np.float32]:
        """Copy the logits behind positions of the last decode."""
        found = np.empty((len(positions), self._model.n_vocab), np.float32)
        for row, position in enumerate(positions):
            pointer = self._lib.llama_get_logits_ith(self.handle, position)
            found[row] = np.ctypeslib.as_array(pointer, (self._model.n_vocab,))
        return found

    def _batch(self, spans: Sequence[Span]) -> tuple[Any, list[Any]]:
        """A llama_batch over numpy arrays, and the arrays, which must outlive the decode."""
        content = np.ascontiguousarray(np.concatenate([span.content for span in spans]))
        count = len(content)
        if not 0 < count <= self.n_batch:
            raise ValueError(f"{count} positions in a batch of {self.n_batch}")
        is_embeddings = content.ndim == 2
        if is_embeddings and (content.shape[1] != self._model.n_embd or content.dtype != np.float32):
            raise ValueError(f"embeddings of {content.shape[1]} {content.dtype}, the model takes {self._model.n_embd}")
        if not is_embeddings and (
            content.dtype != np.int32 or content.min() < 0 or content.max() >= self._model.n_vocab
        ):
            raise ValueError(f"token ids must be int32 below {self._model.n_vocab}")
        positions = np.concatenate([np.arange(s.start, s.start + len(s.content), dtype=np.int32) for s in spans])
        lengths = [len(s.content) for s in spans]
        n_sequences = np.repeat(np.array([1 + len(s.others) for s in spans], np.int32), lengths)
        sequences = np.concatenate(
            [np.tile(np.array([s.sequence, *s.others], np.int32), len(s.content)) for s in spans]
        )
        # llama_batch wants, for each position, a pointer to its list of sequences.
        begins = np.cumsum(n_sequences) - n_sequences
        pointers = (sequences.ctypes.data + begins * sequences.itemsize).astype(np.uintp)
        wants = np.zeros(count, dtype=np.int8)
        for span, end in zip(spans, np.cumsum(lengths).tolist(), strict=True):
            wants[end - span.n_logits : end] = 1
        lib = self._lib
        batch = lib.llama_batch()
        batch.n_tokens = count
        if is_embeddings:
            batch.embd = content.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        else:
            batch.token = content.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.pos = positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.n_seq_id = n_sequences.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.seq_id = pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        batch.logits = wants.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        return batch, [content, positions, n_sequences, sequences, pointers, wants]


def decode_once(path: Path) -> None:
    """Decode a prompt and one token more with a model; raises BundleIncompatible where the file is none."""
    model = LlamaModel(path, Device("cpu", 1))
    context = LlamaContext(model, n_ctx=256, n_batch=64, threads=1)
    ids = np.arange(1, 1 + PROOF_TOKENS, dtype=np.int32) % model.n_vocab
    context.decode([Span(ids, 0, n_logits=1)])
    (logits,) = context.decode([Span(ids[:1], PROOF_TOKENS, n_logits=1)])
    if not np.isfinite(logits).all() or np.ptp(logits) == 0:
        raise ValueError(f"{path.name}: the logits are not finite, or are all alike")
