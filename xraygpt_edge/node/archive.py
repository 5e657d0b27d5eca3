"""One association with an archive: C-ECHO and C-STORE, and what each answer means. Only for the sending process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association

from xraygpt_edge.node import commitment, tls
from xraygpt_edge.node.contexts import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    COMMITMENT_SYNTAX,
    MAXIMUM_PDU_BYTES,
    PLAIN_SYNTAXES,
    VERIFICATION,
)
from xraygpt_edge.node.results import SENT_CLASSES, SENT_SYNTAX
from xraygpt_edge.node.retries import Outcome, Result, outcome_of
from xraygpt_edge.node.settings import Destination, Settings, endpoint
from xraygpt_edge.node.spool import Spool

CONNECT_S, ANSWER_S = 15.0, 60.0
CLASS_NOT_SUPPORTED = 0x0122
ASK = 1
"""Action of the Storage Commitment Push Model."""
PERMANENT = 1


class Unreachable(Exception):
    """No association; `result` says why and whether that will change."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.why)


@contextmanager
def association(settings: Settings, destination: Destination) -> Iterator[Association]:
    """An association with an archive, for everything that we send, ask and hear. Raises Unreachable."""
    _config.STORE_SEND_CHUNKED_DATASET = True  # our own files, as they are, without a parser in between
    hear = partial(commitment.hear, Spool(settings.root))
    link = _entity(settings, destination).associate(
        *endpoint(destination.address or ""),
        ae_title=destination.ae or "",
        max_pdu=MAXIMUM_PDU_BYTES,
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once), (evt.EVT_N_EVENT_REPORT, hear)],
        tls_args=(tls.for_sending(destination.tls_ca, settings.node.tls), None) if destination.tls_ca else None,
    )
    if not link.is_established:
        raise Unreachable(_reason(link))
    try:
        yield link
    finally:
        if link.is_established:
            link.release()


def echo(link: Association) -> Result:
    """Ask whether anybody is there."""
    try:
        status = link.send_c_echo().get("Status")
    except (ValueError, RuntimeError):  # it takes no C-ECHO, or is gone
        status = None
    return Result(outcome_of(status), "" if status == 0 else "no answer to C-ECHO", status)


def store(link: Association, path: Path) -> Result:
    """Send one object; never raises for what the archive does."""
    began_s = time.monotonic()
    try:
        status = link.send_c_store(path).get("Status")
    except ValueError:  # the archive has not accepted the class
        status = CLASS_NOT_SUPPORTED
    except RuntimeError:  # the association has ended meanwhile
        status = None
    seconds = round(time.monotonic() - began_s, 3)
    outcome = outcome_of(status)
    why = "" if outcome.is_stored else "no answer to C-STORE" if status is None else f"status 0x{status:04X}"
    return Result(outcome, why, status, seconds)


def ask_to_keep(link: Association, transaction: str, paths: list[Path]) -> Result:
    """Ask for commitment to objects that were stored; the answer comes later."""
    try:
        asked = commitment.request(transaction, paths)
        status = link.send_n_action(asked, ASK, COMMITMENT, COMMITMENT_INSTANCE)[0].get("Status")
    except ValueError:  # the archive does not commit itself
        status = CLASS_NOT_SUPPORTED
    except (RuntimeError, OSError):  # the association has ended meanwhile
        status = None
    why = "" if status == 0 else "no answer to N-ACTION" if status is None else f"N-ACTION: status 0x{status:04X}"
    return Result(outcome_of(status), why, status, error_id="E-NOD-009")


def _entity(settings: Settings, destination: Destination) -> AE:
    entity = AE(settings.node.ae)
    entity.connection_timeout = CONNECT_S
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ANSWER_S
    entity.add_requested_context(VERIFICATION, list(PLAIN_SYNTAXES))
    for sop_class in SENT_CLASSES:
        entity.add_requested_context(sop_class, SENT_SYNTAX)
    if destination.commit:
        entity.add_requested_context(COMMITMENT, COMMITMENT_SYNTAX)
    return entity


def _send_at_once(event: evt.Event) -> None:
    """Without this, small objects wait for acknowledgements: 19 a second instead of 124 to dcmtk's programs."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reason(link: Association) -> Result:
    if not link.is_rejected:
        return Result(Outcome.MISSED, "no connection")
    answer = link.acceptor.primitive
    outcome = Outcome.BARRED if answer.result == PERMANENT else Outcome.MISSED
    return Result(outcome, f"association rejected ({answer.result}, {answer.result_source}, {answer.diagnostic})")
