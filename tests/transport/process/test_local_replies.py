"""Answers that Envoy gives by itself have the form and the reason of ours."""

import json
import socket

import pytest

from conexiones.errors import ConexionesError, MalformedRequest, ServerBusy, UnknownMethod
from conexiones.testing import Server
from conexiones.transport.process.local_replies import replies
from tests.support.clients import Headers, Response
from tests.support.waiting import DEADLINE
from tests.support.wires import WIRES, Fault, Wire


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_path_that_is_not_ascii(shared: Server, wire: Wire) -> None:
    fault = Fault(name="path", wire=wire, path="/%ff", error=UnknownMethod(), http=404)
    outcome = fault.outcome(fault.send(shared.address))
    assert outcome.reason == "UNKNOWN_METHOD"
    assert outcome.message == UnknownMethod().message


def test_base64_that_is_none(shared: Server) -> None:
    (wire,) = (wire for wire in WIRES if wire.text)
    kind: Headers = {"content-type": wire.content_type, "accept": wire.content_type}
    response = wire.send(shared.address, wire.path, b"AAAA!!!!", kind)
    outcome = Fault(name="base64", wire=wire).outcome(response)
    assert outcome.reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 426),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x-a: b\r\n" * 120 + b"\r\n", 431),
    ],
)
def test_what_is_no_request(shared: Server, sent: bytes, status: int) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=DEADLINE) as connection:
        connection.sendall(sent)
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    told = json.loads(body)
    assert (told["status"], told["reason"]) == (status, "MALFORMED_REQUEST")


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_client_with_too_many_calls_hears_so_in_its_own_form(wire: Wire) -> None:
    reply = next(one for one in replies(ServerBusy(limit=3)) if wire.content_type.startswith(one.kind))
    fault = Fault(name="busy", wire=wire)
    assert fault.outcome(Response(reply.status, reply.headers, reply.body)).reason == "SERVER_BUSY"


@pytest.mark.parametrize("error", [MalformedRequest(), ServerBusy(limit=3)])
def test_every_reply_is_text(error: ConexionesError) -> None:
    """Envoy's configuration is JSON."""
    for reply in replies(error):
        reply.body.decode()
        assert all(value.isascii() for value in reply.headers.values())
