"""What a real server says to anything sent over HTTP/1.1: paths, queries, conditions, ranges, and what is no
HTTP.

An input is what is sent, with NO_IMAGE in the place of the image's id.
"""

import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.fuzz.served import NO_IMAGE, Served, served
from tests.fuzz.target import Check, Complaint, Target

SILENCE = 0.1
"""Seconds after which an answer that has not begun is taken for none: the server waits for the rest of a
request."""

ANSWER = 10.0
"""Seconds within which a whole request has to be answered."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ")
_WHOLE = re.compile(rb"(?s)(?:GET|HEAD|OPTIONS) \S+ HTTP/1\.1\r\n(?:[a-z-]+: [ -~]*\r\n)*\r\n")

RENDERED = (b"width=", b"height=", b"format=", b"quality=", b"fit=", b"animated=", b"profile=")


class Sender:
    def __init__(self, served: Served) -> None:
        self._served = served

    def __call__(self, data: bytes) -> None:
        sent = self._served.real(data)
        whole = _WHOLE.fullmatch(sent) and b"content-length" not in sent and b"expect" not in sent
        with socket.create_connection(("127.0.0.1", self._served.server.port), timeout=SILENCE) as connection:
            answer = b""
            with suppress(TimeoutError, ConnectionError):
                connection.sendall(sent)
                connection.settimeout(ANSWER if whole else SILENCE)
                answer = connection.recv(65_536)
                # Nobody reads the rest of an answer: the server has to bear that, too.
        if whole and not answer:
            raise Complaint("no-answer", repr(sent[:2000]))
        if answer:
            status = _STATUS.match(answer)
            if not status or status[1] == b"500":
                raise Complaint("answer", repr(answer[:2000]))
        self._served.check()


def _request(path: str, *lines: str, verb: str = "GET") -> bytes:
    return "\r\n".join([f"{verb} {path} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]).encode()


def seeds() -> Sequence[bytes]:
    image = f"/images/{NO_IMAGE.decode()}"
    tag = '"0123456789abcdef"'
    call, json = "/user.UsuarioServicio/GetUser", "content-type: application/json"
    found = [
        _request(image + query)
        for query in (
            "",
            "?width=64",
            "?width=32&height=32&fit=cover&format=webp&quality=50",
            "?height=8&fit=contain&format=png&width=9",
            "?format=jpeg&profile=keep",
            "?download=1",
            "?animated=1&format=auto",
            "?width=0&width=1",
            "?%77idth=7&=&&",
        )
    ]
    found += [
        _request(image, line)
        for line in (
            "range: bytes=0-9",
            "range: bytes=-5",
            "range: bytes=5-",
            "range: bytes=0-1,5-9",
            f"if-none-match: W/{tag}, *",
            f"if-range: {tag}",
            "accept: image/avif,image/webp;q=0.9,*/*;q=0.8",
            "accept-encoding: br;q=1.0, gzip",
            "connection: upgrade",
        )
    ]
    found += [
        _request("/", "accept-encoding: gzip, br"),
        _request("/page/none.js"),
        _request("/images/../etc/passwd"),
        _request(image, verb="HEAD"),
        _request(image, "origin: http://example.org", verb="OPTIONS"),
        _request(call, json, "content-length: 2", verb="POST") + b"{}",
        _request(call, json, "transfer-encoding: chunked", verb="POST") + b"2\r\n{}\r\n0\r\n\r\n",
        _request(image) + _request(image, "range: bytes=1-1"),
    ]
    return found


@contextmanager
def opened() -> Iterator[Check]:
    with served() as one:
        yield Sender(one)


TARGET = Target(
    name="http",
    seeds=seeds,
    opened=opened,
    seconds=5.0,
    clock=time.perf_counter,
    guided=False,
    words=(
        *(b"&" + word + b"1" for word in RENDERED),
        b"\r\n",
        b"\r\n\r\n",
        b"%00",
        b"%2e%2e/",
        b"range: bytes=",
        b"if-none-match: ",
        b"accept: ",
        b"content-length: 99\r\n",
        b"transfer-encoding: chunked\r\n",
        b"expect: 100-continue\r\n",
        NO_IMAGE,
        b" HTTP/1.0",
    ),
)
