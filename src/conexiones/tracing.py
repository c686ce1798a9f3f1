"""What a call is known by in logs and errors, and the spans in which its time is recorded. This knows nothing
of those who use it.

Both are in context variables: whoever works for a call finds them without being handed them, also in the
tasks and threads that the call has begun. Without an exporter there is no span, and `span` does next to
nothing.
"""

import asyncio
import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeAlias

from conexiones.errors import FAULTS, Cancelled, ConexionesError, StorageFull

Value: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, Value]

_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


class Parent(NamedTuple):
    """The span of a caller, in another process. The ids are hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool


def parent_of(traceparent: bytes | None) -> Parent | None:
    """The parent that a header names; None if there is none, or one that is malformed and has to be ignored
    (https://www.w3.org/TR/trace-context/#traceparent-header)."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or (found[1] == b"00" and found[5]):
        return None
    return Parent(found[2].decode(), found[3].decode(), bool(int(found[4], 16) & 1))


class Ids(Protocol):
    """What a call is known by in the log. `trace_id` is that of its caller, empty without one."""

    @property
    def request_id(self) -> str: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def method(self) -> str: ...


class Span(Protocol):
    """A piece of work with a beginning and an end. `recording` says whether anybody will see it: nothing is
    kept of those that are not sampled, but their ids."""

    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    @property
    def recording(self) -> bool: ...

    def child(self, name: str, attributes: Attributes) -> "Span":
        """Begins a part of it."""

    def set(self, attributes: Attributes) -> None: ...

    def end(self, problem: str = "", *, failed: bool = False) -> None:
        """`problem` is the reason of an error, or the name of an exception; `failed`: the server has
        failed."""


class Tracer(Protocol):
    """Begins the spans of calls."""

    def call(self, name: str, *, parent: Parent | None, state: bytes, begun: int) -> Span:
        """The span of a call that has begun, in nanoseconds since the epoch. `state` is the caller's
        tracestate. Whether it is sampled is decided by the name and the parent."""


current_ids: ContextVar[Ids | None] = ContextVar("ids", default=None)
current_span: ContextVar[Span | None] = ContextVar("span", default=None)


def request_id() -> str:
    """The id of the request that is being served; empty if there is none."""
    ids = current_ids.get()
    return ids.request_id if ids else ""


class Part:
    """A part of the work for a call, which may be recorded or not."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def set(self, **attributes: Value) -> None:
        """Adds attributes that are known only now."""


_UNRECORDED = Part()


def span(name: str, **attributes: Value) -> Part:
    """A part of the span that is open: `with span("decode", format="JPEG"): ...`. Names and attributes come
    from small closed sets, or are numbers.

    To be entered at once, and left in the same task. An exception that passes through is its end, with the
    reason of an error of ours or else the name of its class; never with its text, which may be a client's.
    """
    before = current_span.get()
    if before is None or not before.recording:
        return _UNRECORDED
    return _Recorded(before, before.child(name, attributes))


class _Recorded(Part):
    __slots__ = ("_before", "_span")

    def __init__(self, before: Span, span: Span) -> None:
        self._before = before
        self._span = span

    def __enter__(self) -> Self:
        current_span.set(self._span)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_span.set(self._before)
        self._span.end(problem_of(error), failed=_has_failed(error))

    def set(self, **attributes: Value) -> None:
        self._span.set(attributes)


def _has_failed(error: BaseException | None) -> bool:
    """Whether it is a failure of the server: one of our errors may be what a client has caused."""
    if isinstance(error, ConexionesError):
        return error.code in FAULTS or isinstance(error, StorageFull)
    return isinstance(error, Exception)


def problem_of(error: BaseException | None) -> str:
    """What an error is called, without a word that somebody else may have chosen."""
    if error is None:
        return ""
    if isinstance(error, asyncio.CancelledError):
        return Cancelled.reason
    return getattr(error, "reason", "") or type(error).__name__
