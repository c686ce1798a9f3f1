"""The ASGI application: it leads every request through the chain, and opens and closes the server's parts."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from conexiones.errors import ConexionesError
from conexiones.metrics import Metrics
from conexiones.settings import Settings
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.admission import Admission
from conexiones.transport.chain.audit import Audit
from conexiones.transport.chain.call import Receive, Send
from conexiones.transport.chain.cut import Cut
from conexiones.transport.chain.deadline import Deadline
from conexiones.transport.chain.entry import Entry
from conexiones.transport.chain.guard import guard
from conexiones.transport.chain.limits import Limits
from conexiones.transport.chain.log import Log
from conexiones.transport.chain.measure import Measure
from conexiones.transport.chain.memory import Memory
from conexiones.transport.chain.patience import Patience
from conexiones.transport.chain.rates import Rates
from conexiones.transport.chain.replies import Replies
from conexiones.transport.chain.steps import Step, chain
from conexiones.transport.chain.trace import Trace
from conexiones.transport.chain.unread import read_the_rest
from conexiones.transport.process.accept_line import AcceptLine
from conexiones.transport.process.control import Control
from conexiones.transport.process.crowd import Crowd, watches
from conexiones.transport.process.standard_error import BrokenOff
from conexiones.transport.process.start_error import sentence_of
from conexiones.transport.router import Router

_log = logging.getLogger("conexiones.front")


class Front:
    """`resources` is entered at start-up and left at shutdown; `on_drain` is called when a drain begins,
    and `on_reload` when the supervisor wants files to be read again.

    `told` gives what the supervisor may ask for, by its name, as values for JSON. `access` finds out who
    calls; `audit` writes down what they change, and who is refused. `trace` records the spans of calls, and
    `recorded` each call in the access log. `steps` are further steps of the chain,
    around all others.
    """

    def __init__(
        self,
        router: Router,
        settings: Settings,
        *,
        access: Access,
        resources: Callable[[], AbstractAsyncContextManager[None]],
        on_drain: Callable[[], None],
        on_reload: Callable[[], None] = lambda: None,
        told: Mapping[str, Callable[[], object]] | None = None,
        metrics: Metrics | None = None,
        audit: Audit | None = None,
        trace: Trace | None = None,
        recorded: Step | None = None,
        steps: Sequence[Step] = (),
    ) -> None:
        self._router = router
        self._resources = resources
        self._on_drain = on_drain
        self._on_reload = on_reload
        self._told = told or {}
        self._control: Control | None = None
        patience = Patience(
            stall_seconds=settings.stall_seconds,
            least_rate=settings.least_rate,
            idle_seconds=settings.idle_seconds,
        )
        self._admission = Admission(
            settings.max_calls, self._idle, patience, wait_seconds=settings.wait_seconds, metrics=metrics
        )
        memory = Memory(
            settings.message_budget,
            max_message=settings.max_message_bytes,
            wait_seconds=settings.wait_seconds,
            metrics=metrics,
        )
        budgets = settings.budgets
        replies = Replies(
            budgets.replies,
            piece=budgets.piece,
            window=budgets.window,
            wait_seconds=settings.wait_seconds,
            most_waiting=max(1, settings.max_calls // 4),
            metrics=metrics,
        )
        limits = Limits(memory, replies, patience)
        self._flush_seconds = settings.stall_seconds
        shared = watches(settings)
        self._crowd = Crowd(settings.max_connections) if shared else None
        self._line = AcceptLine(shared=shared)
        self._cut = Cut()
        self._serve = chain(
            [
                Entry(),
                *(step for step in (trace, recorded) if step),
                Measure(metrics or Metrics()),
                *steps,
                guard,
                Log(),
                *([audit] if audit else ()),
                access,
                Rates(),
                self._cut,
                Deadline(),
                self._admission,
                limits,
                read_the_rest,
            ]
        )

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            call = self._router.call(scope, receive, send)
            try:
                await self._serve(call)
                if call.outgoing is not None:
                    await call.outgoing.flushed(self._flush_seconds)
            except ConexionesError:
                raise BrokenOff from None
            finally:
                if call.outgoing is not None:
                    call.outgoing.release()
                del call.answer  # it refers to the call: the cycle would be left to the garbage collector

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []
            self._control = await Control.of_supervisor()
            if self._control:
                stack.push_async_callback(self._control.close)
            try:
                await stack.enter_async_context(self._resources())
            except Exception as error:
                await _fail(error, self._control, send)
                return
            if self._control:
                tasks.append(asyncio.create_task(self._listen(self._control)))
                tasks.append(asyncio.create_task(self._line.watch()))
                if self._crowd:
                    tasks.append(asyncio.create_task(self._crowd.watch()))
                self._control.say("ready")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for task in tasks:
                task.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _listen(self, control: Control) -> None:
        async for event in control.events():
            if event["event"] == "drain":
                self.drain()
            elif event["event"] == "cut":
                self._cut.all()
            elif event["event"] == "reload":
                self._on_reload()
            elif event["event"] == "alive?":
                control.say("alive")
            elif event["event"] == "ask":
                control.say("told", number=event["number"], answer=self._tell(event["what"]))

    def _tell(self, what: str) -> object:
        """The answer; None if it cannot be given, which is logged."""
        try:
            return self._told[what]()
        except Exception:
            _log.exception("The supervisor is not told of %s", what)
            return None

    def end_calls(self, credentials: Collection[str]) -> None:
        """Ends the calls that came with one of these credentials, which were revoked."""
        self._cut.revoked(credentials)

    def end_links(self) -> None:
        """Ends the calls that came by a signed link."""
        self._cut.links()

    def drain(self) -> None:
        """Admits no more calls, and tells the supervisor when those under way have ended."""
        _log.debug("Draining")
        self._on_drain()
        self._admission.drain()

    def _idle(self) -> None:
        if self._control:
            self._control.say("idle")


class Unbuilt:
    """In place of an application that could not be built: it fails to start, and says why."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await _fail(self._error, await Control.of_supervisor(), send)


async def _fail(error: Exception, control: Control | None, send: Send) -> None:
    said = sentence_of(error)
    level = logging.DEBUG if said else logging.ERROR
    _log.log(level, "The server cannot start", exc_info=error)
    if control:
        # The supervisor is no client: it shows the text of the exception to the operator, and ends this
        # process. Envoy, told of the failure, would print its whole configuration.
        control.say("failed", why=said or str(error))
        await asyncio.Event().wait()
    await send({"type": "lifespan.startup.failed", "message": "see the log"})
