"""Encoder and language model of a bundle, each loaded in the background or when it is first needed."""

from __future__ import annotations

from concurrent.futures import Future

from xraygpt_edge import loading
from xraygpt_edge.bundle import Bundle, FileEntry
from xraygpt_edge.decoder import Decoder
from xraygpt_edge.devices import Device, trim_memory
from xraygpt_edge.loading import Choice
from xraygpt_edge.native import NativeThread, wait
from xraygpt_edge.vision import Vision


class Parts:
    """The two models of a bundle. With little memory, the encoder leaves before the language model comes."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._encoder_thread, self._decoder_thread = NativeThread("encoder"), NativeThread("language model")
        self._encoder: Future[Vision] | None = None
        self._decoder: Future[Decoder] | None = None
        self.providers: tuple[str, ...] = ()
        """Of the encoder, once it is there."""

    @property
    def bundle(self) -> Bundle:
        """Where both come from."""
        return self._choice.bundle

    @property
    def device(self) -> Device:
        """Where both run."""
        return self._choice.device

    @property
    def vision_file(self) -> FileEntry:
        """The encoder's file."""
        return self._choice.vision_file

    @property
    def language_file(self) -> FileEntry:
        """The language model's file."""
        return self._choice.language_file

    @property
    def memory(self) -> loading.Memory:
        """How memory is used."""
        return self._choice.memory

    def begin(self) -> None:
        """Start loading and return at once."""
        self._begin_encoder()
        if self._choice.memory != "low":
            self._begin_decoder()

    @property
    def encoder(self) -> Vision:
        """Waits until it is loaded; raises what loading raised."""
        encoder = wait(self._begin_encoder())
        self.providers = encoder.providers
        return encoder

    @property
    def decoder(self) -> Decoder:
        """Waits until it is loaded; raises what loading raised."""
        if self._decoder is None and self._choice.memory == "low":
            self._close_encoder()
        return wait(self._begin_decoder())

    def close(self) -> None:
        """Give the memory back; what is still being loaded is left to the end of the process."""
        self._close_encoder()
        if self._decoder is not None and self._decoder.done() and not self._decoder.exception():
            self._decoder.result().close()
        self._decoder = None
        for thread in (self._encoder_thread, self._decoder_thread):
            thread.close()

    def _begin_encoder(self) -> Future[Vision]:
        if self._encoder is None:
            self._encoder = self._encoder_thread.start(lambda: loading.load_encoder(self._choice))
        return self._encoder

    def _begin_decoder(self) -> Future[Decoder]:
        if self._decoder is None:
            self._decoder = self._decoder_thread.start(lambda: loading.load_decoder(self._choice))
        return self._decoder

    def _close_encoder(self) -> None:
        if self._encoder is not None and self._encoder.done() and not self._encoder.exception():
            self._encoder.result().close()
        self._encoder = None
        trim_memory()
