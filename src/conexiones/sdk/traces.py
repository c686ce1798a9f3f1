"""Traces of OpenTelemetry, where the program uses it: a span for each operation of a client, to which all its
calls belong, those that are made again too.

Whoever uses OpenTelemetry has imported its API. So it is not imported here before that, and a program without
it pays nothing.
"""

import functools
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from conexiones.errors import ConexionesError

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I", bound=AsyncIterator[Any])  # noqa: E741  (an iterator)

_API = "opentelemetry.trace"
_NAME = "conexiones"


def operation(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """A coroutine method that is a span, named conexiones.METHOD, of the caller's tracer."""
    name = f"{_NAME}.{method.__name__}"

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _API not in sys.modules:
            return await method(*args, **kwargs)
        span = _begun(name)
        token = _attach(span)
        try:
            return await method(*args, **kwargs)
        except BaseException as error:
            _failed(span, error)
            raise
        finally:
            _detach(token)
            span.end()

    return call


def iterating(name: str) -> Callable[[Callable[P, I]], Callable[P, I]]:
    """The same of a method that gives an asynchronous iterator. The span ends with the iterator."""

    def decorate(method: Callable[P, I]) -> Callable[P, I]:
        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            items = method(*args, **kwargs)
            return items if _API not in sys.modules else _within(f"{_NAME}.{name}", items)

        return call

    return decorate


def metadata() -> list[tuple[str, str]]:
    """The headers by which a call takes its place in the trace of the operation, or of the program."""
    if _API not in sys.modules:
        return []
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return [(name.lower(), value) for name, value in carrier.items()]


def again(error: ConexionesError) -> None:
    """Notes that something of the operation failed and is tried again."""
    if _API in sys.modules:
        from opentelemetry import trace

        trace.get_current_span().add_event("retry", {"error.type": _kind(error)})


async def _within(name: str, items: Any) -> AsyncIterator[Any]:
    """Items, each of which is made within the span. The span is not the one of the program's in between."""
    span = _begun(name)
    try:
        while True:
            token = _attach(span)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            finally:
                _detach(token)
            yield item
    except BaseException as error:
        _failed(span, error)
        raise
    finally:
        token = _attach(span)
        try:
            await items.aclose()
        finally:
            _detach(token)
            span.end()


def _begun(name: str) -> Any:
    from opentelemetry import trace

    return trace.get_tracer(_NAME).start_span(name, kind=trace.SpanKind.CLIENT)


def _attach(span: Any) -> Any:
    from opentelemetry import context, trace

    return context.attach(trace.set_span_in_context(span))


def _detach(token: Any) -> None:
    from opentelemetry import context

    context.detach(token)


def _failed(span: Any, error: BaseException) -> None:
    """Nothing of an error's text, which may have what users have written."""
    if isinstance(error, GeneratorExit):  # whoever iterated has had enough
        return
    from opentelemetry import trace

    span.set_attribute("error.type", _kind(error))
    if request_id := getattr(error, "request_id", ""):
        span.set_attribute("conexiones.request_id", request_id)
    if isinstance(error, Exception):
        span.set_status(trace.StatusCode.ERROR, _kind(error))


def _kind(error: BaseException) -> str:
    return getattr(error, "reason", "") or type(error).__name__
