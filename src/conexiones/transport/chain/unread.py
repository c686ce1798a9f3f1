"""What is left of a request when its call has failed is read, and dropped, before the error is answered.

Many clients read no answer while they have much to send. Node's http2 takes no headers for as long as more
than 10 MB of a stream wait to be sent: such a call would end at its deadline. Over HTTP/1.1 the connection
is closed with bytes that nobody has read, and the reset may overtake the answer. The libraries of gRPC can
do both at once, and do not send the rest of a message of a gigabyte for nothing.
"""

from conexiones.errors import ConexionesError
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.frames import clear_frames

MOST = 1 << 30
"""The most bytes that are read so. A client that sends more is answered before."""

_PAUSE = 0.25
"""Seconds without a byte after which a client that streams is answered: it may wait for that answer."""

_LONG_PAUSE = 2.0
"""The same for a client that has a single request to send, or has sent much just now: it may be about to send
more, and is then to be read to the end."""

_MUCH = 1 << 20

_TAKES_EARLY_ANSWERS = b"grpc-"
"""The beginning of the User-Agent of the libraries of gRPC
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, User Agents)."""


async def read_the_rest(call: Call, rest: Endpoint) -> None:
    """A step of the chain, the innermost one: a deadline and the watch over slow clients apply."""
    try:
        await rest(call)
    except Exception as error:
        if not call.body.ended and not call.header(b"user-agent").startswith(_TAKES_EARLY_ANSWERS):
            clear_frames(error.__traceback__)  # they hold what has come of the message
            call.release()
            try:
                if await _more_may_come(call):
                    await call.body.discard(MOST, pause=_LONG_PAUSE)
            except ConexionesError:
                pass  # the client has gone away, or stalls; the error is answered all the same
        raise


async def _more_may_come(call: Call) -> bool:
    """Whether the client is to be given the long pause."""
    _, came = call.body.progress()  # of the message that came last
    if call.route.brief or came >= _MUCH:
        return True
    return (await call.body.discard(_MUCH, pause=_PAUSE) or 0) >= _MUCH
