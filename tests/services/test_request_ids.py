"""The id of a request: in the headers of every response, in every error, and in the errors of clients."""

import base64
import http.client
import json
import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo

from conexiones import Client, errors
from conexiones.gen.conexiones.v1.images_pb2 import GetImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk.failures import from_told
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import detail
from tests.support.waiting import DEADLINE

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PATH = "/conexiones.v1.ImageService/GetImage"


def post(server: Server, path: str, body: bytes, **headers: str) -> tuple[int, str, bytes]:
    """Status, id and body of the response."""
    connection = http.client.HTTPConnection(server.address, timeout=DEADLINE)
    try:
        connection.request("POST" if body else "GET", path, body or None, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.headers["x-request-id"], reply.read()
    finally:
        connection.close()


def test_grpc(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        ImageServiceStub(channel).GetImage(GetImageRequest(id="none"), timeout=DEADLINE)
    error: Any = failed.value
    headers = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
    told = detail(error, RequestInfo()).request_id
    assert UUID.fullmatch(told)
    assert headers["x-request-id"] == told


def test_a_call_that_succeeds(stub: UsuarioServicioStub, somebody: str) -> None:
    _, call = stub.GetUser.with_call(GetUserRequest(name=somebody), timeout=DEADLINE)
    assert UUID.fullmatch(dict(call.initial_metadata())["x-request-id"])


def test_a_message_of_a_stream(stub: UsuarioServicioStub) -> None:
    call = stub.ImageStreamReply(iter([GetImage(image=b"none"), GetImage(image=b"none")]), timeout=DEADLINE)
    ids = {from_told(reply.error).request_id for reply in call}
    assert ids == {dict(call.initial_metadata())["x-request-id"]}


def test_connect(shared: Server) -> None:
    status, id, body = post(shared, PATH, b'{"id": "none"}', **{"content-type": "application/json"})
    details = {each["type"]: each["value"] for each in json.loads(body)["details"]}
    value = base64.b64decode(details["google.rpc.RequestInfo"] + "==")
    assert (status, RequestInfo.FromString(value).request_id) == (404, id)


def test_plain_http(shared: Server) -> None:
    for path in ("/images/none", "/nothing"):
        status, id, body = post(shared, path, b"")
        assert (status, json.loads(body)["requestId"]) == (404, id)


def test_no_client_chooses_its_own(shared: Server) -> None:
    for chosen in ("mine", "x" * 100, "1b4e28ba-2fa1-11d2-883f-0016d3cca427"):
        _, id, body = post(shared, "/images/none", b"", **{"x-request-id": chosen})
        assert UUID.fullmatch(id)
        assert id != chosen
        assert json.loads(body)["requestId"] == id


def test_a_proxy_that_is_trusted_does(sharing: Callable[..., Server]) -> None:
    server = sharing(trusted_proxies=1)
    for client in ("192.0.2.7", "10.0.0.1"):
        given = {"x-request-id": "from-the-proxy.7", "x-forwarded-for": client}
        _, id, body = post(server, "/images/none", b"", **given)
        assert id == json.loads(body)["requestId"] == "from-the-proxy.7"
    # What is no id that could be shown is replaced where it is shown.
    _, _, body = post(server, "/images/none", b"", **{"x-request-id": "a b" * 50})
    assert re.fullmatch("[0-9a-f]{32}", json.loads(body)["requestId"])


def test_answers_that_envoy_gives(shared: Server) -> None:
    _, id, _ = post(shared, "/images/%ff", b"")
    assert UUID.fullmatch(id)


def test_errors_of_the_client(shared: Server) -> None:
    with Client(shared.address) as client:
        with pytest.raises(errors.ImageNotFound) as missing:
            client.image("none")
        with pytest.raises(errors.ImageError) as refused:
            client.upload(b"no image at all")
        with pytest.raises(errors.ImageError) as long:  # by a stream, and refused in its reply
            client.upload(b"".join(bitmap(1000, 700))[:-1000], chunk_size=1 << 20)
    ids = [error.value.request_id for error in (missing, refused, long)]
    assert all(map(UUID.fullmatch, ids)), ids
    assert len(set(ids)) == 3
