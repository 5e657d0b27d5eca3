"""Bytes into radiographs: in the isolated readers, two at most, away from the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.host import View
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.inspection import last_steps
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import ImageSpec, fit, with_warnings
from xraygpt_edge.imaging.values import Presentation, Shown
from xraygpt_edge.records import Step
from xraygpt_edge.serve.errors import Refused

Found = TypeVar("Found")
Key: TypeAlias = tuple[str, str, ReadOptions]
"""Session, SHA-256 of the file, and how it is read."""
READERS = 2
SHOWN_PX = 2048
"""Longest side of what a viewer is shown first."""
REMEMBERED = 64
"""Views, of 50 kB each: chat programs send the picture again with every turn."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A radiograph as the model sees it, and how it came about."""

    view: View
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class FilmSeen:
    """A radiograph of a folder: as the model sees it, and whose it is."""

    view: View
    identity: Identity | InputRefused | None
    """Patient and study, or why they cannot be copied; None for what is not DICOM."""


class Reading:
    """Reads for everybody; for one event loop. What was read lately is not read again."""

    def __init__(self, spec: ImageSpec) -> None:
        self._spec = spec
        self._threads = ThreadPoolExecutor(READERS, "reading")
        self._readers: SimpleQueue[Reader] = SimpleQueue()
        self._one_film = asyncio.Lock()
        self._seen: OrderedDict[Key, Seen] = OrderedDict()
        self._latest: tuple[Key, Shown] | None = None
        """Of the file that was sent last: its viewer asks for it next."""

    def start(self) -> None:
        """Begin both readers; they import their libraries meanwhile."""
        for _ in range(READERS):
            reader = Reader()
            reader.start()
            self._readers.put(reader)

    async def read(self, session: str, data: bytes, options: ReadOptions) -> Seen:
        """The radiograph in a file's bytes; raises Refused."""
        digest = await asyncio.to_thread(lambda: sha256(data).hexdigest())
        known = self._seen.get((session, digest, options))
        seen = known or (await self._on_a_reader(lambda reader: self._read(reader, data, options)))[0]
        self._remember(session, seen, options)
        return seen

    async def look(self, session: str, data: bytes, options: ReadOptions) -> tuple[Seen, Presentation]:
        """The radiograph, and how a viewer shows it; raises Refused."""
        seen, shown = await self._on_a_reader(lambda reader: self._read(reader, data, options, SHOWN_PX))
        if shown is None:
            raise RuntimeError("a picture without samples")
        self._latest = self._remember(session, seen, options), shown
        return seen, shown.presentation

    async def samples(
        self, session: str, file_sha256: str, data: bytes, options: ReadOptions, max_px: int
    ) -> NDArray[np.uint16]:
        """What a viewer shows, its longer side at most max_px; raises Refused."""
        if self._latest and self._latest[0] == (session, file_sha256, options) and max_px == SHOWN_PX:
            return self._latest[1].samples
        reading = await self._on_a_reader(lambda reader: reader.read_with_account(data, options, max_px))
        if reading.shown is None:
            raise RuntimeError("a picture without samples")
        return reading.shown.samples

    async def identify(self, data: bytes) -> Identity:
        """Patient and study of a DICOM file; raises Refused."""
        return await self._on_a_reader(lambda reader: reader.identify(data))

    async def film(self, data: bytes, options: ReadOptions) -> FilmSeen:
        """A radiograph of a folder; the other reader stays free for persons. Raises Refused."""
        async with self._one_film:
            return await self._on_a_reader(lambda reader: self._film(reader, data, options))

    def forget(self, session: str, file_sha256: str | None = None) -> None:
        """Forget what was seen of a file, or of all of a session."""
        begins = (session,) if file_sha256 is None else (session, file_sha256)
        for key in [key for key in self._seen if key[: len(begins)] == begins]:
            del self._seen[key]
        if self._latest and self._latest[0][: len(begins)] == begins:
            self._latest = None

    def close(self) -> None:
        """End the readers, in the middle of a file too: the process ends behind this."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while not self._readers.empty():
            self._readers.get().close()

    async def _on_a_reader(self, work: Callable[[Reader], Found]) -> Found:
        """Have a free reader do something, on a thread."""

        def do() -> Found:
            reader = self._readers.get()
            try:
                return work(reader)
            finally:
                self._readers.put(reader)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, do)
        except InputRefused as error:
            raise Refused.of(error) from None

    def _read(
        self, reader: Reader, data: bytes, options: ReadOptions, shown_px: int | None = None
    ) -> tuple[Seen, Shown | None]:
        began_s = time.monotonic()
        reading = reader.read_with_account(data, options, shown_px)
        radiograph = with_warnings(reading.radiograph, self._spec)
        pixels = np.asarray(fit(radiograph.pixels, self._spec))
        view = View(pixels.tobytes(), radiograph.source, time.monotonic() - began_s)
        return Seen(view, (*reading.steps, *last_steps(reading, self._spec))), reading.shown

    def _film(self, reader: Reader, data: bytes, options: ReadOptions) -> FilmSeen:
        view = self._read(reader, data, options)[0].view
        try:
            return FilmSeen(view, reader.identify(data) if view.source.format == "dicom" else None)
        except InputRefused as error:
            return FilmSeen(view, error)

    def _remember(self, session: str, seen: Seen, options: ReadOptions) -> Key:
        key = (session, seen.view.source.sha256, options)
        self._seen[key] = seen
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return key
