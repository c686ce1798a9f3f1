"""The limit on file descriptors (ulimit -n), and what the server promises under it."""

import logging
import resource
from dataclasses import replace

from conexiones.settings import Settings
from conexiones.transport.process.start_error import StartError

OWN = 128
"""Descriptors that Envoy's process needs for itself: 60 when it is idle, and those of DECODERS decoders."""

DECODERS, DECODER = 30, 2
"""So many decoders are among OWN; each further one takes so many descriptors."""

CONNECTION, CALL, UPLOAD = 1, 2, 2
"""Descriptors that each of them takes at most. A call that sends an image in fragments, and an upload that is
written, have their file open twice; a call that reads one has it open once."""

MORE = 1000
"""Descriptors for connections that come in numbers, beyond those that are promised, if there are so many."""

FLOOR = 256
"""With fewer descriptors the server does not start."""

log = logging.getLogger("conexiones.supervisor")


def fitted(settings: Settings, hard: int | None = None) -> Settings:
    """The settings with as many connections, calls and uploads as there are descriptors for.

    It raises the soft limit of this process, which the others inherit. `hard` is the hard limit, by default
    that of this process. Raises StartError.
    """
    needed = _needed(settings)
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard is None:
        hard = needed + MORE if most == resource.RLIM_INFINITY else most
        if soft != resource.RLIM_INFINITY and soft < min(hard, needed + MORE):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, needed + MORE), most))
    if hard < FLOOR:
        raise StartError(
            f"The hard limit of {hard} file descriptors (ulimit -Hn) is below the {FLOOR} that it takes."
        )
    if hard >= needed:
        return settings
    own = _own(settings)
    share = max(0, hard - own) / (needed - own)
    less = replace(
        settings,
        max_connections=max(1, int(settings.max_connections * share)),
        max_calls=max(1, int(settings.max_calls * share)),
        max_open_uploads=max(1, int(settings.max_open_uploads * share)),
    )
    log.warning(
        "The hard limit of %d file descriptors (ulimit -Hn) is below the %d that the settings need:"
        " the server goes on with --max-connections %d, --max-calls %d and --max-open-uploads %d",
        hard,
        needed,
        less.max_connections,
        less.max_calls,
        less.max_open_uploads,
    )
    return less


def left(settings: Settings) -> int:
    """How many of MORE descriptors there are for this process and those that it starts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MORE if soft == resource.RLIM_INFINITY else min(MORE, max(0, soft - _needed(settings)))


def _own(settings: Settings) -> int:
    return OWN + DECODER * max(0, settings.decode_workers - DECODERS)


def _needed(settings: Settings) -> int:
    return (
        _own(settings)
        + CONNECTION * settings.max_connections
        + CALL * settings.max_calls
        + UPLOAD * settings.max_open_uploads
    )
