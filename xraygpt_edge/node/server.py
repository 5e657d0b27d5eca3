"""pynetdicom's listener behind our guard: it meets only peers that we know, and only PDUs that are whole."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket, ThreadedAssociationServer

from xraygpt_edge.node.connection import PDU_S, Budget, Connection, Unacceptable
from xraygpt_edge.node.contexts import (
    COMMITMENT,
    COMMITMENT_SYNTAX,
    MAXIMUM_PDU_BYTES,
    PLAIN_SYNTAXES,
    STORED_CLASSES,
    STORED_SYNTAXES,
    VERIFICATION,
)
from xraygpt_edge.node.door import Door, NotARequest, plain
from xraygpt_edge.node.settings import Peer

SILENT_S = 30.0
"""An association that says nothing for so long is aborted."""
NEGOTIATED_S = 5.0
"""For the library to answer a request, which is whole before it sees it, and for a release."""
BACKLOG = 128
NO_LIMIT = 1_000
"""The library counts sockets as associations; our door counts both, so its own limit must never be the smaller."""
STACK_BYTES = 1 << 20

UNRECOGNISED = 0x0211
"""Status of an operation that is asked of nobody here."""

Store = Callable[[Peer, evt.Event], Any]
Hear = Callable[[evt.Event], Any]


def quiet() -> None:
    """Keep the library from writing anything: it would write identifiers and tracebacks."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").disabled = True
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda _: None


class GuardedSocket(AssociationSocket):  # type: ignore[misc]
    """What an association reads from: a Connection in the place of a socket."""

    @property
    def ready(self) -> bool:
        """Whether there is something to read now."""
        if self.socket is None or not self._is_connected:
            return False
        try:
            return bool(self.socket.ready())
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> memoryview:
        """So many bytes of a PDU, or fewer when the peer has closed."""
        try:
            received: memoryview = self.socket.recv(nr_bytes)
        except OSError:
            self.socket.close()
            raise
        return received


class Server(ThreadedAssociationServer):  # type: ignore[misc]
    """Accepts at once, and does everything that takes time in the connection's own thread."""

    request_queue_size = BACKLOG
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], door: Door, store: Store, hear: Hear, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen; raises OSError. store, hear: called for each C-STORE and N-EVENT-REPORT; give what is answered."""
        self.door, self.store, self.hear, self.tls = door, store, hear, tls
        self.budget = Budget()
        self.connections: set[Connection] = set()
        entity = _entity(door.settings.node.ae)
        super().__init__(entity, address, entity.ae_title, entity.supported_contexts)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; no handshake here, where a silent peer would stop everybody."""
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Whether a connection may stay open at all."""
        return self.door.enter(plain(client_address[0]))

    def finish_request(self, request: Any, client_address: Any) -> None:
        """One connection, from its first byte to its last; in a thread of its own."""
        address = plain(client_address[0])
        try:
            connection = Connection(self._encrypted(request), self.budget)
            self.connections.add(connection)
            try:
                self._receive(connection, address)
            finally:
                self.connections.discard(connection)
                connection.close()
        except (Unacceptable, NotARequest) as error:
            self.door.note(address, str(error))
        except OSError as error:
            self.door.note(address, "TLS" if isinstance(error, ssl.SSLError) else "connection lost")
        finally:
            request.close()
            self.door.leave(address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing on standard error."""

    def _encrypted(self, request: socket.socket) -> socket.socket:
        if self.tls is None:
            return request
        request.settimeout(PDU_S)
        return self.tls.wrap_socket(request, server_side=True)

    def _receive(self, connection: Connection, address: str) -> None:
        judgement = self.door.judge(address, connection.first_pdu())
        if not isinstance(judgement, Peer):
            connection.send(judgement.pdu)
            return
        with self.door.association(address, judgement) as rejection:
            if rejection is not None:
                connection.send(rejection.pdu)
                return
            association = self._association(connection, address, judgement)
            association.start()
            # What the library's threads still wait for when the connection has gone must not hold a place.
            while association.is_alive() and not connection.is_closed:
                association.join(0.05)

    def _association(self, connection: Connection, address: str, peer: Peer) -> Association:
        """As the library makes one for a new connection, with our socket in it."""
        association = Association(self.ae, MODE_ACCEPTOR)
        association._server = self  # noqa: SLF001 - it closes the connection through this
        association.set_socket(GuardedSocket(association, client_socket=connection))
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.ae_title
        acceptor.address_info = AddressInformation.from_tuple(self.server_address)
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = self._contexts_for(address, peer)
        association.requestor.address_info = AddressInformation(address, 0)
        association.bind(evt.EVT_C_ECHO, lambda _: 0x0000)
        association.bind(evt.EVT_C_STORE, lambda event: _answer(connection, partial(self.store, peer, event)))
        association.bind(evt.EVT_N_EVENT_REPORT, lambda event: _answer(connection, partial(self.hear, event)))
        association.bind(evt.EVT_N_ACTION, lambda _: _answer(connection, lambda: (UNRECOGNISED, None)))
        return association

    def _contexts_for(self, address: str, peer: Peer) -> list[Any]:
        """Storage for those who may send, answers about commitment for archives that were asked."""
        wanted = {VERIFICATION}
        if self.door.may_store(peer):
            wanted.update(STORED_CLASSES)
        if self.door.may_commit(address, peer):
            wanted.add(COMMITMENT)
        return [deepcopy(each) for each in self.contexts if each.abstract_syntax in wanted]


def _answer(connection: Connection, give: Callable[[], Any]) -> Any:
    """Give an answer to a whole message; its data set is then no longer in memory."""
    try:
        return give()
    finally:
        connection.release()


def _entity(title: str) -> AE:
    entity = AE(title)
    entity.maximum_associations = NO_LIMIT
    entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
    entity.network_timeout, entity.acse_timeout = SILENT_S, NEGOTIATED_S
    entity.add_supported_context(VERIFICATION, list(PLAIN_SYNTAXES))
    for sop_class in STORED_CLASSES:
        entity.add_supported_context(sop_class, list(STORED_SYNTAXES))
    entity.add_supported_context(COMMITMENT, COMMITMENT_SYNTAX, scu_role=False, scp_role=True)
    return entity
