"""Requests that no client of ours would send: each is refused by its own error, and costs nobody else."""

import base64
import gzip
import json
from urllib.parse import unquote

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.waiting import DEADLINE, until
from tests.transport.rpc import raw
from tests.transport.rpc.raw import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    Answer,
    frame,
    head,
    http1,
    http2,
    request,
)

GET_USER, PROCESS_IMAGE = "/user.UsuarioServicio/GetUser", "/user.UsuarioServicio/ProcessImage"
GET_STREAM_IMAGE = "/user.UsuarioServicio/GetStreamImage"
BIDI = "/user.UsuarioServicio/GetUserBidiStream"

CLOSE = ("connection", "close")
JSON, PROTO = ("content-type", "application/json"), ("content-type", "application/proto")
STREAM = ("content-type", "application/connect+proto")
WEB = ("content-type", "application/grpc-web+proto")
GRPC, TE = ("content-type", "application/grpc"), ("te", "trailers")
GZIP = ("grpc-encoding", "gzip")

ANA = GetUserRequest(name="Ana").SerializeToString()
ANA_JSON = b'{"name": "Ana"}'
MALFORMED, NOT_KNOWN = "MALFORMED_REQUEST", "UNKNOWN_PROTOCOL"


def enveloped(*messages: bytes, flags: int = 0) -> bytes:
    return b"".join(bytes((flags,)) + len(message).to_bytes(4) + message for message in messages)


def reason(answer: Answer) -> str:
    """The reason of the error in an answer, of whatever protocol; "" if there is none."""
    if "grpc-status" in answer.headers:
        if answer.headers["grpc-status"] == "0":
            return ""
        text = answer.headers["grpc-status-details-bin"]
        details = [detail.value for detail in Status.FromString(_decoded(text)).details]
        assert unquote(answer.headers["grpc-message"])
    else:
        body = answer.body
        if answer.headers.get("content-type", "").startswith("application/connect+"):
            while body[0] != 2:
                body = body[5 + int.from_bytes(body[1:5]) :]
            found = json.loads(body[5:]).get("error")
        else:
            found = json.loads(body) if answer.status != 200 else None
        if found is None:
            return ""
        if answer.headers["content-type"] == "application/problem+json":
            return str(found["reason"])
        details = [_decoded(detail["value"]) for detail in found["details"]]
    return str(ErrorInfo.FromString(details[0]).reason)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture(autouse=True)
def sound(served: Server):
    """Nothing here is the server's fault, and it serves others all the while."""
    yield
    answer = http1(served.port, request(GET_USER, [JSON, CLOSE], ANA_JSON))
    assert (answer.status, json.loads(answer.body)) == (200, {"message": "Ana"})
    assert "Traceback" not in served.log


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([JSON, ("connect-timeout-ms", "0")], ANA_JSON, (504, "DEADLINE_EXCEEDED")),
        ([JSON, ("connect-timeout-ms", "9999999999")], ANA_JSON, (200, "")),
        ([JSON, ("connect-timeout-ms", "")], ANA_JSON, (400, MALFORMED)),
        ([JSON, ("connect-timeout-ms", "1e3")], ANA_JSON, (400, MALFORMED)),
        ([JSON, ("connect-timeout-ms", "5"), ("connect-timeout-ms", "x")], ANA_JSON, (400, MALFORMED)),
        ([JSON, ("connect-protocol-version", "2")], ANA_JSON, (400, MALFORMED)),
        ([JSON, ("content-type", "text/plain")], ANA_JSON, (415, NOT_KNOWN)),
        ([("content-type", "text/plain"), JSON], ANA_JSON, (415, NOT_KNOWN)),
        ([("content-type", "application/connect+xml")], ANA_JSON, (200, NOT_KNOWN)),
        ([("content-type", "application/connect+\xff")], ANA_JSON, (200, NOT_KNOWN)),
        ([("content-type", "application/grpc+xml")], enveloped(ANA), (200, NOT_KNOWN)),
        ([JSON], b"", (400, "MALFORMED_MESSAGE")),
        ([JSON], b'"name"', (400, "MALFORMED_MESSAGE")),
        ([JSON], b"[]", (400, "MALFORMED_MESSAGE")),
        ([JSON], b"[" * 99_000, (400, "MALFORMED_MESSAGE")),
        ([JSON], b'{"a":' * 49_000 + b"1" + b"}" * 49_000, (400, "MALFORMED_MESSAGE")),
        ([JSON], b'{"name": "Ana", "pow": ' + b"9" * 5000 + b"}", (400, "MALFORMED_MESSAGE")),
        ([JSON], b'{"name": "\\ud800"}', (400, "MALFORMED_MESSAGE")),
        ([JSON], b" \r\n\t" + ANA_JSON + b"\n", (200, "")),
        ([JSON, ("content-encoding", "gzip")], gzip.compress(ANA_JSON, mtime=0) * 2, (400, MALFORMED)),
        (
            [JSON, ("content-encoding", "GZIP")],
            gzip.compress(ANA_JSON, mtime=0),
            (501, "UNKNOWN_COMPRESSION"),
        ),
        ([WEB, ("grpc-timeout", "99999999H")], enveloped(ANA), (200, "")),
        ([WEB, ("grpc-timeout", "0S")], enveloped(ANA), (200, "DEADLINE_EXCEEDED")),
        ([WEB, ("grpc-timeout", "1s")], enveloped(ANA), (200, MALFORMED)),
        ([WEB, ("grpc-timeout", "123456789S")], enveloped(ANA), (200, MALFORMED)),
        ([WEB, GZIP], enveloped(ANA), (200, "")),
        ([WEB, GZIP], enveloped(b"", flags=1), (200, "")),
        ([WEB, GZIP], enveloped(gzip.compress(ANA, mtime=0) * 2, flags=1), (200, MALFORMED)),
        ([WEB], enveloped(ANA) + enveloped(b"grpc-status: 0\r\n", flags=0x80), (200, MALFORMED)),
        ([WEB], enveloped(ANA, ANA), (200, "NOT_ONE_MESSAGE")),
    ],
)
def test_what_is_wrong_is_said(
    served: Server, headers: raw.Pairs, body: bytes, expected: tuple[int, str]
) -> None:
    answer = http1(served.port, request(GET_USER, [*headers, CLOSE], body))
    assert (answer.status, reason(answer)) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("0" * 5000 + "15", (200, "")),
        ("5", (400, "MALFORMED_MESSAGE")),
        (str(2**20 + 1), (429, "MESSAGE_TOO_LARGE")),
        (str(2**63), (429, "MESSAGE_TOO_LARGE")),
    ],
)
def test_a_length_that_is_odd(served: Server, length: str, expected: tuple[int, str]) -> None:
    answer = http1(served.port, request(GET_USER, [JSON, CLOSE], ANA_JSON, length=length))
    assert (answer.status, reason(answer)) == expected


