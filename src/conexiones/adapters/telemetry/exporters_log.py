"""What OpenTelemetry's exporters log at each failure. It is kept from the log, where a failure is told once,
and heard for its cause."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from conexiones.adapters.telemetry.resource import without_secrets

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

_HEADERS = "opentelemetry.util.re"
"""The logger of what reads the variables with headers. It says what it cannot read, which may be a token."""

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
        said.append(without_secrets(record.getMessage()))
    return False


def hide_headers() -> None:
    """Has the log say that headers of the environment cannot be read, without what they are. To be called
    before an exporter is made."""
    logger = logging.getLogger(_HEADERS)
    if _hide not in logger.filters:
        logger.filters.insert(0, _hide)


def _hide(record: logging.LogRecord) -> bool:
    names = [name for name in os.environ if name.startswith("OTEL_EXPORTER_OTLP_") and "HEADERS" in name]
    record.msg = "%s takes name=value,name=value; what is not of that form is left out"
    record.args = (", ".join(sorted(names)),)
    return True
