"""connectrpc.conformance.v1.ConformanceService: it replies as each request says, and reports what came."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from conexiones.transport.chain.call import Call, Headers, Route
from conexiones.transport.rpc.method import Handled, Handler, MessageLimit, service
from tests.conformance.protocols import CONFORMANCE, message, packed
from tests.conformance.requested import requested

SERVICE = f"{CONFORMANCE}.ConformanceService"


def routes(limit: MessageLimit) -> dict[str, Route]:
    handlers: dict[str, Handler] = {
        "Unary": _unary,
        "IdempotentUnary": _idempotent_unary,
        "ServerStream": _server_stream,
        "ClientStream": _client_stream,
        "BidiStream": _bidi_stream,
        "Unimplemented": _unary,
    }
    found = service(
        SERVICE, {name: Handled(handler=each, needs="none") for name, each in handlers.items()}, limit
    )
    del found[f"/{SERVICE}/Unimplemented"]  # the suite calls it as a method that the server lacks
    return found


async def _unary(request: Any, call: Call) -> Any:
    payload = await _payload(_definition(request), [request], call)
    return message(f"{CONFORMANCE}.UnaryResponse")(payload=payload)


async def _idempotent_unary(request: Any, call: Call) -> Any:
    payload = await _payload(_definition(request), [request], call)
    return message(f"{CONFORMANCE}.IdempotentUnaryResponse")(payload=payload)


async def _client_stream(requests: AsyncIterator[Any], call: Call) -> Any:
    came = [request async for request in requests]
    payload = await _payload(_definition(came[0]) if came else None, came, call)
    return message(f"{CONFORMANCE}.ClientStreamResponse")(payload=payload)


async def _server_stream(request: Any, call: Call) -> AsyncIterator[Any]:
    definition = _definition(request)
    response = message(f"{CONFORMANCE}.ServerStreamResponse")
    _set_metadata(definition, call)
    async for payload in _payloads(definition, [request], call):
        yield response(payload=payload)


async def _bidi_stream(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
    response = message(f"{CONFORMANCE}.BidiStreamResponse")
    definition: Any = None
    came: list[Any] = []
    given = 0
    first = True
    full_duplex = False
    async for request in requests:
        came.append(request)
        if first:
            first, full_duplex, definition = False, request.full_duplex, _definition(request)
            _set_metadata(definition, call)
        if not full_duplex:
            continue
        if definition is None or given >= len(definition.response_data):
            break
        await _pause(definition)
        yield response(payload=_answer(definition.response_data[given], given, came, call, echo=True))
        given += 1
        came = []
    # In half duplex these are all replies, in full duplex those for which no request came.
    async for payload in _payloads(definition, came, call, given=given):
        yield response(payload=payload)


async def _payloads(
    definition: Any, requests: list[Any], call: Call, *, given: int = 0
) -> AsyncIterator[Any]:
    """The payloads of a stream from number `given` on, and then its error. The first payload of the stream
    reports the requests; if there is none, the error does."""
    if definition is None:
        return
    for number in range(given, len(definition.response_data)):
        await _pause(definition)
        yield _answer(definition.response_data[number], number, requests, call, echo=number == 0)
    if definition.HasField("error"):
        told = [] if definition.response_data else [_request_info(requests, call)]
        raise requested(
            definition.error.code, definition.error.message, [*definition.error.details, *map(packed, told)]
        )


async def _payload(definition: Any, requests: list[Any], call: Call) -> Any:
    """The only payload of a call, or its error; either reports the requests."""
    info = _request_info(requests, call)
    if definition is None:
        return message(f"{CONFORMANCE}.ConformancePayload")(request_info=info)
    _set_metadata(definition, call)
    await _pause(definition)
    if definition.WhichOneof("response") == "error":
        error = definition.error
        raise requested(error.code, error.message, [*error.details, packed(info)])
    return message(f"{CONFORMANCE}.ConformancePayload")(data=definition.response_data, request_info=info)


def _answer(data: bytes, number: int, requests: list[Any], call: Call, *, echo: bool) -> Any:
    """A payload of a stream. The first reports headers, deadline and messages of the request. Later ones
    report the messages if they `echo`, else nothing."""
    payload = message(f"{CONFORMANCE}.ConformancePayload")(data=data)
    if number == 0:
        payload.request_info.CopyFrom(_request_info(requests, call))
    elif echo:
        payload.request_info.requests.extend(map(packed, requests))
    return payload


def _request_info(requests: list[Any], call: Call) -> Any:
    header = message(f"{CONFORMANCE}.Header")
    values: dict[bytes, list[str]] = {}
    for name, value in call.headers:
        values.setdefault(name, []).append(value.decode("latin-1"))
    info = message(f"{CONFORMANCE}.ConformancePayload.RequestInfo")(
        request_headers=[header(name=name.decode("latin-1"), value=value) for name, value in values.items()],
        requests=map(packed, requests),
    )
    if call.deadline is not None:
        info.timeout_ms = round((call.deadline - call.start_time) * 1000)
    return info


def _definition(request: Any) -> Any:
    """The reply that the request asks for; None if it asks for none."""
    return request.response_definition if request.HasField("response_definition") else None


def _set_metadata(definition: Any, call: Call) -> None:
    if definition is not None:
        call.reply_headers += _headers(definition.response_headers)
        call.reply_trailers += _headers(definition.response_trailers)


def _headers(defined: Iterable[Any]) -> Headers:
    return [(entry.name.lower().encode(), value.encode()) for entry in defined for value in entry.value]


async def _pause(definition: Any) -> None:
    """The delay that the suite asks for before a reply."""
    await asyncio.sleep(definition.response_delay_ms / 1000)
