"""Measures every call: how long it took and how it ended, the bytes that it moved, and why it failed.

Names and labels are those of OpenTelemetry's conventions for RPCs and for HTTP
(https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics and …/http/http-metrics). A label that does not
apply is empty. Labels come from the routes that exist, and never from what a client has made up.
"""

import time
from collections.abc import Mapping

from conexiones.errors import BY_REASON, FAULTS, Cancelled, ConexionesError
from conexiones.metrics import Counter, Histogram, Labels, Metrics
from conexiones.transport.chain import conventions
from conexiones.transport.chain.call import Call, Endpoint, Kind

_PROTOCOLS: dict[Kind, str] = {
    "grpc": "grpc",
    "connect": "connect",
    "connect-stream": "connect",
    "http": "http",
}


class _Moved:
    """What calls of one protocol have moved, and how many there are now."""

    __slots__ = ("active", "received", "sent")

    def __init__(self, received: Counter, sent: Counter) -> None:
        self.received = received
        self.sent = sent
        self.active = 0


class Measure:
    """A step of the chain, around that which answers failed calls. Belongs to one event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._rpcs = metrics.histograms(
            "rpc.server.call.duration",
            "s",
            "How long RPCs took, until their last reply was handed to the connection.",
            ("rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type"),
        )
        self._http = metrics.histograms(
            "http.server.request.duration",
            "s",
            "The same of requests for images, the page and sessions, and of those for what does not exist.",
            ("http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"),
        )
        self._refusals = metrics.counters(
            "conexiones.refusals",
            "{error}",
            "Calls, and messages of streams, that failed, by the reason of the error.",
            ("reason",),
        )
        for reason in BY_REASON:  # so that the first one is an increase
            self._refusals.of(reason)
        self._shown = metrics.counters(
            "conexiones.calls",
            "{call}",
            "Calls that have ended, by the kind of credential that their callers showed.",
            ("credential",),
        )
        received = metrics.counters(
            "conexiones.calls.received", "By", "Bytes of bodies that calls have received.", ("protocol",)
        )
        sent = metrics.counters(
            "conexiones.calls.sent", "By", "Bytes of bodies that calls have sent.", ("protocol",)
        )
        by_name = {name: _Moved(received.of(name), sent.of(name)) for name in set(_PROTOCOLS.values())}
        self._moved = {kind: by_name[name] for kind, name in _PROTOCOLS.items()}

        def active() -> Mapping[Labels, float]:
            return {(name,): float(moved.active) for name, moved in by_name.items()}

        metrics.observe("conexiones.calls.active", "{call}", "Calls under way.", active, ("protocol",))
        # Of RPCs that were measured before, so that small calls make no labels.
        self._known: dict[tuple[object, ...], Histogram] = {}

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        moved = self._moved[call.protocol]
        moved.active += 1
        call.body.received = moved.received
        call.sent = moved.sent
        call.refusals = self._refusals
        try:
            await rest(call)
        except BaseException:  # the client sees a call that breaks off
            self._ended(call, call.error or Cancelled())
            raise
        else:
            self._ended(call, call.error)
        finally:
            moved.active -= 1

    def _ended(self, call: Call, error: ConexionesError | None) -> None:
        seconds = time.monotonic() - call.start_time
        route = call.route
        if call.protocol == "http":
            self._http.of(*_http_labels(call, error)).record(seconds)
        else:
            key = (route.service, route.method, call.protocol, error and error.code)
            histogram = self._known.get(key)
            if histogram is None:
                histogram = self._known[key] = self._rpcs.of(*_rpc_labels(call, error))
            histogram.record(seconds)
        self._shown.of(call.shown).value += 1
        if error is not None:
            self._refusals.of(error.reason).value += 1


def _rpc_labels(call: Call, error: ConexionesError | None) -> Labels:
    service, method = call.route.service, call.route.method
    name = f"{service}/{method}" if service else conventions.OTHER
    if error is not None:
        status = conventions.status(call, error.code)
    else:
        status = "OK" if call.protocol == "grpc" else ""
    return conventions.system(call), name, status, status if error and error.code in FAULTS else ""


def _http_labels(call: Call, error: ConexionesError | None) -> Labels:
    scheme = "https" if call.scheme == "https" else "http"
    status = str(call.status) if call.status else ""
    kind = status if call.status >= 500 else ""
    if error and call.status < 400:  # a response that was never sent, or that breaks off
        kind = error.reason
    return conventions.verb(call), scheme, conventions.path(call), status, kind
