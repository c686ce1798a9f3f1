"""What Envoy and pyvoy print, among the records of the log."""

import asyncio
import json
import logging
import os
import socket
import sys

import pytest

from conexiones import AsyncClient
from conexiones.testing import serve
from conexiones.transport.process import logs
from conexiones.transport.process.standard_error import LINE_BYTES, StandardError, log
from tests.support.bitmaps import bitmap
from tests.support.waiting import until

ENVOYS = "2026-01-31 12:00:00,000 warning envoy.main: a word of Envoy"
ENVOYS_JSON = '{"time": "2026-01-31T12:00:00.000000+0000", "level": "warning", "message": "a word of Envoy"}'

DEFECT = """Exception in ASGI application
Traceback (most recent call last):
  File "a.py", line 1, in a
ValueError: of somebody"""

BROKEN_OFF = """Exception in ASGI application
Traceback (most recent call last):
  File "front.py", line 1, in __call__
BrokenOff: """


async def handed_on(capfd: pytest.CaptureFixture[str], form: str, *pieces: str) -> list[str]:
    """The lines that come of what is written, piece by piece."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.JsonLines() if form == "json" else logs.TextLines())
    log.addHandler(handler)
    try:
        reader, theirs = await StandardError.open(form)
        for piece in pieces:
            await asyncio.to_thread(os.write, theirs, piece.encode())
        os.close(theirs)
        await reader.end()
    finally:
        log.removeHandler(handler)
    return capfd.readouterr().err.splitlines()


@pytest.mark.parametrize("cut", [3, 31, 90, 10_000])
async def test_lines_of_envoy_pass_and_an_exception_is_one_record(
    capfd: pytest.CaptureFixture[str], cut: int
) -> None:
    said = f"{ENVOYS}\n{DEFECT}\n{ENVOYS}\n{BROKEN_OFF}\n\n{ENVOYS}\nnot of the log"
    pieces = [said[start : start + cut] for start in range(0, len(said), cut)]
    lines = await handed_on(capfd, "text", *pieces)
    assert lines[1].endswith(" ERROR conexiones.stderr: Exception in ASGI application")
    told = [
        "  Traceback (most recent call last):",
        '    File "a.py", line 1, in a',
        "  ValueError: of somebody",
    ]
    assert lines == [ENVOYS, lines[1], *told, ENVOYS, ENVOYS, "not of the log"]


async def test_where_lines_are_json_every_line_is(capfd: pytest.CaptureFixture[str]) -> None:
    said = f"{ENVOYS_JSON}\n{BROKEN_OFF}\n{DEFECT}\n{ENVOYS_JSON}\n\nnot of the log\n"
    records = [json.loads(line) for line in await handed_on(capfd, "json", said)]
    assert [record["message"] for record in records] == [
        "a word of Envoy",
        "Exception in ASGI application",
        "a word of Envoy",
        "not of the log",
    ]
    assert records[1]["exception"].endswith("\nValueError: of somebody")


async def test_an_exception_that_another_line_interrupts_is_one_record(
    capfd: pytest.CaptureFixture[str],
) -> None:
    lines = BROKEN_OFF.splitlines()
    said = "\n".join([*lines[:2], ENVOYS, *lines[2:], ""])
    assert await handed_on(capfd, "text", said) == [ENVOYS]


async def test_a_line_without_an_end_is_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    lines = await handed_on(capfd, "text", *["x" * LINE_BYTES] * 2, "x" * 100)
    assert "".join(lines) == "x" * (2 * LINE_BYTES + 100)
    assert max(map(len, lines)) <= LINE_BYTES


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_client_that_does_not_read_an_image_leaves_nothing_in_the_log(form: str) -> None:
    with serve(stall_seconds=0.5, log_format=form, log_level="debug") as server:
        async with AsyncClient(server.address) as client:
            image = await client.upload(b"".join(bitmap(2600, 2600)))
        with socket.create_connection(("127.0.0.1", server.port)) as unread:
            unread.sendall(f"GET /images/{image.id} HTTP/1.1\r\nhost: {server.address}\r\n\r\n".encode())
            # Not of the upload, which goes on if this process was held up for half a second.
            await until(lambda: "/images: CLIENT_STALLED" in server.log)
            # Nobody waits for the rest of it.
            received = await asyncio.to_thread(lambda: sum(map(len, iter(lambda: unread.recv(1 << 20), b""))))
    assert received < image.size_bytes
    assert "Traceback" not in server.log
    assert "ASGI" not in server.log
