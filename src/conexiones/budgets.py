"""What a server does with its memory: one bound for all of its processes, and the budgets that follow.

    bound    = processes + budgets
    budgets  = calls, connections, messages, uploads, replies, hot images, and what is left to the decoders

Each budget has a share of what the processes leave, and a limit above which more memory would be of no use. A
setting that the operator has given stays as it is, and takes its part from the decoders.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20

LEAST = 384 * MIB
"""The smallest bound that a server takes."""

PROCESSES = 176 * MIB
"""Supervisor, Envoy with Python, and the catalog's writer with its cache and the memory that it shares, while
nobody calls (150 MiB were measured). The rest is lost between the allocators' pages."""

DECODER = 24 * MIB
"""A decoder process that does nothing."""

CALL = 80 << 10
"""One open call: the stream of Envoy, its headers, and the tasks and buffers of Python. Its windows come on
top."""

CONNECTION = 48 << 10
"""One open connection with TLS."""

TIMES = 3
"""The budget of messages is at least so many times the largest message: one comes in, one is worked on, and
there are small ones."""

LEAST_MESSAGE = 64 << 10
LEAST_DECODING = 16 * MIB
LEAST_CALLS = 16
"""Below these a server would be of no use."""

_GOOD_DECODING = 192 * MIB
"""Rather fewer decoders than less than this for each."""

_FOR_BACKGROUND = 1024 * MIB
"""With less memory, no decoder is kept for work in the background."""

LEAST_WINDOW, LARGEST_WINDOW = 64 << 10, MIB
"""Bytes of the window of a stream. RFC 9113 begins with 64 KiB."""

PIECE, LARGEST_PIECE = 256 << 10, 512 << 10
"""Bytes of a piece of a download. The larger one, where there is memory for it, takes a twentieth less of the
processor."""

HEAP = 32 * MIB
"""What Envoy's allocator hands out while nobody calls."""

_SHARES = {
    "calls": 0.12,
    "connections": 0.1,
    "windows": 0.18,
    "messages": 0.2,
    "uploads": 0.08,
    "replies": 0.11,
    "hot": 0.02,
}
"""The parts of what the processes leave. What is left of that, and what a budget has no use for, is for the
decoders."""

_MOST_FOR_UPLOADS = 192 * MIB
_MOST_FOR_REPLIES = 384 * MIB
_MOST_FOR_HOT = 96 * MIB


class DoesNotFit(ValueError):
    """The memory is too small for what was asked for. The text is one sentence that says what to change."""


