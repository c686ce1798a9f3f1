"""What a call is known by, to whoever looks for it in logs and traces."""

import re
import secrets
from collections.abc import Sequence
from typing import Protocol

from conexiones.tracing import Parent, parent_of

REQUEST_ID = b"x-request-id"
"""The header with the id that Envoy has given the request, or a proxy that is trusted."""

MOST_STATE = 512
"""The bytes of tracestate that have to be passed on (https://www.w3.org/TR/trace-context/#tracestate-limits)."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Named(Protocol):
    """A route, as far as its names are wanted."""

    @property
    def service(self) -> str: ...
    @property
    def method(self) -> str: ...


class CallIds:
    """The Ids of a call. Most are never looked at, so each is found when it is.

    Tasks and threads that outlive the call may keep this, so it does not refer to the call.
    """

    __slots__ = ("_headers", "_parent", "_request_id", "_route")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], route: Named) -> None:
        self._headers = headers
        self._route = route
        self._request_id = ""
        self._parent: Parent | bool | None = False  # not looked for yet

    @property
    def request_id(self) -> str:
        """Always the same; one of our own if the header has none that can be shown."""
        if not self._request_id:
            text = self._only(REQUEST_ID) or b""
            self._request_id = text.decode() if _REQUEST_ID.fullmatch(text) else secrets.token_hex(16)
        return self._request_id

    @property
    def parent(self) -> Parent | None:
        """The caller's span. Of several headers none counts."""
        if isinstance(self._parent, bool):
            self._parent = parent_of(self._only(b"traceparent"))
        return self._parent

    @property
    def state(self) -> bytes:
        """What tracing systems on the way have added (tracestate), which may come in several headers. If it
        is longer than has to be passed on, it is left out as a whole: each part of the call would carry it to
        the collector."""
        found = b",".join(value for name, value in self._headers if name == b"tracestate")
        return found if len(found) <= MOST_STATE else b""

    @property
    def trace_id(self) -> str:
        return self.parent.trace_id if self.parent else ""

    @property
    def method(self) -> str:
        route = self._route
        return f"{route.service}/{route.method}" if route.service else ""

    def _only(self, name: bytes) -> bytes | None:
        found = [value for each, value in self._headers if each == name]
        return found[0] if len(found) == 1 else None
