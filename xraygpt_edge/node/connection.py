"""One connection of a peer, read a whole PDU at a time: nothing is believed, nothing is waited for without an end.

pynetdicom believes the length that a PDU states and waits for ever for its bytes. It is therefore given this in the
place of a socket: what it reads has been measured, in time and in bytes, before it sees the first of them.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from xraygpt_edge.node.contexts import MAXIMUM_PDU_BYTES

FIRST_PDU_MAX_BYTES = 256 << 10
"""Of an association request; those of real peers have a few thousand."""
LATER_PDU_MAX_BYTES = MAXIMUM_PDU_BYTES + 64
PDU_S = 15.0
"""From its first byte to its last."""
OBJECT_S = 600.0
OBJECT_MAX_BYTES = 128 << 20
"""A radiograph of 20 megapixels of 16 bits has 40 MB."""
IN_FLIGHT_MAX_BYTES = 256 << 20
"""Of all objects that are being received; beyond it the youngest wait."""
COMMAND_MAX_BYTES = 64 << 10
HEAD_BYTES = 6
P_DATA = 4
ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0))
"""A-ABORT by the service provider."""


class Unacceptable(ConnectionError):
    """What a peer sends is not taken; its connection is closed."""


@dataclass(slots=True)
class Budget:
    """Memory for all objects in flight; shared by the threads of all connections."""

    most_bytes: int = IN_FLIGHT_MAX_BYTES
    _taken: dict[Connection, int] = field(default_factory=dict)
    """In the order in which their objects began."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, who: Connection, n_bytes: int, until_s: float) -> None:
        """Wait until there is room; whoever began first always has it. Raises Unacceptable when it takes too long."""
        with self._changed:
            self._taken.setdefault(who, 0)
            while sum(self._taken.values()) + n_bytes > self.most_bytes and next(iter(self._taken)) is not who:
                if time.monotonic() > until_s:
                    self._taken.pop(who)
                    raise Unacceptable("no room in time")
                self._changed.wait(0.2)
            self._taken[who] += n_bytes

    def give_back(self, who: Connection, n_bytes: int | None = None) -> None:
        """An object is no longer in memory; without a number, none of this connection is."""
        with self._changed:
            left = self._taken.pop(who, 0) - n_bytes if n_bytes is not None else 0
            if left > 0:
                self._taken[who] = left
            self._changed.notify_all()


class Connection:
    """A socket in which only whole, measured PDUs are seen; reading and writing are for one thread."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._socket, self._budget = sock, budget
        self._pdu = memoryview(b"")
        """What is left of the PDU that is being given out."""
        self._limit_bytes = FIRST_PDU_MAX_BYTES
        self._command_bytes = self._object_bytes = 0
        self._object_until_s = 0.0
        self.is_closed = False
        self._finished: deque[int] = deque()
        """Sizes of objects that are whole and not yet released."""

    @property
    def is_receiving(self) -> bool:
        """An object has begun that is not yet whole, or not yet stored."""
        return bool(self._object_bytes or self._finished)

    def first_pdu(self) -> bytes:
        """The association request, which is kept to be read again. Raises OSError."""
        self._read_pdu(PDU_S)
        self._limit_bytes = LATER_PDU_MAX_BYTES
        return bytes(self._pdu)

    def ready(self) -> bool:
        """Whether there is something to read now."""
        if self._pdu or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return True
        return bool(select.select([self._socket], [], [], 0)[0])

    def recv(self, n_bytes: int) -> memoryview:
        """As a socket's, without a copy; nothing when the peer has closed. Raises OSError."""
        if not self._pdu and n_bytes:
            self._read_pdu(PDU_S)
        given, self._pdu = self._pdu[:n_bytes], self._pdu[n_bytes:]
        return given

    def send(self, data: bytes) -> int:
        """As a socket's. Raises OSError."""
        self._socket.settimeout(PDU_S)
        return self._socket.send(data)

    def fileno(self) -> int:
        """As a socket's."""
        return self._socket.fileno()

    def release(self) -> None:
        """The oldest whole object is no longer needed."""
        self._budget.give_back(self, self._finished.popleft() if self._finished else 0)

    def shutdown(self, how: int) -> None:
        """As a socket's."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close it, and free what its objects have taken; may be called again."""
        self.is_closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._budget.give_back(self)

    def _read_pdu(self, patience_s: float) -> None:
        until_s = time.monotonic() + patience_s
        head = bytearray(HEAD_BYTES)
        n_read = self._fill(memoryview(head), until_s)
        if not n_read:
            return  # closed between two PDUs, as peers do
        length = int.from_bytes(head[2:], "big")
        if length > self._limit_bytes:
            raise self._refusal("a PDU is too long")
        pdu = memoryview(bytearray(HEAD_BYTES + length))
        pdu[:HEAD_BYTES] = head
        if n_read < HEAD_BYTES or self._fill(pdu[HEAD_BYTES:], until_s) < length:
            raise Unacceptable("cut off")
        if pdu[0] == P_DATA:
            self._measure(pdu[HEAD_BYTES:])
        self._pdu = pdu

    def _fill(self, room: memoryview, until_s: float) -> int:
        """Read until the room is full, or the peer has closed; returns how many bytes came."""
        n_read = 0
        while n_read < len(room):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise Unacceptable("too slow")
            self._socket.settimeout(left_s)
            count = self._socket.recv_into(room[n_read:])
            if not count:
                break
            n_read += count
        return n_read

    def _measure(self, values: memoryview) -> None:
        """Count the fragments of a P-DATA-TF PDU: a length, a context, a header whose bits say command and last."""
        while len(values) >= HEAD_BYTES:
            length = int.from_bytes(values[:4], "big")
            self._count(length, values[5])
            values = values[4 + max(length, 2) :]

    def _count(self, n_bytes: int, header: int) -> None:
        is_command, is_last = header & 1, header & 2
        if is_command:
            self._command_bytes = 0 if is_last else self._command_bytes + n_bytes
            if self._command_bytes > COMMAND_MAX_BYTES:
                raise self._refusal("a command is too long")
            return
        if not self._object_bytes:
            self._object_until_s = time.monotonic() + OBJECT_S
        self._object_bytes += n_bytes
        if self._object_bytes > OBJECT_MAX_BYTES:
            raise self._refusal("an object is too large")
        if time.monotonic() > self._object_until_s:
            raise self._refusal("an object is too slow")
        self._budget.take(self, n_bytes, self._object_until_s)
        if is_last:
            self._finished.append(self._object_bytes)
            self._object_bytes = 0

    def _refusal(self, why: str) -> Unacceptable:
        """Say A-ABORT; the caller raises, and whoever reads closes."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(1.0)
            self._socket.send(ABORT)
        return Unacceptable(why)
