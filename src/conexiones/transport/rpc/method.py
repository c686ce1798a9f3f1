"""The methods of services, and how a call reaches the handler of its method."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor

from conexiones.principals import Need
from conexiones.transport.chain.call import Call, Exemption, Route
from conexiones.transport.chain.replies import Large
from conexiones.transport.rpc.envelopes import Requests
from conexiones.transport.rpc.exchange import Exchange
from conexiones.transport.rpc.outbox import Outbox

Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any] | AsyncIterator[Any]]
"""Takes a request, or an iterator of them, and the call; gives the reply, or an iterator of replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """A handler, what a caller needs for its method, and what else is special about it. `ticketed` is that of
    Route, `pieces` that of Requests; `large` says that its replies are."""

    handler: Handler
    needs: Need
    ticketed: bool = False
    pieces: bool = False
    large: Large | None = None
    exempt: Iterable[Exemption] = ()


class Method:
    """The endpoint of one method: it gives requests to the handler, and its replies to the exchange."""

    def __init__(
        self,
        handler: Handler,
        descriptor: MethodDescriptor,
        requests: Requests,
        large: Large | None = None,
        *,
        prompt: bool = False,
    ) -> None:
        self._handler = handler
        self._large = large
        self._requests = requests
        self._takes_stream = descriptor.client_streaming
        self._gives_stream = descriptor.server_streaming
        # A client that has sent its one request knows what it waits for, and may retry its call.
        self._prompt = prompt and self._takes_stream

    @property
    def streams(self) -> bool:
        """Whether requests or replies are a stream."""
        return self._takes_stream or self._gives_stream

    async def __call__(self, call: Call) -> None:
        exchange = cast(Exchange, call.answer)
        request: Any
        if self._takes_stream:
            request = exchange.requests(self._requests)
        else:
            request = await exchange.only(self._requests)
            if call.turn:
                await call.turn.take()
        if self._large:
            await call.room_for_all(self._large)
        handled: Any = self._handler(request, call)
        del request
        if self._gives_stream:
            await Outbox(exchange, prompt=self._prompt).send_all(handled)
            await exchange.end()
        else:
            await exchange.reply(await handled)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimit:
    """The largest message, in bytes, and the method that takes larger images, as its path."""

    max_bytes: int
    streaming_method: str


def service(
    full_name: str, handlers: Mapping[str, Handled], limit: MessageLimit, *, prompt: bool = False
) -> dict[str, Route]:
    """The routes of a service by their paths, "/package.Service/Method". ValueError unless there is exactly
    one handler for each method that its descriptor has. `prompt` is that of Outbox."""
    descriptor = descriptor_pool.Default().FindServiceByName(full_name)
    if set(handlers) != set(descriptor.methods_by_name):
        raise ValueError(f"the methods of {full_name} are {list(descriptor.methods_by_name)}")
    routes = {}
    for name, handled in handlers.items():
        method = descriptor.methods_by_name[name]
        requests = Requests.of(
            message_factory.GetMessageClass(method.input_type),
            max_bytes=limit.max_bytes,
            streaming_method=limit.streaming_method,
            pieces=handled.pieces,
        )
        endpoint = Method(handled.handler, method, requests, handled.large, prompt=prompt)
        routes[f"/{full_name}/{name}"] = Route(
            service=full_name,
            method=name,
            endpoint=endpoint,
            needs=handled.needs,
            ticketed=handled.ticketed,
            exempt=frozenset(handled.exempt),
            brief=not endpoint.streams,
        )
    return routes
