"""The lines of the access log, and standard output that nobody reads."""

import json
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.audit.file import AccessFile
from conexiones.adapters.audit.lines import LONGEST, access_line
from conexiones.adapters.system import line_file
from conexiones.domain.access.secrets import TOKEN, mint
from conexiones.ports.audit import AccessEntry
from tests.support.waiting import until

HOSTILE = 'x"}\n{"time": 1}\r\n\x00\x7f\u2028\u202e\ud800 =\\ ' + "y" * 10_000


def entry(**values: Any) -> AccessEntry:
    given: dict[str, Any] = {
        "time": 1_700_000_000_000_001,
        "method": "a.B/C",
        "path": "/a.B/C",
        "protocol": "grpc",
        "status": "OK",
        "reason": "",
        "bytes_in": 1,
        "bytes_out": 2,
        "seconds": 0.25,
        "peer": "[::1]:5",
        "subject": "",
        "credential": "",
        "request_id": "r",
        "trace_id": "",
    }
    return AccessEntry(**given | values)


def test_text() -> None:
    assert access_line(entry(subject="token:a b"), form="text") == (
        b"time=2023-11-14T22:13:20.000001Z method=a.B/C path=/a.B/C protocol=grpc status=OK bytes_in=1"
        b' bytes_out=2 seconds=0.25 peer=[::1]:5 subject="token:a b" request_id=r\n'
    )


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_value_makes_another_line_or_is_long(form: str) -> None:
    names = ("method", "path", "peer", "subject", "credential", "request_id")
    text = access_line(entry(**dict.fromkeys(names, HOSTILE)), form=form).decode("ascii")
    assert text.endswith("\n")
    assert text.removesuffix("\n").isprintable()
    assert len(text) < 40 * LONGEST
    if form == "json":
        assert json.loads(text)["path"].startswith('x"}\n{"time": 1}')
    else:
        assert [each.partition("=")[0] for each in shlex.split(text)].count("path") == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_looks_like_a_secret_is_hidden(form: str) -> None:
    secret = mint(TOKEN)
    text = access_line(entry(path=f"/images/{secret}?signature=abc", subject=secret), form=form)
    assert secret.encode() not in text
    assert b"signature=abc" not in text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/eyJhbGci.eyJzdWIi.c2ln/x", "/[secret]/x"),
        ("/eyJeyJeyJ/eyJhbGci.eyJzdWIi.", "/eyJeyJeyJ/[secret]"),
        ("/eyJhbGci.only-one-dot", "/eyJhbGci.only-one-dot"),
        ("/?signature=eyJ&a=b", "/?signature=[secret]&a=b"),
        ("/eyJ-cnx_0123456789abcdefghij", "/eyJ-[secret]"),
    ],
)
def test_tokens_of_others_are_hidden(path: str, shown: str) -> None:
    assert json.loads(access_line(entry(path=path), form="json"))["path"] == shown


async def test_a_full_pipe_holds_up_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipe stays one whose writers wait, as others expect. What waits is written when it is read."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)  # the log is written on this event loop, which must not wait for it
    monkeypatch.setattr(line_file, "_OUTPUT", writer)
    monkeypatch.setattr(line_file, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(line_file, "MAX_PENDING", 200_000)
    log = AccessFile(Path("-"), form="json")
    await log.open()
    count = 2_000
    for number in range(count):
        log.write(entry(seconds=number))
    await until(lambda: "cannot be written: Resource temporarily unavailable" in caplog.text)
    assert os.get_blocking(writer)
    found = b""

    def last() -> dict[str, Any]:
        nonlocal found
        with suppress(BlockingIOError):
            found += os.read(reader, 1 << 16)
        line: dict[str, Any] = json.loads(found.splitlines()[-1]) if found.endswith(b"\n") else {}
        return line

    await until(lambda: last().get("event") == "access.lost")
    await log.close()
    lines = [json.loads(line) for line in found.splitlines()]
    assert [line["seconds"] for line in lines[:-1]] == list(range(len(lines) - 1))
    assert lines[-1]["lines"] == count - len(lines) + 1
    assert "is written again" in caplog.text
    os.close(reader)
    os.close(writer)
