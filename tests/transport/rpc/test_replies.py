"""What a handler says beside its replies: headers before the first, trailers at the end, in each protocol."""

import json

import grpc
import pytest

from conexiones.gen.user_pb2 import GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.waiting import DEADLINE
from tests.transport.rpc.raw import DATA, END_STREAM, HEADERS, Answer, frame, head, http1, http2, request

GET_USER = "/user.UsuarioServicio/GetUser"
BIDI = "/user.UsuarioServicio/GetUserBidiStream"

HEAD = [("x-head", "a"), ("x-head", "b"), ("x-one-bin", b"\0\1\2")]
TAIL = [("x-tail", "c"), ("x-tail", "d"), ("x-two-bin", b"\3\4\5")]


def extra(metadata: object) -> list[tuple[str, object]]:
    """What the handler adds, of what grpcio gives."""
    return [
        (key, value)
        for key, value in metadata  # type: ignore[attr-defined]
        if key.startswith("x-") and key != "x-request-id"
    ]


def user(name: str) -> GetUserRequest:
    return GetUserRequest(name=name)


def enveloped(*names: str) -> bytes:
    messages = [user(name).SerializeToString() for name in names]
    return b"".join(b"\0" + len(message).to_bytes(4) + message for message in messages)


def envelopes(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        size = int.from_bytes(body[1:5])
        found.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def asked(served: Server, path: str, content_type: str, body: bytes) -> Answer:
    headers = [("content-type", content_type), ("connection", "close")]
    return http1(served.port, request(path, headers, body))


def test_grpc(served: Server) -> None:
    with grpc.insecure_channel(served.address) as channel:
        reply, call = UsuarioServicioStub(channel).GetUser.with_call(user("Ana"), timeout=DEADLINE)
        assert reply == GetUserReply(message="Ana")
        assert (extra(call.initial_metadata()), extra(call.trailing_metadata())) == (HEAD, TAIL)


def test_grpc_that_fails_has_headers_before_trailers(served: Server) -> None:
    with grpc.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            UsuarioServicioStub(channel).GetUser(user("fail"), timeout=DEADLINE)
        assert isinstance(caught.value, grpc.Call)
        assert extra(caught.value.initial_metadata()) == HEAD
        assert extra(caught.value.trailing_metadata()) == TAIL
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("body", "blocks"), [(b"", 1), (enveloped("fail"), 2)])
def test_grpc_that_fails_has_one_block_unless_its_handler_adds_headers(
    served: Server, body: bytes, blocks: int
) -> None:
    """Retry policies of clients act only where headers and trailers are one block (Trailers-Only)."""
    begin = head(GET_USER, [("content-type", "application/grpc"), ("te", "trailers")])
    answer = http2(served.port, begin, frame(DATA, END_STREAM, body))
    assert (answer.frames.count(HEADERS), answer.body, answer.ended) == (blocks, b"", True)


@pytest.mark.parametrize("fails", [False, True])
def test_grpc_streams(served: Server, fails: bool) -> None:
    names = ["Ana", "fail"] if fails else ["Ana"]
    with grpc.insecure_channel(served.address) as channel:
        call = UsuarioServicioStub(channel).GetUserBidiStream(map(user, names), timeout=DEADLINE)
        assert extra(call.initial_metadata()) == HEAD
        assert next(call).name == "Ana"
        if fails:
            with pytest.raises(grpc.RpcError):
                next(call)
        else:
            assert list(call) == []
        assert extra(call.trailing_metadata()) == TAIL


@pytest.mark.parametrize("path", [GET_USER, BIDI])
def test_grpc_web(served: Server, path: str) -> None:
    answer = asked(served, path, "application/grpc-web+proto", enveloped("Ana"))
    assert (answer.all("x-head"), answer.all("x-one-bin")) == (["a", "b"], ["AAEC"])
    (flags, _), (end, trailers) = envelopes(answer.body)
    assert (flags, end) == (0, 0x80)
    found = [tuple(line.split(":", 1)) for line in trailers.decode().split("\r\n") if line]
    assert found == [("grpc-status", "0"), ("x-tail", "c"), ("x-tail", "d"), ("x-two-bin", "AwQF")]


@pytest.mark.parametrize(("name", "status"), [("Ana", 200), ("fail", 400)])
def test_connect(served: Server, name: str, status: int) -> None:
    answer = asked(served, GET_USER, "application/json", json.dumps({"name": name}).encode())
    assert answer.status == status
    assert (answer.all("x-head"), answer.all("x-one-bin")) == (["a", "b"], ["AAEC"])
    assert (answer.all("trailer-x-tail"), answer.all("trailer-x-two-bin")) == (["c", "d"], ["AwQF"])


@pytest.mark.parametrize("names", [["Ana"], ["Ana", "fail"], ["fail"], []])
def test_connect_streams(served: Server, names: list[str]) -> None:
    answer = asked(served, BIDI, "application/connect+proto", enveloped(*names))
    assert (answer.all("x-head"), answer.all("x-one-bin")) == (["a", "b"], ["AAEC"])
    *replies, (flags, end) = envelopes(answer.body)
    assert [flags for flags, _ in replies] == [0] * names.count("Ana")
    assert flags == 2
    assert json.loads(end)["metadata"] == {"x-tail": ["c", "d"], "x-two-bin": ["AwQF"]}
    assert ("error" in json.loads(end)) == ("fail" in names)
