"""What stands between handlers and clients: only errors of the tree get out, and no handler ends the loop."""

import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from connectrpc.code import Code as ConnectCode
from connectrpc.errors import ConnectError
from connectrpc.interceptor import Interceptor
from connectrpc.request import RequestContext

from conexiones import errors
from conexiones.transport.rpc.codecs import Box
from conexiones.transport.wire import connect_error

log = logging.getLogger("conexiones.rpc")

CERTIFICATE = "x-forwarded-client-cert"

_SUBJECT = re.compile(r'Subject="([^"]*)"')

Call = Callable[[Any, "RequestContext[Any, Any]"], Any]


class Translator:
    """Turns whatever ends a call into an error of the tree, with its details; logs what is ours.

    It is the outermost interceptor, and a metadata interceptor: it sees also what connectrpc finds wrong
    before a handler runs (framing, size, compression) and after (deadline, disconnect).
    """

    def __init__(self, too_large: Mapping[str, Any]) -> None:
        self._too_large = too_large

    async def on_start(self, ctx: "RequestContext[Any, Any]") -> None:
        return

    async def on_end(self, token: None, ctx: "RequestContext[Any, Any]", error: Exception | None, /) -> None:
        if error is None:
            return
        method = f"{ctx.method.service_name}/{ctx.method.name}"
        ours = refusal(self._translate(error), error, method, ctx.request_headers.get(CERTIFICATE, ""))
        raise connect_error(ours) from None

    def _translate(self, error: Exception) -> errors.ConexionesError:
        if isinstance(error, ConnectError):
            if isinstance(error.__cause__, errors.ConexionesError):
                return error.__cause__  # our codecs' errors, which connectrpc wraps
            # connectrpc's own: its sentences quote the request and its libraries, so they go no further.
            match error.code:
                case ConnectCode.RESOURCE_EXHAUSTED:
                    return errors.MessageTooLarge(**self._too_large)
                case ConnectCode.CANCELED:
                    return errors.Cancelled()
                case ConnectCode.DEADLINE_EXCEEDED:
                    return errors.DeadlineExceeded()
                case ConnectCode.UNIMPLEMENTED if "compression" in error.message:
                    return errors.UnknownCompression()
                # INTERNAL is a frame that says it is compressed, where nothing said how.
                case ConnectCode.INVALID_ARGUMENT | ConnectCode.UNIMPLEMENTED | ConnectCode.INTERNAL:
                    return errors.MalformedRequest()
        return own(error)


def own(error: Exception) -> errors.ConexionesError:
    """What a client is told of what a handler raised."""
    return error if isinstance(error, errors.ConexionesError) else errors.Internal()


def refusal(
    ours: errors.ConexionesError, error: Exception, method: str, certificate: str
) -> errors.ConexionesError:
    """The error that a call ends with, logged: `error` is what happened, `certificate` the header of that
    name, empty without mTLS."""
    found = _SUBJECT.search(certificate)
    caller = f", from {found[1]}" if found else ""
    storage = isinstance(ours, errors.StorageFull | errors.StorageUnavailable)
    if storage or ours.code in {errors.Code.INTERNAL, errors.Code.DATA_LOSS}:
        log.error("%s: %s%s", method, ours.reason, caller, exc_info=error)
    else:
        log.debug("%s: %s%s", method, ours.reason, caller)
    # The frames hold the request, and they and the error hold each other: left to the garbage collector,
    # refused images of 60 MB would pile up.
    traceback.clear_frames(error.__traceback__)
    return ours


class Handlers:
    """Unpacks the messages for the handlers, and keeps SystemExit and its like, raised in one, from ending
    the event loop under every call."""

    async def intercept_unary(self, call: Call, request: Any, ctx: "RequestContext[Any, Any]") -> Any:
        return await contained(call(_message(request), ctx))

    async def intercept_client_stream(self, call: Call, request: Any, ctx: "RequestContext[Any, Any]") -> Any:
        return await contained(call(_messages(request), ctx))

    def intercept_server_stream(
        self, call: Call, request: Any, ctx: "RequestContext[Any, Any]"
    ) -> AsyncIterator[Any]:
        return contained_stream(call(_message(request), ctx))

    def intercept_bidi_stream(
        self, call: Call, request: Any, ctx: "RequestContext[Any, Any]"
    ) -> AsyncIterator[Any]:
        return contained_stream(call(_messages(request), ctx))


def _message(request: Any) -> Any:
    return request.take() if isinstance(request, Box) else request  # reflection's are not boxed


async def _messages(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _message(request)


async def contained(call: Awaitable[Any]) -> Any:
    """What a handler gives; SystemExit and its like become an error."""
    try:
        return await call
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise errors.Internal from error


async def contained_stream(replies: Any) -> AsyncIterator[Any]:
    """The replies of a handler; the same."""
    try:
        while True:
            try:
                reply = await anext(replies)
            except StopAsyncIteration:
                return
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                raise errors.Internal from error
            yield reply
            del reply
    finally:
        await replies.aclose()


def interceptors(too_large: Mapping[str, Any]) -> list[Interceptor]:
    """For every connectrpc application of the server, in this order; with the facts of MessageTooLarge."""
    return [Translator(too_large), Handlers()]
