"""The lines of the log: one for each record, whatever is in it."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from conexiones.tracing import current_ids, current_span
from conexiones.transport.process import logs
from tests.test_tracing import SPAN, TRACE, Seen

FORGED = "a\nb\r\n2026-01-01 00:00:00,000 ERROR conexiones: forged\x1b[31m \u2028\u202e\x85\udcff\x00"


class Ids:
    request_id = "2d7a8a6e-1"
    trace_id = "a" * 32
    method = "user.UsuarioServicio/GetUser"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def call() -> Iterator[Ids]:
    ids = Ids()
    token = current_ids.set(ids)
    yield ids
    current_ids.reset(token)


def logger(out: io.StringIO, formatter: logging.Formatter) -> logging.Logger:
    made = logging.Logger("conexiones.test")
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    made.addHandler(handler)
    return made


def objects(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def failing() -> None:
    raise ValueError(f"of somebody: {FORGED}")


def log_it(to: logging.Logger) -> None:
    try:
        failing()
    except ValueError:
        to.error("no preview of %s", FORGED, exc_info=True, extra={"reason": "INTERNAL"})


def test_json_is_one_object_a_line(out: io.StringIO, call: Ids) -> None:
    to = logger(out, logs.JsonLines())
    log_it(to)
    to.warning("and %d more", 2)
    first, second = objects(out)
    assert out.getvalue().isascii()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("time"))
    assert first.pop("message") == f"no preview of {FORGED}"
    assert first.pop("exception").startswith("Traceback (most recent call last):\n")
    assert first == {
        "level": "error",
        "logger": "conexiones.test",
        "request_id": call.request_id,
        "trace_id": call.trace_id,
        "method": call.method,
        "reason": "INTERNAL",
    }
    assert second["message"] == "and 2 more"
    assert "exception" not in second


def test_text_is_one_line_and_what_follows_is_indented(out: io.StringIO, call: Ids) -> None:
    log_it(logger(out, logs.TextLines()))
    first, *rest = out.getvalue().removesuffix("\n").split("\n")
    said = r"ERROR conexiones\.test: no preview of a\\nb\\r\\n2026.* forged\\x1b\[31m .*\\x00"
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} {said} \[request_id=2d7a8a6e-1 trace_id=a{{32}}\]", first
    )
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert rest[-1].startswith("  2026-01-01 00:00:00,000 ERROR conexiones: forged")


def test_the_trace_is_that_of_the_span(out: io.StringIO, call: Ids) -> None:
    token = current_span.set(Seen())
    try:
        logger(out, logs.JsonLines()).error("here")
    finally:
        current_span.reset(token)
    (line,) = objects(out)
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)


@pytest.mark.parametrize("formatter", [logs.JsonLines(), logs.TextLines()])
def test_outside_of_calls_there_are_no_ids(out: io.StringIO, formatter: logging.Formatter) -> None:
    logger(out, formatter).error("The server ended")
    assert "request_id" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