def fitted(values: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """All settings, by name, so that they fit into `values["memory"]`.

    Those in `given` were chosen by the operator and stay; the others become smaller where they do not fit.
    Raises DoesNotFit.
    """
    memory = values["memory"]
    if memory < LEAST:
        raise DoesNotFit(f"--memory must be at least {_text(LEAST)}, not {_text(memory)}.")
    found, missing = _fit(values, given)
    if not missing:
        return found
    while missing:
        memory = -(-(memory + missing) // MIB) * MIB
        _, missing = _fit({**values, "memory": memory}, given)
    chosen = ", ".join(_flag(name) for name in DEPENDENT if name in given)
    raise DoesNotFit(f"--memory must be at least {_text(memory)} with this {chosen}.")


def _fit(values: Mapping[str, Any], given: Collection[str]) -> tuple[dict[str, Any], int]:
    """The settings, and how many bytes are missing, which is 0 if they fit."""
    memory = values["memory"]
    found = dict(values)
    rest = memory - PROCESSES
    shares = {name: int(rest * part) for name, part in _SHARES.items()}

    def fit(name: str, most: int, least: int) -> None:
        if name not in given:
            found[name] = max(least, min(found[name], most))

    fit("max_calls", shares["calls"] // CALL, LEAST_CALLS)
    fit("max_connections", shares["connections"] // CONNECTION, LEAST_CALLS)
    largest = found["max_message_bytes"] if "max_message_bytes" in given else LEAST_MESSAGE
    fit("message_budget", shares["messages"], TIMES * largest)
    fit("max_message_bytes", found["message_budget"] // TIMES, LEAST_MESSAGE)
    if found["message_budget"] < TIMES * found["max_message_bytes"]:
        raise DoesNotFit(f"--message-budget must be at least {TIMES} times --max-message-bytes.")

    left = memory - PROCESSES - _taken(found)
    while "decode_workers" not in given and found["decode_workers"] > 1:
        if left // decoders(found) - DECODER >= min(found["decode_memory"], _GOOD_DECODING):
            break
        found["decode_workers"] -= 1
    each = left // decoders(found) - DECODER
    fit("decode_memory", each, LEAST_DECODING)
    return found, max(0, found["decode_memory"] - each) * decoders(found)


def decoders(values: Mapping[str, Any]) -> int:
    """The largest number of decoder processes. One more decodes in the background, where there is memory."""
    workers: int = values["decode_workers"]
    return workers + _has_background(values["memory"])


def _has_background(memory: int) -> bool:
    return memory >= _FOR_BACKGROUND


DEPENDENT = (
    "max_message_bytes",
    "message_budget",
    "decode_memory",
    "decode_workers",
    "max_calls",
    "max_connections",
)
"""The settings that depend on the memory."""


def _taken(values: Mapping[str, Any]) -> int:
    """What all budgets take but those of the decoders."""
    budgets = Budgets.of(memory=values["memory"], max_calls=values["max_calls"])
    taken: int = (
        values["max_calls"] * (CALL + budgets.window)
        + values["max_connections"] * CONNECTION
        + values["message_budget"]
        + budgets.uploads
        + budgets.replies
        + budgets.hot
    )
    return taken


LEAST_STREAMS, MOST_STREAMS = 32, 128
"""Calls that a connection may have open at a time: one more for each STREAMS_FOR bytes of memory."""

STREAMS_FOR = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The budgets that are no settings, in bytes. They follow from the memory and the settings that fit it.

    uploads: buffers of all images on their way to the disk.
    replies: pieces of downloads, and other large replies, on their way to clients.
    hot: small images and renditions that were asked for of late.
    piece: a piece of a download.
    has_background: whether there is a decoder for work in the background. Without it, that waits for others.
    heap: what Envoy's allocator, which Python inside has too, may hand out: all but the decoders' budgets.
    window: the window of a stream. A call may hold another one like it that Envoy has taken in; that is
        counted for half of the calls, since few fill both. Should more do so, Envoy resets some (`heap`).
    connection_window: of all streams of a connection.
    streams: how many calls a connection may have open at a time; that is no size. Envoy takes in what clients
        begin, up to so many on each connection, before it is decided how many are served.
    """

    uploads: int
    replies: int
    hot: int
    piece: int
    window: int
    connection_window: int
    streams: int
    heap: int
    has_background: bool

    @classmethod
    def of(cls, *, memory: int, max_calls: int) -> "Budgets":
        rest = max(0, memory - PROCESSES)
        window = _power_of_two(int(rest * _SHARES["windows"]) // max_calls)
        window = max(LEAST_WINDOW, min(LARGEST_WINDOW, window))
        return cls(
            uploads=min(_MOST_FOR_UPLOADS, int(rest * _SHARES["uploads"])),
            replies=min(_MOST_FOR_REPLIES, int(rest * _SHARES["replies"])),
            hot=min(_MOST_FOR_HOT, int(rest * _SHARES["hot"])),
            piece=min(max(PIECE, window // 2), LARGEST_PIECE, window),
            window=window,
            connection_window=8 * window,
            streams=max(LEAST_STREAMS, min(MOST_STREAMS, memory // STREAMS_FOR)),
            heap=HEAP + int(rest * sum(_SHARES.values())),
            has_background=_has_background(memory),
        )


def _power_of_two(size: int) -> int:
    """The largest power of two that is not above the size."""
    return 1 << max(0, size.bit_length() - 1)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(size: int) -> str:
    return f"{size // MIB}MiB" if not size % MIB else str(size)
