"""The same calls through every protocol get the same answers and the same errors."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import grpc
import pytest

from conexiones import errors
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.services.details import details
from conexiones.testing import Server, serve
from tests.support.calls import (
    GET_STREAM_IMAGE,
    GET_USER,
    PROCESS_IMAGE,
    SETTINGS,
    Bad,
    Good,
    bad,
    good,
    image,
    png,
    user,
)
from tests.support.clients import CLIENTS, Call, Outcome, Response, connect_answer, curl, readable
from tests.support.processes import envoy, peak
from tests.support.waiting import DEADLINE
from tests.support.wires import WIRES, Fault, faults

Start = Callable[..., Server]

BUSY = errors.ServerBusy(limit=1)
STALLED = errors.ClientStalled(limit=1)
DEFAULT_MAX_MESSAGE = 64 * 2**20
DEFAULT_TOO_LARGE = errors.MessageTooLarge(limit=DEFAULT_MAX_MESSAGE, streaming_method=GET_STREAM_IMAGE)


def refusal(error: errors.ConexionesError) -> Outcome:
    """The error as every client must see it."""
    return Outcome(code=error.code, message=error.message, details=readable(details(error)))


def wrong() -> list[errors.ConexionesError]:
    """The errors of all bad calls and of all requests that break a protocol."""
    return [*(call.error for call in bad()), *(fault.error for fault in faults())]


def provoked() -> set[str]:
    """The reasons that the calls here bring about."""
    found = {error.reason for error in (BUSY, STALLED, *wrong())}
    for reply in (reply for call in good() for reply in call.replies):
        found |= {error["reason"] for error in (reply.get("error", {}), *reply.get("errors", ())) if error}
    return found


def includes(found: Any, expected: Any) -> bool:
    """Whether all that is expected was found; there may be more."""
    if isinstance(expected, dict):
        return all(includes(found.get(name), value) for name, value in expected.items())
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(includes, found, expected))
    return bool(found == expected)


def report(rows: Iterable[tuple[object, Outcome, Outcome]]) -> str:
    """One line for each row whose outcome is not as expected."""
    return "\n".join(
        f"{what}: {shown(outcome)} instead of {shown(expected)}"
        for what, outcome, expected in rows
        if outcome != expected
    )


def shown(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.reason} {outcome.message!r} {outcome.details} {outcome.replies}"


@pytest.fixture(scope="module")
def limited() -> Iterator[Server]:
    """A server with limits that small messages reach."""
    with serve(**SETTINGS) as server:
        yield server


def test_good_calls(limited: Server) -> None:
    calls: list[Good] = good()
    answers = {name: client(limited.address, calls) for name, client in CLIENTS.items()}
    first = answers.pop("grpcio")
    for call, outcome in zip(calls, first, strict=True):
        assert outcome.code == 0, f"{call}: {shown(outcome)}"
        assert includes(outcome.replies, call.replies), f"{call}: {outcome.replies}"
    differences = report(
        (f"{call} by {name}", outcome, expected)
        for name, outcomes in answers.items()
        for call, outcome, expected in zip(calls, outcomes, first, strict=True)
    )
    assert not differences, differences


def test_bad_calls(limited: Server) -> None:
    calls: list[Bad] = bad()
    differences = report(
        (
            f"{call} by {name}",
            outcome,
            refusal(call.json_error if call.json_error and "JSON" in name else call.error),
        )
        for name, client in CLIENTS.items()
        for call, outcome in zip(calls, client(limited.address, calls), strict=True)
    )
    assert not differences, differences
    assert "Traceback" not in limited.log  # no refusal is logged as the server's own fault


def test_requests_that_break_the_protocol(limited: Server) -> None:
    differences = [
        found for fault in faults() if (found := _fault_differs(fault, fault.send(limited.address)))
    ]
    assert not differences, "\n".join(differences)
    assert "Traceback" not in limited.log


def _fault_differs(fault: Fault, response: Response) -> str:
    try:
        difference = report([(fault, fault.outcome(response), refusal(fault.error))])
    except AssertionError as error:
        return f"{fault}: {error}; {response}"
    if not fault.wire.framed and response.status != fault.http:
        return f"{fault}: HTTP {response.status} instead of {fault.http}"
    return difference


def test_content_types_that_no_protocol_has(shared: Server) -> None:
    """They must be refused: some of them a web page may send to any server without a CORS preflight."""
    for content_type in (
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "text/plain; application/json",
    ):
        response = curl(shared.address, GET_USER, b'{"name": "Ana"}', {"content-type": content_type})
        assert response.status == 415, content_type
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.body)["reason"] == "UNKNOWN_PROTOCOL"


def test_content_types_of_other_methods(shared: Server) -> None:
    """In Connect, streams have other content types than unary calls."""
    for content_type in ("application/json", "application/proto"):
        response = curl(shared.address, GET_STREAM_IMAGE, b"{}", {"content-type": content_type})
        assert response.status == 415, content_type
        outcome = connect_answer(response, Call(name="", path=GET_STREAM_IMAGE, messages=()), "json")
        assert outcome == refusal(errors.UnknownProtocol()), content_type


def test_the_default_limit_to_the_byte(shared: Server) -> None:
    room = DEFAULT_MAX_MESSAGE - len(user(image=b"\0" * 2**25)) + 2**25 - len(png(1, 1))
    fits = user(image=png(1, 1, padding=room))
    over = user(image=png(1, 1, padding=room + 1))
    assert (len(fits), len(over)) == (DEFAULT_MAX_MESSAGE, DEFAULT_MAX_MESSAGE + 1)
    calls = [Call(name="", path=PROCESS_IMAGE, messages=(message,)) for message in (fits, over)]
    for name in ("grpcio", "gRPC-Web binary", "Connect protobuf"):  # a client of each protocol
        first, second = CLIENTS[name](shared.address, calls)
        assert (first.code, second) == (0, refusal(DEFAULT_TOO_LARGE)), name
        assert first.replies[0]["imageInfo"]["sizeBytes"] == str(room + len(png(1, 1))), name


def test_gzip_is_understood_in_every_protocol(shared: Server) -> None:
    for wire in WIRES:
        content = image(png(2, 3)) if wire.path == GET_STREAM_IMAGE else user("Ana")
        call = Call(name="", path=wire.path, messages=(content,))
        [message] = call.as_json() if "JSON" in wire.name else call.messages
        body = wire.body(gzip.compress(message), flags=1)
        fault = Fault(name="", wire=wire, headers={wire.encoding: "gzip"}, body=body)
        outcome = fault.outcome(fault.send(shared.address))
        assert outcome.code == 0, f"{wire.name}: {shown(outcome)}"


def test_a_gzip_bomb_costs_no_more_than_the_largest_message(server: Server) -> None:
    before = peak(envoy(server.pid))
    # 4 GiB of zeros as 4 MB of gzip, by repeating one deflate block.
    deflate = zlib.compressobj(9, wbits=-15)
    block = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 4096
    for wire in WIRES:
        fault = Fault(name="bomb", wire=wire, headers={wire.encoding: "gzip"}, body=wire.body(bomb, flags=1))
        assert fault.outcome(fault.send(server.address)) == refusal(DEFAULT_TOO_LARGE), wire.name
    # There may be the pieces of a message, their sum, and what is left of the client before.
    assert peak(envoy(server.pid)) - before < 4 * DEFAULT_MAX_MESSAGE


def test_what_gzip_hides_counts_towards_the_message_budget(start: Start) -> None:
    server = start(max_message_bytes="16MiB", message_budget="64MiB", wait_seconds=DEADLINE)
    before = peak(envoy(server.pid))
    wire = next(wire for wire in WIRES if wire.name == "Connect protobuf")
    body = gzip.compress(user(image=png(1, 1, padding=15 * 2**20)))
    fault = Fault(name="", wire=wire, path=PROCESS_IMAGE, headers={wire.encoding: "gzip"}, body=body)
    with ThreadPoolExecutor(40) as pool:
        responses = list(pool.map(fault.send, [server.address] * 40))
    assert [response.status for response in responses] == [200] * 40
    assert peak(envoy(server.pid)) - before < 4 * 64 * 2**20


def test_a_busy_server(start: Start) -> None:
    server = start(max_calls="1", wait_seconds="0.1")
    calls = [
        Call(name="unary", path=GET_USER, messages=(user("Ana"),)),
        Call(name="stream", path=GET_STREAM_IMAGE, messages=(b"",)),
    ]
    with grpc.insecure_channel(server.address) as channel:
        # It lasts as long as all clients together, some of which are programs of their own.
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), timeout=len(CLIENTS) * DEADLINE)
        next(watch)
        differences = report(
            (f"{call.name} by {name}", outcome, refusal(BUSY))
            for name, client in CLIENTS.items()
            for call, outcome in zip(calls, client(server.address, calls), strict=True)
        )
        watch.cancel()
    assert not differences, differences


def test_a_client_that_stops_in_the_middle_of_a_message(start: Start) -> None:
    server = start(stall_seconds="1")
    stalled = []
    for wire in (wire for wire in WIRES if wire.send is curl and not wire.text):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        head = f"POST {wire.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {wire.content_type}\r\n"
        body = wire.body(bytes(300_000))
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:1000])
        stalled.append((wire, connection))
    for wire, connection in stalled:
        with connection, HTTPResponse(connection, method="POST") as got:
            got.begin()
            headers = {key.lower(): value for key, value in got.getheaders()}
            response = Response(got.status, headers, got.read())
        assert Fault(name="", wire=wire).outcome(response) == refusal(STALLED), wire.name
