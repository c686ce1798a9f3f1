"""The program of one decoder process: it turns files into previews, one after another, until its input ends.

Started by `conexiones.adapters.decoder` by its path, so it imports nothing of Conexiones; its only argument
is the memory in bytes that a preview may take. Standard input is a stream socket. Every message on it is its
length (4 bytes, big-endian) and that many bytes:

    worker → server   an empty message: ready
    server → worker   JSON {"path", "format", "side", "pixels"}
    worker → server   JSON {"cause", "detail"}, a line feed, and the JPEG if `cause` is empty

`cause` is one of NoPreview's; `detail` is a library's own text, for the log only. What the libraries print
goes to standard error, which holds the output of the latest request.
"""

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pyvips

LOADERS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Nsgif",
    "WEBP": "Webp",
    "TIFF": "Tiff",
    "AVIF": "Heif",
    "HEIF": "Heif",
}
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

OUT_OF_MEMORY = re.compile(r"memory|alloc|no space", re.IGNORECASE)
UNSUPPORTED = re.compile(r"not supported|unsupported|not configured|plugin|not implemented", re.IGNORECASE)

# libjpeg calls both a lost half of the picture and a stray byte between two segments a warning. These are
# the ones after which pixels are missing (jerror.h of libjpeg-turbo); the others are common in photographs.
DAMAGED_JPEG = re.compile(
    r"premature end|bad Huffman code|bad arithmetic code|instead of RST|before marker 0xd[0-7]"
)


class Refused(Exception):
    """There is no preview. Holds the cause and the text for the log."""


def refusal(text: str) -> Refused:
    """The cause that a library's text speaks of."""
    if OUT_OF_MEMORY.search(text):
        return Refused("MEMORY", text)
    return Refused("UNSUPPORTED" if UNSUPPORTED.search(text) else "CORRUPT", text)


def die_with_the_server() -> None:
    """Has the kernel kill this process as soon as the thread that started it is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A service manager signals all processes of a service at once; the server drains first, and then ends us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # Where the machine itself runs out of memory, this process is the one to go.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def allow_only_known_loaders() -> None:
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS.values():
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)


def limit_memory(size: int) -> None:
    """Lets this process take `size` bytes more than it has now.

    RLIMIT_DATA counts what can be written and is ours alone: heap, anonymous maps, stacks of threads.
    RLIMIT_AS would also count the image file mapped for reading and the address space that malloc reserves
    for each thread without using it, and so refuse large files that need little memory.
    """
    # The threads of libvips and their stacks belong to what it has now.
    pyvips.Image.black(64, 64, bands=3).jpegsave_buffer()
    status = Path("/proc/self/status").read_text()
    idle = 1024 * int(status.partition("VmData:")[2].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (idle + size, idle + size))


def limit_the_rest() -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1 << 20),  # standard error, the only file that it writes
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (value, value))


def check_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise Refused("PIXELS", f"{width} × {height}")


def to_jpeg(image: Any) -> bytes:
    """Encodes a small image in any colour space, over white."""
    image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=255)
    if image.bands > 3:
        image = image.extract_band(0, n=3)
    data: bytes = image.cast("uchar").jpegsave_buffer(Q=80, optimize_coding=True, keep="none")
    return data


def decode_bmp(path: str, side: int, pixels: int) -> bytes:
    """BMP goes through Pillow: this libvips has no loader for it."""
    # Loaded here, because few servers ever see a BMP.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
    try:
        with Image.open(path, formats=["BMP"]) as file:
            check_pixels(*file.size, pixels)
            image = file.convert("RGBA" if file.has_transparency_data else "RGB")
    except (Refused, MemoryError):
        raise
    except Exception as error:  # its parsers let anything through: struct.error, IndexError, SyntaxError
        raise refusal(repr(error)) from error
    image.thumbnail((side, side))
    small = pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.mode), "uchar")
    return to_jpeg(small.copy(interpretation="srgb"))


def decode_with_vips(path: str, side: int, options: str) -> bytes:
    # From a source, because `thumbnail` would take what follows a bracket in a file name as options.
    # `thumbnail_source` forgets its own argument `fail_on` (libvips 8.18), so it goes to the loader.
    image = pyvips.Image.thumbnail_source(
        pyvips.Source.new_from_file(path),
        side,
        height=side,
        size="down",
        output_profile="srgb",
        option_string=options,
    )
    return to_jpeg(image)


def preview(path: str, format: str, side: int, pixels: int) -> bytes:
    """The preview of a file, or Refused, or MemoryError."""
    if format == "BMP":
        return decode_bmp(path, side, pixels)
    if format not in LOADERS:
        raise Refused("UNSUPPORTED", format)
    # An operation that succeeded may have left some text, which is not the next error's.
    pyvips.vips_lib.vips_error_clear()
    try:
        source = pyvips.Source.new_from_file(path)
        header = pyvips.Image.new_from_source(source, "", access="sequential")
        check_pixels(header.width, header.height, pixels)
        del header, source
        if format == "JPEG":
            try:
                return decode_with_vips(path, side, "fail_on=warning")
            except pyvips.Error as error:
                if DAMAGED_JPEG.search(str(error)):
                    raise
        # libtiff's own limit, 50 MiB, refuses large scans that are one strip. Ours takes its place.
        unlimited = ",unlimited" if format == "TIFF" else ""
        return decode_with_vips(path, side, f"fail_on=error{unlimited}")
    except pyvips.Error as error:
        raise refusal(str(error)) from error


def answer(request: dict[str, Any]) -> bytes:
    cause, detail, jpeg = "", "", b""
    try:
        # Opened here once, so that a library never sees the name: it may not be UTF-8, and its words would
        # come back in error texts.
        with Path(request["path"]).open("rb") as file:
            jpeg = preview(
                f"/proc/self/fd/{file.fileno()}",
                request["format"].upper(),
                request["side"],
                request["pixels"],
            )
    except Refused as refused:
        cause, detail = refused.args
    except MemoryError:
        cause = "MEMORY"
    except OSError as error:
        cause, detail = "CORRUPT", repr(error)
    return json.dumps({"cause": cause, "detail": detail[:2000]}).encode() + b"\n" + jpeg


def main() -> None:
    die_with_the_server()
    allow_only_known_loaders()
    limit_the_rest()
    limit_memory(int(sys.argv[1]))
    channel = socket.socket(fileno=0)
    channel.sendall(bytes(4))
    stream = channel.makefile("rb")
    while length := stream.read(4):
        request = json.loads(stream.read(int.from_bytes(length)))
        # A descriptor at its limit of size would keep the next crash from saying why.
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        channel.sendall(bytes(4))  # taken: from here on a death is this request's doing
        reply = answer(request)
        channel.sendall(len(reply).to_bytes(4) + reply)


if __name__ == "__main__":
    main()
