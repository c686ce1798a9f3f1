"""The worker process: what it may do, and how it answers. The package's docstring has the protocol."""

import array
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, BinaryIO, get_args

import pyvips

from . import Refusal, repairs, tiff_pieces
from .facts import facts
from .loading import Care, File, allow_only_known_loaders
from .refusals import Refused, refusal
from .render import preview, render
from .sandbox import SystemCallFilter, close_files, forbid_new_privileges

PR_SET_PDEATHSIG = 1

BROKEN_PROFILE = "VipsIcc"
"""What an error begins with where a colour profile cannot be used."""

UNWRITTEN_PNG = "vips2png"
"""The same where a PNG cannot be written. libpng refuses some profiles that others take."""


def die_with_the_server() -> None:
    """Has the kernel kill this process as soon as the thread that started it is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # A service manager signals all processes of a service at once. The server drains first, and then ends
    # its workers.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # If the machine runs out of memory, the kernel shall kill this process rather than the server.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def start_libraries() -> None:
    """Has libvips start its threads, and each codec what it begins with, while that is not limited yet."""
    small = pyvips.Image.black(64, 64, bands=3).copy(interpretation="srgb")
    for data in (
        small.jpegsave_buffer(),
        small.pngsave_buffer(),
        small.webpsave_buffer(),
        small.heifsave_buffer(compression="av1", effort=0),
    ):
        pyvips.Image.thumbnail_buffer(data, 32, output_profile="srgb").write_to_memory()


def limit_memory(size: int, status: BinaryIO) -> None:
    """Lets this process take `size` bytes more than it has now. `status` is its open /proc/self/status.

    RLIMIT_DATA counts private writable memory: the heap, anonymous maps and the stacks of threads. RLIMIT_AS
    would also count image files mapped for reading, and the address space that malloc reserves for each
    thread without using it. It would so refuse large files that need little memory.
    """
    idle = 1024 * int(status.read().partition(b"VmData:")[2].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (idle + size, idle + size))


def limit_the_rest() -> None:
    """Allows no core dumps, small files and few descriptors."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1 << 20),  # standard error, the only file that it writes
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))


def confine(memory: int) -> list[str]:
    """Takes from this process for good what decoding does not need. Gives the parts of the sandbox that hold.

    `memory` is what a request may take. The order matters: Landlock holds for the threads that come after it,
    and nothing can be opened after it.
    """
    die_with_the_server()
    allow_only_known_loaders()
    limit_the_rest()
    with Path("/proc/self/status").open("rb", buffering=0) as status:
        calls = SystemCallFilter()
        holds = {
            "no_new_privs": forbid_new_privileges(),
            "landlock": close_files() > 0,
        }
        start_libraries()
        limit_memory(memory, status)
    holds["seccomp"] = calls.load()
    return [part for part, held in holds.items() if held]


def perform(request: dict[str, Any], descriptor: int) -> tuple[dict[str, Any], bytes]:
    """What a task found, and the image that it made. Raises Refused and MemoryError."""
    format = request["format"].upper()
    first: Refused | None = None
    for care in get_args(Care):
        try:
            return attempt(request, descriptor, format, care)
        except pyvips.Error as error:
            # Not the message, which names the operation too: "unable to copy to memory" is not about memory.
            refused = refusal(error.detail)
        except MemoryError:
            refused = Refused("MEMORY", "more than a request may take")
        if not worth_another(format, care, refused, descriptor):
            # A file is mended in memory. If it is too large for that, it has the fault that it had.
            raise first if first and refused.cause == "MEMORY" else refused
        first = refused
        os.lseek(descriptor, 0, os.SEEK_SET)
    raise AssertionError  # the last care is worth no other


def worth_another(format: str, care: Care, refused: Refused, descriptor: int) -> bool:
    """Whether a file that could not be read with that care may be readable with the next."""
    if refused.cause == "MEMORY":
        return False
    match format:
        case "JPEG":
            return care != "lenient" and repairs.has_all_pixels(refused.detail)
        case "PNG":
            return care == "strict" and repairs.plain_png(descriptor) is not None
        case "TIFF":
            return care == "strict" or (care == "mended" and tiff_pieces.is_jpeg(descriptor))
        case _:
            return False


