"""What OpenTelemetry's exporters log at each failure. It is kept from the log, where a failure is told once,
and heard for its cause."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

_EXPORTER = "opentelemetry.exporter.otlp.proto."
_LOGGERS = tuple(
    _EXPORTER + name
    for name in (
        "http._common",
        "http.metric_exporter",
        "http.trace_exporter",
        "grpc.exporter",
        "grpc.metric_exporter",
        "grpc.trace_exporter",
    )
)

_said: dict[int, list[str]] = {}
"""Thread that exports → what its exporter has said of that."""


@contextmanager
def heard() -> Iterator[list[str]]:
    """Around one export: what the exporter says of it in this thread. The first sentence has the cause."""
    for logger in map(logging.getLogger, _LOGGERS):
        # Where traces are sent, the level of their parent keeps them silent.
        logger.setLevel(logging.WARNING)
        if _hear not in logger.filters:
            logger.filters.insert(0, _hear)  # before a filter of the SDK that drops what comes twice
    said = _said[get_ident()] = []
    try:
        yield said
    finally:
        del _said[get_ident()]


def _hear(record: logging.LogRecord) -> bool:
    if (said := _said.get(get_ident())) is not None:
        said.append(record.getMessage())
    return False
