"""The form of the log, and where it goes. A module of its own, so that the supervisor need not load the
application.

A line is one record, whatever is in it: what clients have chosen breaks no line, and looks like no other
record. In JSON a line is one object. In text, control characters are escapes, and what follows a record, such
as the frames of an exception, is indented.
"""

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn

from conexiones.tracing import current_ids, current_span

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that would end a line, act on a terminal or on the direction of the text, or be no text."""

ENVOY = {
    # Envoy's patterns are those of spdlog; %_ and %j are the message with escapes. Its warnings have more
    # words for levels than ours.
    "text": "%Y-%m-%d %T,%e %l envoy.%n: %_",
    "json": '{"time": "%Y-%m-%dT%T.%f%z", "level": "%l", "logger": "envoy.%n", "message": "%j"}',
}
"""Formats of Envoy's own lines, which go to standard error, too."""


def configure(level: str, form: str = "text") -> None:
    """To standard error, where Envoy's own lines go. `trace` makes a difference to those alone. `form` is
    text or json."""
    level = "DEBUG" if level == "trace" else level.upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=level)
    # What nobody catches is a record like others.
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


class TextLines(logging.Formatter):
    """A line for people. Lines of a call end with its ids."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        asctime = self.formatTime(record)
        line = f"{asctime} {record.levelname} {record.name}: {record.getMessage()}"
        told = " ".join(f"{name}={value}" for name, value in ids().items() if name != "method")
        text = _shown(f"{line} [{told}]" if told else line)
        if more := _more(self, record):
            text += "".join(f"\n  {_shown(each)}" for each in re.split("\r\n|[\r\n]", more))
        return text


class JsonLines(logging.Formatter):
    """A JSON object, in ASCII. `time` is in UTC; what is not known is left out."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{time:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **ids(),
        }
        if reason := getattr(record, "reason", ""):
            line["reason"] = reason
        if more := _more(self, record):
            line["exception"] = more
        return json.dumps(line)


def fail(sentence: str) -> NoReturn:
    """Ends a server that cannot start. Its last line says why."""
    logging.getLogger("conexiones").critical("%s", sentence)
    sys.exit(1)


def ids() -> dict[str, str]:
    """What the call that is being served is known by; nothing outside of calls."""
    known, span = current_ids.get(), current_span.get()
    if known is None:
        return {}
    found = {
        "request_id": known.request_id,
        "trace_id": span.trace_id if span else known.trace_id,
        "span_id": span.span_id if span else "",
        "method": known.method,
    }
    return {name: value for name, value in found.items() if value}


def _more(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The exception and the stack of a record. Nothing is kept with it, as others may format it."""
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _shown(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("conexiones").critical("Uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else "?"
        logging.getLogger("conexiones").critical(
            "Uncaught exception in the thread %s",
            name,
            exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
        )


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    logging.getLogger("conexiones").error(
        "%s: %r",
        args.err_msg or "Exception ignored",
        args.object,
        exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
    )