@pytest.mark.parametrize("length", ["-5", "9" * 30, "15, 15", "x"])
def test_a_length_that_is_none(served: Server, length: str) -> None:
    assert http1(served.port, request(GET_USER, [JSON, CLOSE], ANA_JSON, length=length)).status == 400


@pytest.mark.parametrize("length", ["2", "200"])
def test_a_length_that_the_frames_do_not_have(served: Server, length: str) -> None:
    begin = head(GET_USER, [PROTO, ("content-length", length)])
    assert http2(served.port, begin, frame(raw.DATA, END_STREAM, ANA)).reset == 1  # PROTOCOL_ERROR


def test_trailers_of_a_client_mean_nothing(served: Server) -> None:
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, raw.block([("x-a", "b"), ("grpc-status", "5")]))
    got = http2(served.port, head(GET_USER, [GRPC, TE]), frame(raw.DATA, 0, enveloped(ANA)), trailers)
    assert (got.ended, got.frames) == (True, [HEADERS, raw.DATA, HEADERS])
    chunks = b"f\r\n" + ANA_JSON + b"\r\n0\r\nx-a: b\r\n\r\n"
    chunked = [JSON, CLOSE, ("transfer-encoding", "chunked"), ("trailer", "x-a")]
    assert http1(served.port, request(GET_USER, chunked, length=None) + chunks).status == 200


def test_headers_alone_are_no_message(served: Server) -> None:
    got = http2(served.port, head(GET_USER, [GRPC, TE], flags=END_HEADERS | END_STREAM))
    assert (got.ended, got.frames) == (True, [HEADERS])


@pytest.mark.parametrize("path", [GET_USER, BIDI, "/nowhere", "/images/x"])
@pytest.mark.parametrize("content_type", [JSON, STREAM, GRPC])
def test_nothing_follows_the_headers_for_head(
    served: Server, path: str, content_type: tuple[str, str]
) -> None:
    """A body would be taken for the next answer on the same connection."""
    next_one = request(GET_USER, [JSON, CLOSE], ANA_JSON)
    answer = http1(served.port, request(path, [content_type], verb="HEAD") + next_one)
    assert answer.status in {200, 404, 405}
    assert answer.rest.startswith(b"HTTP/1.1 200 OK\r\n")
    got = http2(served.port, head(path, [content_type], verb="HEAD", flags=END_HEADERS | END_STREAM))
    assert (got.ended, got.body) == (True, b"")


@pytest.mark.parametrize("verb", ["GET", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_verbs_are_refused(served: Server, verb: str) -> None:
    answer = http1(served.port, request(GET_USER, [JSON, CLOSE], ANA_JSON, verb=verb))
    assert (answer.status, answer.headers["allow"], reason(answer)) == (405, "POST", NOT_KNOWN)


@pytest.mark.parametrize("path", ["/images/x", "/images/..%2f", "/%69mages/x", "/images/%00?%ff"])
def test_a_body_where_none_is_asked_for_is_not_read(served: Server, path: str) -> None:
    assert http1(served.port, request(path, [CLOSE], b"x" * 1000, verb="GET")).body == b"here"
    endless = request(path, [CLOSE, ("transfer-encoding", "chunked")], verb="GET", length=None)
    assert http1(served.port, endless + b"5\r\nabcde\r\n").body == b"here"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{GET_USER}", 404),
        (f"{GET_USER}/", 404),
        (f"{GET_USER}?name=Luis", 200),
        (GET_USER.replace("Get", "%47et"), 200),
        ("/user.UsuarioServicio/%2e%2e/GetUser", 404),
    ],
)
def test_paths_lead_where_they_say(served: Server, path: str, status: int) -> None:
    assert http1(served.port, request(path, [JSON, CLOSE], ANA_JSON)).status == status


