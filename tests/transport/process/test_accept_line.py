"""The line of connections that wait to be accepted."""

import asyncio
import os
import socket
import sys
from contextlib import ExitStack

import pytest

from conexiones.transport.process import accept_line
from conexiones.transport.process.accept_line import LONGEST, SHORT, AcceptLine, waiting
from tests.support.waiting import until


def _listening(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=LONGEST))


def _connect(stack: ExitStack, listening: socket.socket, count: int) -> None:
    """Begins so many connections, and does not wait for them."""
    for _ in range(count):
        one = stack.enter_context(socket.socket())
        one.setblocking(False)
        one.connect_ex(listening.getsockname())


def _longest(listening: socket.socket) -> int:
    """How long the line may be (tcpi_sacked of a socket that listens)."""
    return int.from_bytes(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)[28:], sys.byteorder)


def _which(one: socket.socket) -> tuple[int, int]:
    return os.fstat(one.fileno()).st_ino, one.fileno()


async def test_a_line_that_does_not_move_is_short_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept_line, "LOOK_SECONDS", 0.001)
    with ExitStack() as stack:
        listening = _listening(stack)
        before = _longest(listening)
        _connect(stack, listening, SHORT + 50)
        await until(lambda: waiting(_which(listening)) == SHORT + 50)
        watching = asyncio.create_task(AcceptLine().watch())
        await until(lambda: _longest(listening) == SHORT)
        for _ in range(SHORT + 50):
            listening.accept()[0].close()
        await until(lambda: _longest(listening) == before)
        watching.cancel()


async def test_a_socket_that_is_closed_is_not_kept_open() -> None:
    with ExitStack() as stack:
        listening = _listening(stack)
        address, which = listening.getsockname(), _which(listening)
        watching = asyncio.create_task(AcceptLine().watch())
        await asyncio.sleep(0)
        assert waiting(which) == 0
        listening.close()
        assert waiting(which) is None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        watching.cancel()
