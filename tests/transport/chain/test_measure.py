"""What is measured of a call."""

import asyncio

import pytest

from conexiones import errors
from conexiones.metrics import Distribution, Labels, Metrics
from conexiones.transport.chain.call import Call, Endpoint, Kind, Route
from conexiones.transport.chain.guard import guard
from conexiones.transport.chain.measure import Measure
from conexiones.transport.chain.steps import chain
from tests.support.figures import figures
from tests.transport.chain.calls import Client, call


class Answer:
    """Fails a call over plain HTTP."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def fail(self, error: errors.ConexionesError) -> None:
        await self._call.respond(500 if isinstance(error, errors.Internal) else 404, [], b"")


async def measured(
    metrics: Metrics,
    endpoint: Endpoint,
    *,
    route: Route | None = None,
    protocol: Kind = "grpc",
    verb: str = "POST",
    measure: Measure | None = None,
) -> None:
    one = call(Client(), protocol=protocol, verb=verb)
    one.route = route or Route(service="a.B", method="C", endpoint=endpoint, needs="none")
    one.answer = Answer(one)
    await chain([measure or Measure(metrics), guard], endpoint)(one)


def durations(metrics: Metrics, name: str) -> dict[Labels, int]:
    """How many calls have these labels."""
    (found,) = (each for each in metrics.read() if each.instrument.name == name)
    assert isinstance(found, Distribution)
    return {labels: sum(counts) for labels, (counts, _) in found.series.items()}


def raising(error: BaseException) -> Endpoint:
    async def endpoint(call: Call) -> None:
        raise error

    return endpoint


async def answering(call: Call) -> None:
    await call.respond(206, [], b"12345")


@pytest.mark.parametrize(
    ("error", "protocol", "labels"),
    [
        (None, "grpc", ("grpc", "a.B/C", "OK", "")),
        (errors.EmptyName(limit=256), "grpc", ("grpc", "a.B/C", "INVALID_ARGUMENT", "")),
        (errors.ServerBusy(), "grpc", ("grpc", "a.B/C", "UNAVAILABLE", "UNAVAILABLE")),
        (errors.Internal(), "grpc", ("grpc", "a.B/C", "INTERNAL", "INTERNAL")),
        (None, "connect", ("connectrpc", "a.B/C", "", "")),
        (errors.EmptyName(limit=256), "connect-stream", ("connectrpc", "a.B/C", "invalid_argument", "")),
        (errors.Internal(), "connect", ("connectrpc", "a.B/C", "internal", "internal")),
    ],
    ids=str,
)
async def test_rpcs(error: errors.ConexionesError | None, protocol: Kind, labels: Labels) -> None:
    metrics = Metrics()
    await measured(metrics, raising(error) if error else answering, protocol=protocol)
    assert durations(metrics, "rpc.server.call.duration") == {labels: 1}


@pytest.mark.parametrize(
    ("method", "verb", "endpoint", "labels"),
    [
        ("images", "GET", answering, ("GET", "http", "/images/{id}", "206", "")),
        ("images", "BREW", answering, ("_OTHER", "http", "/images/{id}", "206", "")),
        ("images", "GET", raising(errors.ImageNotFound()), ("GET", "http", "/images/{id}", "404", "")),
        ("images", "GET", raising(errors.Internal()), ("GET", "http", "/images/{id}", "500", "500")),
        ("page", "HEAD", answering, ("HEAD", "http", "/page/{file}", "206", "")),
        ("sign in", "POST", answering, ("POST", "http", "/session", "206", "")),
    ],
)
async def test_plain_http(method: str, verb: str, endpoint: Endpoint, labels: Labels) -> None:
    metrics = Metrics()
    route = Route(service="http", method=method, endpoint=endpoint, needs="none")
    await measured(metrics, endpoint, route=route, protocol="http", verb=verb)
    assert durations(metrics, "http.server.request.duration") == {labels: 1}


async def test_what_does_not_exist_makes_no_labels() -> None:
    metrics = Metrics()
    measure = Measure(metrics)
    unknown = Route(service="", method="", endpoint=answering, needs="none")
    for number in range(20):
        for protocol in ("grpc", "http"):
            refused = raising(errors.UnknownMethod())
            await measured(
                metrics, refused, route=unknown, protocol=protocol, verb=f"V{number}", measure=measure
            )
    assert durations(metrics, "rpc.server.call.duration") == {
        ("grpc", "_OTHER", "UNIMPLEMENTED", "UNIMPLEMENTED"): 20
    }
    assert durations(metrics, "http.server.request.duration") == {("_OTHER", "http", "", "404", ""): 20}


async def test_a_response_that_breaks_off_is_an_error() -> None:
    async def breaking(call: Call) -> None:
        call.status = 200
        raise asyncio.CancelledError

    metrics = Metrics()
    route = Route(service="http", method="images", endpoint=breaking, needs="none")
    with pytest.raises(asyncio.CancelledError):
        await measured(metrics, breaking, route=route, protocol="http", verb="GET")
    assert durations(metrics, "http.server.request.duration") == {
        ("GET", "http", "/images/{id}", "200", "CANCELLED"): 1
    }


async def test_bytes_and_calls_are_counted_while_they_are_under_way() -> None:
    metrics, seen = Metrics(), []

    def read() -> dict[str, object]:
        return {each.instrument.name: each.series.get(("grpc",), each.series) for each in metrics.read()}

    async def endpoint(call: Call) -> None:
        await call.body.read()
        await call.send_piece(b"12")
        seen.append(read())
        await call.send({"type": "http.response.body", "body": b"3", "more_body": False})
        call.refused(errors.NotAnImage())

    client = Client()
    client.write(b"12345")
    await chain([Measure(metrics)], endpoint)(call(client))
    (during,), after = seen, read()
    name = "conexiones.calls."
    assert [during[name + each] for each in ("active", "received", "sent")] == [1, 5, 2]
    assert [after[name + each] for each in ("active", "received", "sent")] == [0, 5, 3]
    refused = figures(metrics, "conexiones.refusals")
    assert refused["NOT_AN_IMAGE",] == sum(refused.values()) == 1
    assert after["conexiones.calls"] == {("none",): 1}
