"""Tells the audit log what calls change, and which are refused."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import replace

from conexiones.errors import (
    ConexionesError,
    PermissionDenied,
    QuotaExceeded,
    RateExceeded,
    TicketUsedUp,
    Unauthenticated,
)
from conexiones.ports.audit import AuditEntry, AuditLog
from conexiones.shares import client_of
from conexiones.transport.chain.call import Call, Endpoint, peer_of
from conexiones.transport.chain.on_loop import OnLoop
from conexiones.transport.chain.pace import Bucket

REFUSED = (Unauthenticated, PermissionDenied, QuotaExceeded, TicketUsedUp, RateExceeded)
"""The errors that refuse access."""

REFUSALS, REFUSALS_AT_ONCE = 20.0, 500.0
"""Refusals of one client that get a line each, in a second and at once. The others are counted:
somebody whose calls are refused must not fill the disk."""

COUNT_SECONDS = 10.0
"""Time between two lines that only count refusals."""

_CLIENTS = 10_000
"""Clients whose refusals are counted; of more, those that were refused last."""

_PREFIX = "/images/"


class Audit(OnLoop):
    """A step of the chain, around that which finds out who calls. Belongs to one event loop."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._refused: OrderedDict[str, Bucket] = OrderedDict()
        self._left_out: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        call.auditing = self
        try:
            await rest(call)
        except REFUSED as error:
            self.refused(call, error)
            raise

    def changed(self, call: Call, event: str, object_id: str, outcome: str) -> None:
        """A call has changed an object, whose kind is in `event` before the dot."""
        kind = event.partition(".")[0]
        self._log.write(_entry(call, event=event, kind=kind, id=object_id, outcome=outcome))

    def refused(self, call: Call, error: ConexionesError) -> None:
        """A call, or a message of it, has failed: with one of REFUSED it was refused access."""
        if not isinstance(error, REFUSED):
            return
        client = client_of(call.peer[0] if call.peer else "")
        bucket = self._refused.get(client)
        if bucket is None:
            bucket = self._refused[client] = Bucket(REFUSALS, least=REFUSALS_AT_ONCE)
            if len(self._refused) > _CLIENTS:
                self._refused.popitem(last=False)
        else:
            self._refused.move_to_end(client)
            bucket.fill(REFUSALS)
        if bucket.level < 1:
            self._left_out[client] = self._left_out.get(client, 0) + 1
            if self._timer is None:
                self._timer = self.loop.call_later(COUNT_SECONDS, self._tell)
            return
        bucket.level -= 1
        left_out = self._left_out.pop(client, 0)
        image = call.path.removeprefix(_PREFIX) if call.path.startswith(_PREFIX) else ""
        kind = "image" if image else ""
        self._log.write(
            replace(
                _entry(call, event="refused", kind=kind, id=image, outcome=error.reason),
                credential=call.principal.credential or getattr(error, "credential", ""),
                left_out=left_out,
            )
        )

    def _tell(self) -> None:
        """Writes how many refusals got no line."""
        self._timer = None
        left_out, self._left_out = self._left_out, {}
        for client, count in left_out.items():
            self._log.write(
                AuditEntry(time=_now(), event="refused", outcome="LEFT_OUT", peer=client, left_out=count)
            )


def _entry(call: Call, *, event: str, kind: str, id: str, outcome: str) -> AuditEntry:
    principal = call.principal
    return AuditEntry(
        time=_now(),
        event=event,
        outcome=outcome,
        method=f"{call.service}/{call.method}" if call.service else "",
        kind=kind,
        id=id,
        subject=principal.subject,
        credential=principal.credential,
        peer=peer_of(call),
        request_id=call.ids.request_id,
    )


def _now() -> int:
    return time.time_ns() // 1000