def attempt(
    request: dict[str, Any], descriptor: int, format: str, care: Care
) -> tuple[dict[str, Any], bytes]:
    """Performs a task once, or once more without a colour profile that cannot be used. One that cannot be
    kept is used. Raises pyvips.Error as well."""
    try:
        return made(request, descriptor, format, care)
    except pyvips.Error as error:
        unkept = UNWRITTEN_PNG in error.detail and request.get("keep_profile", False)
        if BROKEN_PROFILE not in error.detail and not unkept:
            raise
    os.lseek(descriptor, 0, os.SEEK_SET)
    if unkept:
        return attempt(request | {"keep_profile": False}, descriptor, format, care)
    return made(request, descriptor, format, care, profiled=False)


def made(
    request: dict[str, Any], descriptor: int, format: str, care: Care, *, profiled: bool = True
) -> tuple[dict[str, Any], bytes]:
    """The same, with or without profiles."""
    # An operation that succeeded may have left a text, to which that of the next error would be added.
    pyvips.vips_lib.vips_error_clear()
    try:
        return task(request, descriptor, format, care, profiled=profiled)
    except UnicodeDecodeError as error:
        # The text of the error, in which a library quotes the file.
        raise pyvips.Error("", error.object.decode(errors="replace")) from error


def task(
    request: dict[str, Any], descriptor: int, format: str, care: Care, *, profiled: bool
) -> tuple[dict[str, Any], bytes]:
    """The same. May raise UnicodeDecodeError instead of pyvips.Error."""
    limit, animated = request["pixels"], request.get("animated", False)
    file = File(descriptor, format, limit, animated=animated, care=care, profiled=profiled)
    match request["task"]:
        case "preview":
            return {}, preview(file, request["side"])
        case "describe":
            return facts(file), b""
        case "render":
            options = {name: request[name] for name in ("width", "height", "fit", "into", "quality")}
            data, shape = render(file, **options, keep_profile=request["keep_profile"], limit=limit)
            return shape, data
        case unknown:
            raise ValueError(unknown)


def answer(request: dict[str, Any], descriptor: int) -> tuple[bytes, bytes]:
    """The two messages of a reply."""
    cause: Refusal | None = None
    detail, image = "", b""
    found: dict[str, Any] = {}
    try:
        found, image = perform(request, descriptor)
    except Refused as refused:
        cause, detail = refused.cause, refused.detail
    except MemoryError:
        cause, detail = "MEMORY", "more than a request may take"
    except Exception as error:  # A file is no reason to end, whatever it makes fail.
        cause, detail = "CORRUPT", repr(error)
    return json.dumps({**found, "cause": cause or "", "detail": detail[:2000]}).encode(), image


def received(channel: socket.socket) -> tuple[bytes, int] | None:
    """The next message and the descriptor that came with it, None at the end."""
    descriptors = array.array("i")
    length, rights, *_ = channel.recvmsg(4, socket.CMSG_SPACE(descriptors.itemsize))
    if not length:
        return None
    for _, _, data in rights:
        descriptors.frombytes(data)
    length += _exactly(channel, 4 - len(length))
    return _exactly(channel, int.from_bytes(length)), descriptors[0]


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = channel.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def main() -> None:
    channel = socket.socket(fileno=0)
    send(channel, json.dumps(confine(int(sys.argv[1]))).encode())
    while message := received(channel):
        data, descriptor = message
        # Empties standard error. At its size limit, the next crash could not say why.
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        send(channel, b"")  # taken: if the process dies from here on, it is because of this request
        try:
            send(channel, *answer(json.loads(data), descriptor))
        finally:
            os.close(descriptor)


def send(channel: socket.socket, *messages: bytes) -> None:
    """Sends messages at once, as far as there is room: each piece that comes wakes a thread of the server."""
    pieces = [piece for message in messages for piece in (len(message).to_bytes(4), message)]
    sent = channel.sendmsg(pieces)
    for piece in pieces:
        if sent < len(piece):
            channel.sendall(memoryview(piece)[sent:])
        sent = max(0, sent - len(piece))