@pytest.mark.parametrize(
    "body", [enveloped(ANA) + enveloped(b"{}", flags=2), enveloped(b"{}", flags=2), enveloped(ANA, flags=4)]
)
def test_the_end_of_a_stream_is_the_server_s_to_say(served: Server, body: bytes) -> None:
    answer = http1(served.port, request(BIDI, [STREAM, CLOSE], body))
    assert (answer.status, reason(answer)) == (200, MALFORMED)


def test_text_that_is_no_base64_is_refused(served: Server) -> None:
    text = base64.b64encode(enveloped(ANA))
    web = [("content-type", "application/grpc-web-text"), CLOSE]
    answer = http1(served.port, request(GET_USER, web, text[:8] + b"!!!!" + text[8:]))
    assert (answer.status, reason(answer)) == (200, MALFORMED)  # by Envoy


def test_a_body_in_pieces_of_one_byte(served: Server) -> None:
    image = bytes(200_000)
    message = GetUserRequest(image=image).SerializeToString()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in message) + b"0\r\n\r\n"
    chunked = ("transfer-encoding", "chunked")
    answer = http1(served.port, request(PROCESS_IMAGE, [PROTO, CLOSE, chunked], length=None) + chunks)
    assert GetUserReply.FromString(answer.body).message == str(len(image))


def test_who_holds_memory_may_not_stand_still(served: Server) -> None:
    """A few bytes that are compressed may become a message as long as the limit, and take its memory: all of
    the budget here. So even a short one may not be waited for without end."""
    short = 60_000
    stalled = {
        "Connect": request(GET_USER, [JSON, ("content-encoding", "gzip")], b"\x1f", length=str(short)),
        "gRPC-Web": request(
            GET_USER, [WEB, GZIP], b"\x01" + short.to_bytes(4) + b"\x1f", length=str(short + 5)
        ),
    }
    large = GetUserRequest(image=bytes(2**20 - 100))
    for name, sent in stalled.items():
        with raw.connected(served.port) as connection, grpc.insecure_channel(served.address) as channel:
            connection.sendall(sent)
            stub = UsuarioServicioStub(channel)
            assert stub.ProcessImage(large, timeout=DEADLINE).message == str(2**20 - 100)
            answer = b""
            while not (b"deadline_exceeded" in answer or b"grpc-status: 4" in answer):
                piece = connection.recv(65536)
                assert piece, (name, answer)
                answer += piece


def test_who_does_not_end_a_request_may_not_keep_it_in_memory(served: Server) -> None:
    """The message is there as a whole, and the client neither goes on nor says that there is no more."""
    body = enveloped(GetUserRequest(image=bytes(100_000)).SerializeToString())
    pieces = [frame(raw.DATA, 0, body[at : at + 16_000]) for at in range(0, len(body), 16_000)]
    got = http2(served.port, head(PROCESS_IMAGE, [GRPC, TE]), *pieces)
    assert (got.ended, got.frames) == (True, [HEADERS]), "Trailers-Only, as errors are"


@pytest.mark.parametrize(
    "path", ["/images/%ff", "/%80", "/user.UsuarioServicio/GetUser%C3%B1", "/images/%e2%82"]
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_path_that_is_not_ascii_is_refused(served: Server, path: str, verb: str) -> None:
    """By Envoy: what stands behind it fails at paths that are not UTF-8, without an answer."""
    answer = http1(served.port, request(path, [("connection", "close")], verb=verb))
    assert answer.status == 404


async def _forgiven(server: Server, last: str) -> None:
    """Waits for a traceback in the log, up to its last line, and takes it out of what must not be there."""
    await until(lambda: last in server.log)
    assert server.log.count("Traceback (most recent call last)") in (1, 2), "a cause and its error at most"
    server.log = ""


async def test_a_reply_that_cannot_be_encoded_ends_its_call(served: Server) -> None:
    with grpc.insecure_channel(served.address) as channel:
        replies = UsuarioServicioStub(channel).GetUserBidiStream(
            iter([GetUserRequest(name="Ana"), GetUserRequest(name="no reply")]), timeout=DEADLINE
        )
        assert next(replies).name == "Ana"
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
    await _forgiven(served, "AttributeError: 'str' object has no attribute 'SerializeToString'")


async def test_an_exit_within_a_stream_costs_one_call(served: Server) -> None:
    with grpc.insecure_channel(served.address) as channel:
        requests = [GetImage(image=b"fine"), GetImage(image=b"exit"), GetImage(image=b"late")]
        replies = UsuarioServicioStub(channel).ImageStreamReply(iter(requests), timeout=DEADLINE)
        assert next(replies).message == "4"
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
    await _forgiven(served, "conexiones.errors.serving.Internal: The server failed")
