"""The line of connections that wait to be accepted."""

import asyncio
import os
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial

import pytest

from conexiones.transport.process import accept_line
from conexiones.transport.process.accept_line import FULL, LONGEST, SHORT, AcceptLine, greedy_of, waiting
from tests.support.waiting import until


def _listening(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=LONGEST))


def _connect(
    stack: ExitStack, listening: socket.socket, count: int = 1, *, source: str = "127.0.0.1"
) -> socket.socket:
    """Begins so many connections, and does not wait for them. Gives the last one."""
    for _ in range(count):
        one = stack.enter_context(socket.socket())
        one.setblocking(False)
        one.bind((source, 0))
        one.connect_ex(listening.getsockname())
    return one


def _is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def _longest(listening: socket.socket) -> int:
    """How long the line may be (tcpi_sacked of a socket that listens)."""
    return int.from_bytes(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)[28:], sys.byteorder)


def _which(one: socket.socket) -> tuple[int, int]:
    return os.fstat(one.fileno()).st_ino, one.fileno()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept_line, "LOOK_SECONDS", 0.001)


async def test_a_line_of_a_balancer_that_does_not_move_is_short_until_it_does() -> None:
    with ExitStack() as stack:
        listening = _listening(stack)
        before = _longest(listening)
        _connect(stack, listening, SHORT + 50)
        await until(lambda: waiting(_which(listening)) == SHORT + 50)
        watching = asyncio.create_task(AcceptLine(shared=False).watch())
        await until(lambda: _longest(listening) == SHORT)
        for _ in range(SHORT + 50):
            listening.accept()[0].close()
        await until(lambda: _longest(listening) == before)
        watching.cancel()


async def test_who_fills_a_line_is_held_off_until_it_is_gone_and_others_are_not() -> None:
    with ExitStack() as stack:
        listening = _listening(stack)
        before = _longest(listening)
        _connect(stack, listening, 10)
        _connect(stack, listening, FULL, source="127.0.0.2")
        await until(lambda: waiting(_which(listening)) == FULL + 10)
        line = AcceptLine()
        watching = asyncio.create_task(line.watch())
        # Not to connect at once says nothing: on a busy machine the kernel may take its time.
        await until(lambda: line._held_off)
        held_off = _connect(stack, listening, source="127.0.0.2")
        for _ in range(20):
            one = _connect(stack, listening)
            await until(partial(_is_connected, one))
        assert not _is_connected(held_off)
        assert _longest(listening) == before, "and the line need not be short"
        while waiting(_which(listening)):
            listening.accept()[0].close()
        await until(lambda: _is_connected(held_off))
        watching.cancel()


@pytest.mark.parametrize(
    ("line", "greedy"),
    [
        ({"a": 200}, "a"),
        ({"a": 200, "b": 12}, "a"),
        ({"a": 40, "b": 60}, "b"),
        ({"a": 60, "b": 100, "c": 70}, "bc"),
        ({"a": 33, "b": 30}, ""),
        ({chr(97 + at): 8 for at in range(26)}, ""),
        ({chr(97 + at): 9 for at in range(26)}, "abcdefghijklmnopqrs"),
    ],
)
def test_who_has_most_of_a_line(line: dict[str, int], greedy: str) -> None:
    found = greedy_of(Counter({name.encode(): count for name, count in line.items()}))
    assert b"".join(found).decode() == greedy


def _refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_socket_that_is_closed_is_not_kept_open() -> None:
    with ExitStack() as stack:
        listening = _listening(stack)
        address, which = listening.getsockname(), _which(listening)
        watching = asyncio.create_task(AcceptLine().watch())
        await asyncio.sleep(0)
        assert waiting(which) == 0
        listening.close()
        assert waiting(which) is None
        await until(lambda: _refuses(address))  # unless somebody looks at this moment
        watching.cancel()
