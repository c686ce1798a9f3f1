"""The kernel tells whose connections wait, and takes none of those who are held off."""

import asyncio
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from conexiones.transport.process import syn_filter
from tests.support.waiting import DEADLINE, until

ONE, TWO, LOCAL6 = socket.inet_aton("127.0.0.1"), socket.inet_aton("127.0.0.2"), bytes(8)


@pytest.fixture(params=["127.0.0.1", "::"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket of IPv4, or one of both."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server(
        (request.param, 0), family=family, dualstack_ipv6=family == socket.AF_INET6
    ) as listening:
        yield listening


def connected(stack: ExitStack, listening: socket.socket, source: str, *, wait: bool = True) -> bool:
    """Whether a connection comes about; without a wait, whether it does at once."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    one = stack.enter_context(socket.socket(family))
    one.bind((source, 0))
    one.setblocking(False)
    one.connect_ex((source if ":" in source else "127.0.0.1", listening.getsockname()[1]))
    return bool(select.select([], [one], [], DEADLINE if wait else 0)[1])


def sources(listening: socket.socket) -> dict[bytes, str]:
    found = {ONE: "127.0.0.1", TWO: "127.0.0.2"}
    return found | {LOCAL6: "::1"} if listening.family == socket.AF_INET6 else found


def test_whose_connections_wait(listening: socket.socket) -> None:
    with ExitStack() as stack:
        expected: Counter[bytes] = Counter()
        for count, (client, source) in enumerate(sources(listening).items(), start=1):
            for _ in range(count):
                assert connected(stack, listening, source)
            expected[client] = count
        # A client is connected before the kernel has put it into the line.
        asyncio.run(until(lambda: syn_filter.line_of(listening).total() >= expected.total()))
        assert syn_filter.line_of(listening) == expected
        listening.accept()[0].close()
        assert syn_filter.line_of(listening).total() == expected.total() - 1


@pytest.mark.parametrize(
    "held",
    [
        [TWO],
        [ONE, LOCAL6],
        [LOCAL6],
        [b"\xff" * 4, TWO, b"\xff" * 8, LOCAL6],
        [b"\xff" * 4] * 31 + [TWO],
        [b"\x09" * 8] * 31 + [LOCAL6],
    ],
)
def test_who_is_held_off(listening: socket.socket, held: list[bytes]) -> None:
    with ExitStack() as stack:
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", listening.getsockname()[1])))
        there, _ = listening.accept()
        stack.enter_context(there)
        syn_filter.hold_off(listening, held)
        for client, source in sources(listening).items():
            expected = client not in held
            assert connected(stack, listening, source, wait=expected) == expected
        kept.sendall(b"a connection that is there is not touched")
        assert there.recv(1) == b"a"
        syn_filter.let_in(listening)
        assert all(connected(stack, listening, source) for source in sources(listening).values())


def test_no_more_are_held_off_than_the_filter_can_hold(listening: socket.socket) -> None:
    syn_filter.hold_off(listening, [bytes((at,)) * 8 for at in range(100)])
    syn_filter.hold_off(listening, [])
