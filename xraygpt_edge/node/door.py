"""Who may come in: by address before anything is read, by titles when the association request is whole."""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from xraygpt_edge.node.settings import Peer, Settings, endpoint

SOCKETS_MAX, SOCKETS_OF_ONE_ADDRESS = 40, 20
ASSOCIATIONS_MAX, ASSOCIATIONS_OF_ONE_PEER = 8, 4
REQUEST_MIN_BYTES = 74
REQUEST = 1
TITLE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is not wanted, as an A-ASSOCIATE-RJ says it."""

    why: str
    result: int
    """1 permanent, 2 transient."""
    source: int
    reason: int

    @property
    def pdu(self) -> bytes:
        """The whole A-ASSOCIATE-RJ."""
        return bytes((3, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason))


WRONG_CALLED = Rejection("called title", 1, 1, 7)
WRONG_CALLING = Rejection("calling title", 1, 1, 3)
TOO_MANY = Rejection("too many associations", 2, 3, 2)


class NotARequest(ConnectionError):
    """What came first is no association request."""


@dataclass(slots=True)
class Door:
    """Counts who is in; safe to share between threads."""

    settings: Settings
    _sockets: Counter[str] = field(default_factory=Counter)
    _associations: Counter[str] = field(default_factory=Counter)
    _turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Address and reason → how often since somebody asked."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, address: str) -> bool:
        """Whether a new connection may stay open; count it."""
        with self._lock:
            if not self._peers_at(address):
                self._turned_away[address, "address"] += 1
                return False
            if self._sockets.total() >= SOCKETS_MAX or self._sockets[address] >= SOCKETS_OF_ONE_ADDRESS:
                self._turned_away[address, "too many connections"] += 1
                return False
            self._sockets[address] += 1
            return True

    def leave(self, address: str) -> None:
        """A connection is closed."""
        with self._lock:
            self._sockets[address] -= 1

    def judge(self, address: str, request: bytes) -> Peer | Rejection:
        """Whose request this is, or why it is rejected. Raises NotARequest."""
        if len(request) < REQUEST_MIN_BYTES or request[0] != REQUEST:
            raise NotARequest("no association request")
        called, calling = (request[at : at + TITLE_BYTES].strip(b" \0") for at in (10, 26))
        if called != self.settings.node.ae.encode("ascii"):
            return self._rejected(address, WRONG_CALLED)
        for peer in self._peers_at(address):
            if peer.ae.encode("ascii") == calling or peer is ANYBODY:
                return peer
        return self._rejected(address, WRONG_CALLING)

    @contextmanager
    def association(self, address: str, peer: Peer) -> Iterator[Rejection | None]:
        """Room for one association, as long as it lasts; a Rejection where there is none."""
        with self._lock:
            is_full = self._associations.total() >= ASSOCIATIONS_MAX
            rejected = is_full or self._associations[peer.name] >= ASSOCIATIONS_OF_ONE_PEER
            self._associations[peer.name] += not rejected
        try:
            yield self._rejected(address, TOO_MANY) if rejected else None
        finally:
            with self._lock:
                self._associations[peer.name] -= not rejected

    def may_store(self, peer: Peer) -> bool:
        """Whether films are taken of a peer that was let in."""
        return peer is ANYBODY or peer in self.settings.peers

    def may_commit(self, address: str, peer: Peer) -> bool:
        """Whether it is an archive that was asked for commitment, and may answer here."""
        archives = [each for each in self._archives_at(address) if peer is ANYBODY or each.ae == peer.ae]
        return bool(archives)

    def note(self, address: str, why: str) -> None:
        """Remember that somebody was turned away."""
        with self._lock:
            self._turned_away[address, why] += 1

    def turned_away(self) -> Counter[tuple[str, str]]:
        """Address and reason of everybody turned away since the last call, with how often."""
        with self._lock:
            found, self._turned_away = self._turned_away, Counter()
            return found

    def keep_counting(self, turned_away: Counter[tuple[str, str]]) -> None:
        """Nobody could be told of these."""
        with self._lock:
            self._turned_away.update(turned_away)

    def _rejected(self, address: str, rejection: Rejection) -> Rejection:
        self.note(address, rejection.why)
        return rejection

    def _peers_at(self, address: str) -> list[Peer]:
        """Who may come from an address; without any peer in the settings, every program of this computer."""
        if not self.settings.peers:
            return [ANYBODY] if ipaddress.ip_address(address).is_loopback else []
        peers = [peer for peer in self.settings.peers if plain(peer.address) == address]
        return peers + self._archives_at(address)

    def _archives_at(self, address: str) -> list[Peer]:
        """Archives of an address that commit themselves, as peers."""
        asked = [each for each in self.settings.destinations if each.commit]
        return [
            Peer(each.name, each.ae or "", address)
            for each in asked
            if plain(endpoint(each.address or "")[0]) == address
        ]


ANYBODY = Peer("local", "", "")


def plain(address: str) -> str:
    """An address as it is compared: IPv4 that came through IPv6 is IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
