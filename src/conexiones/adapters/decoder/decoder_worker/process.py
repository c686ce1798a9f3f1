"""The worker process: what it may do, and how it answers. The package's docstring has the protocol."""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pyvips

from . import Refusal
from .facts import facts
from .loading import File, Refused, allow_only_known_loaders, has_all_pixels, refusal
from .render import preview, render

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def die_with_the_server() -> None:
    """Has the kernel kill this process as soon as the thread that started it is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A service manager signals all processes of a service at once. The server drains first, and then ends
    # its workers.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # If the machine runs out of memory, the kernel shall kill this process rather than the server.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_memory(size: int) -> None:
    """Lets this process take `size` bytes more than it has now.

    RLIMIT_DATA counts private writable memory: the heap, anonymous maps and the stacks of threads. RLIMIT_AS
    would also count image files mapped for reading, and the address space that malloc reserves for each
    thread without using it. It would so refuse large files that need little memory.
    """
    # Starts the threads of libvips, whose stacks then count as what the process has now.
    pyvips.Image.black(64, 64, bands=3).jpegsave_buffer()
    status = Path("/proc/self/status").read_text()
    idle = 1024 * int(status.partition("VmData:")[2].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (idle + size, idle + size))


def limit_the_rest() -> None:
    """Allows no core dumps, small files and few descriptors."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1 << 20),  # standard error, the only file that it writes
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))


def perform(request: dict[str, Any], path: str) -> tuple[dict[str, Any], bytes]:
    """What a task found, and the image that it made. Raises Refused and MemoryError."""
    format = request["format"].upper()
    if format == "JPEG":
        try:
            return attempt(request, path, format, strict=True)
        except pyvips.Error as error:
            if not has_all_pixels(error.detail):
                raise refusal(error.detail) from error
    try:
        return attempt(request, path, format, strict=False)
    except pyvips.Error as error:
        # Not the message, which names the operation too: "unable to copy to memory" is not about memory.
        raise refusal(error.detail) from error


def attempt(request: dict[str, Any], path: str, format: str, *, strict: bool) -> tuple[dict[str, Any], bytes]:
    """Performs a task once, reading a JPEG strictly or not. Raises pyvips.Error as well."""
    # An operation that succeeded may have left a text, to which that of the next error would be added.
    pyvips.vips_lib.vips_error_clear()
    limit = request["pixels"]
    file = File(path, format, limit, animated=request.get("animated", False), strict=strict)
    match request["task"]:
        case "preview":
            return {}, preview(file, request["side"])
        case "describe":
            return facts(file), b""
        case "render":
            options = {name: request[name] for name in ("width", "height", "fit", "into", "quality")}
            data, shape = render(file, **options, keep_profile=request["keep_profile"], limit=limit)
            return shape, data
        case task:
            raise ValueError(task)


def answer(request: dict[str, Any]) -> tuple[bytes, bytes]:
    """The two messages of a reply."""
    cause: Refusal | None = None
    detail, image = "", b""
    found: dict[str, Any] = {}
    try:
        # Opened here, so that no library sees the name of the file. It may not be UTF-8, and libraries would
        # repeat it in their error texts.
        with Path(request["path"]).open("rb") as file:
            found, image = perform(request, f"/proc/self/fd/{file.fileno()}")
    except Refused as refused:
        cause, detail = refused.cause, refused.detail
    except MemoryError:
        cause = "MEMORY"
    except OSError as error:
        cause, detail = "CORRUPT", repr(error)
    return json.dumps({**found, "cause": cause or "", "detail": detail[:2000]}).encode(), image


def main() -> None:
    die_with_the_server()
    allow_only_known_loaders()
    limit_the_rest()
    limit_memory(int(sys.argv[1]))
    os.nice(int(sys.argv[2]))
    channel = socket.socket(fileno=0)
    channel.sendall(bytes(4))
    stream = channel.makefile("rb")
    while length := stream.read(4):
        request = json.loads(stream.read(int.from_bytes(length)))
        # Empties standard error. At its size limit, the next crash could not say why.
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        channel.sendall(bytes(4))  # taken: if the process dies from here on, it is because of this request
        for part in answer(request):
            channel.sendall(len(part).to_bytes(4))
            channel.sendall(part)
