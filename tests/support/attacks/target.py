"""Where an attack goes to and comes from, and its connections."""

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from socket import IPPROTO_TCP, TCP_INFO
from typing import Any

Tally = Counter[str]
"""What an attack did and what came of it, by names: calls, served, refused, closed."""

BACK_OFF = 0.05
"""Seconds after which an attack tries again what the server has refused."""

_ESTABLISHED = 1
"""A state of TCP, the first byte of TCP_INFO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server, and the address from which the attack comes. Raises ValueError unless both are of loopback.

    images: ids of images that the server has, by the names that tests/attack gives them. ca: the file of the
    server's CA, if it has TLS. token: the token with which it comes, if the server asks for one.
    """

    host: str
    port: int
    source: str = "127.0.0.2"
    images: dict[str, str] = field(default_factory=dict)
    ca: str = ""
    token: str = ""

    def __post_init__(self) -> None:
        for address in (self.host, self.source):
            if not ipaddress.ip_address(address).is_loopback:
                raise ValueError(f"{address} is no loopback address: attacks stay on this machine.")

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def at(self, number: int) -> "Target":
        """The same server from another of 65,000 source addresses: another client, as the server sees it."""
        return replace(self, source=f"127.1.{number // 250}.{number % 250 + 1}")


Attack = Callable[[Target, Tally], Coroutine[Any, Any, None]]


class Connection:
    """A TCP connection whose bytes are read only when the attack asks for them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Raises OSError."""
        return cls(
            *await asyncio.open_connection(
                target.host, target.port, local_addr=(target.source, 0), limit=4096
            )
        )

    async def send(self, data: bytes) -> None:
        """Raises OSError, also if it was found out earlier that the connection is closed."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Waits until the server has closed the connection. What it sends until then is dropped."""
        with contextlib.suppress(OSError):
            while await self.reader.read(1 << 16):
                pass

    def pause(self) -> None:
        """Reads nothing more from the socket. (A stream reads ahead a little by itself.)"""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's

    def resume(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def gone(self) -> None:
        """Waits until the kernel knows that the server has closed the connection, without reading from it."""
        socket = self.writer.get_extra_info("socket")
        while not self.writer.transport.is_closing():
            if socket.getsockopt(IPPROTO_TCP, TCP_INFO, 1)[0] != _ESTABLISHED:
                return
            await asyncio.sleep(0.5)

    def close(self) -> None:
        self.writer.transport.abort()

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def many(count: int, one: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Runs `one` that many times at once, each with its number. The first exception ends all of them."""
    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def again(tally: Tally, once: Callable[[], Awaitable[None]]) -> None:
    """Repeats `once` for ever, also when the server closes its connection in the middle."""
    while True:
        try:
            await once()
        except (OSError, EOFError):
            tally["closed"] += 1
            await asyncio.sleep(BACK_OFF)
