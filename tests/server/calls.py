"""What the server's tests share: errors read as a client would, images of any size, processes."""

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psutil
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conexiones.testing import Server

DEADLINE = 20.0


def reason(error: Any) -> str:
    """The stable reason of a failed call's status, "" if it has none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return ""


def failure(call: Any, *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    """The code and the reason with which a call fails; it must fail."""
    try:
        result = call(*args, **{"timeout": DEADLINE, **kwargs})
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error.code(), reason(error)
    raise AssertionError("the call succeeded")


def bitmap(width: int, height: int, *, seed: int = 0, piece: int = 1 << 20) -> Iterator[bytes]:
    """A BMP of width × height pixels, 24 bits each, in pieces; about width × height × 3 bytes."""
    row = (width * 3 + 3) // 4 * 4
    size = row * height
    yield struct.pack("<2sIHHI", b"BM", 54 + size if 54 + size < 2**32 else 0, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, size if size < 2**32 else 0, 2835, 2835, 0, 0
    )
    block = bytes((seed + number * 7) % 256 for number in range(256)) * (piece // 256)
    while size:
        yield block[: min(size, len(block))]
        size -= min(size, len(block))


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def writers(pid: int) -> list[psutil.Process]:
    """The processes below it that write a catalog."""
    return [process for process in family(pid) if "adapters.writer.program" in " ".join(process.cmdline())]


class Meter(threading.Thread):
    """The largest memory of a server's processes together, each shared page counted once (PSS), in bytes."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self._measure()

    def _measure(self) -> None:
        total = 0
        for process in family(self._server.pid):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak = max(self.peak, total)

    def __enter__(self) -> "Meter":
        self._measure()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


async def until(true: Callable[[], object]) -> None:
    """Waits for the state of files or processes, which nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
