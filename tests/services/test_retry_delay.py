"""How long to wait before trying again, in the form of each protocol; and in errors within replies."""

import http.client
import json
import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from conexiones.gen.conexiones.v1.uploads_pb2 import CreateUploadRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.failures import detail
from tests.support.waiting import DEADLINE

CREATE = "/conexiones.v1.UploadService/CreateUpload"


def posted(server: Server, path: str, kind: str, body: bytes) -> tuple[dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.request("POST", path, body=body, headers={"content-type": kind})
        answer = connection.getresponse()
        return {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_a_refusal_says_when_to_try_again(start: Callable[..., Server]) -> None:
    server = start(max_open_uploads="1")
    with grpc.insecure_channel(server.address) as channel:
        uploads = UploadServiceStub(channel)
        uploads.CreateUpload(CreateUploadRequest(request_id="first"), timeout=DEADLINE)
        with pytest.raises(grpc.RpcError) as refused:
            uploads.CreateUpload(CreateUploadRequest(request_id="second"), timeout=DEADLINE)
    assert detail(refused.value, RetryInfo()).retry_delay.seconds == 30
    error: Any = refused.value
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "30000"
    request = {"requestId": str(uuid.uuid4())}
    headers, _ = posted(server, CREATE, "application/json", json.dumps(request).encode())
    assert (headers["retry-after"], headers["trailer-grpc-retry-pushback-ms"]) == ("30", "30000")
    message = CreateUploadRequest(request_id="web").SerializeToString()
    body = b"\x00" + len(message).to_bytes(4) + message
    headers, _ = posted(server, CREATE, "application/grpc-web+proto", body)
    assert headers["grpc-retry-pushback-ms"] == "30000"


def test_a_stream_says_so_at_its_end(start: Callable[..., Server]) -> None:
    server = start(idle_seconds="0.5")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.putrequest("POST", "/user.UsuarioServicio/ImageStreamReply")
        connection.putheader("content-type", "application/connect+json")
        connection.putheader("content-length", "10")
        connection.endheaders()  # and nothing of the body
        end = json.loads(connection.getresponse().read()[5:])
    assert end["metadata"]["grpc-retry-pushback-ms"] == ["0"]


def test_what_is_not_worth_a_retry_says_nothing(shared: Server) -> None:
    headers, _ = posted(shared, CREATE, "application/json", b"{}")
    assert not {"retry-after", "trailer-grpc-retry-pushback-ms"} & headers.keys()
