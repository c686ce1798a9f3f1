"""grpc.testing.TestService, which the interop client of gRPC calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from conexiones.transport.chain.call import Call, Route
from conexiones.transport.rpc.method import Handled, Handler, MessageLimit, service
from tests.conformance.protocols import INTEROP, message
from tests.conformance.requested import requested

SERVICE = f"{INTEROP}.TestService"

ECHO_INITIAL = b"x-grpc-test-echo-initial"
ECHO_TRAILING = b"x-grpc-test-echo-trailing-bin"
"""Headers of a request that come back: the first as a header, the second as a trailer."""


def routes(limit: MessageLimit) -> dict[str, Route]:
    handlers: dict[str, Handler] = {
        "EmptyCall": _empty_call,
        "UnaryCall": _unary_call,
        "StreamingOutputCall": _streaming_output_call,
        "StreamingInputCall": _streaming_input_call,
        "FullDuplexCall": _full_duplex_call,
    }
    return service(
        SERVICE, {name: Handled(handler=each, needs="none") for name, each in handlers.items()}, limit
    )


async def _empty_call(request: Any, call: Call) -> Any:
    return message(f"{INTEROP}.Empty")()


async def _unary_call(request: Any, call: Call) -> Any:
    _echo_metadata(call)
    _fail_if_asked(request)
    return message(f"{INTEROP}.SimpleResponse")(payload=_payload(request.response_size))


async def _streaming_input_call(requests: AsyncIterator[Any], call: Call) -> Any:
    size = sum([len(request.payload.body) async for request in requests])
    return message(f"{INTEROP}.StreamingInputCallResponse")(aggregated_payload_size=size)


async def _streaming_output_call(request: Any, call: Call) -> AsyncIterator[Any]:
    for parameters in request.response_parameters:
        await asyncio.sleep(parameters.interval_us / 1e6)
        yield message(f"{INTEROP}.StreamingOutputCallResponse")(payload=_payload(parameters.size))


async def _full_duplex_call(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
    _echo_metadata(call)
    async for request in requests:
        _fail_if_asked(request)
        async for reply in _streaming_output_call(request, call):
            yield reply


def _payload(size: int) -> Any:
    return message(f"{INTEROP}.Payload")(body=bytes(size))


def _echo_metadata(call: Call) -> None:
    if initial := call.header(ECHO_INITIAL):
        call.reply_headers.append((ECHO_INITIAL, initial))
    if trailing := call.header(ECHO_TRAILING):
        call.reply_trailers.append((ECHO_TRAILING, trailing))


def _fail_if_asked(request: Any) -> None:
    """Raises the error with which the request wants to be answered."""
    if request.response_status.code:
        raise requested(request.response_status.code, request.response_status.message)
