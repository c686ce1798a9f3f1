"""The rates of callers, on a server: refusals in each protocol, and long streams that keep to them."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from conexiones.gen.conexiones.v1.access_pb2 import Quota
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from conexiones.transport.chain.pace import BURST_SECONDS
from tests.services.test_access import Callers
from tests.support.bitmaps import bitmap
from tests.support.failures import detail, reason
from tests.support.waiting import DEADLINE

RATE = 256 << 10
PIECE = 64 << 10
WINDOW = 1 << 20
"""The most that may have come with one piece."""

IMAGE = b"".join(bitmap(900, 900))
"""2.4 MB: more than the burst of RATE."""


@pytest.fixture
def callers(sharing: Callable[..., Server]) -> Iterator[Callers]:
    # Rates are those of names, so that each test has names of its own.
    server = sharing(
        auth="required",
        anonymous_scopes="read",
        anonymous_rate_calls="0.001",
        rate_calls="100000",
        stall_seconds="3",
        least_rate="1GiB",
    )
    made = Callers(server, server.data_dir)
    with made.channel:
        yield made


def posted(address: str, method: str, secret: str | None) -> tuple[int, Any, Any]:
    host, _, port = address.rpartition(":")
    headers = {"content-type": "application/json"}
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        connection.request("POST", method, b"{}", headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


def test_calls(callers: Callers) -> None:
    quota = Quota(calls_per_second=0.001)
    _, secret = callers.token("READ", name="caller", quota=quota)
    _, rotated = callers.token("READ", name="caller", quota=quota)
    assert callers.limits(secret).access.quota == Quota(calls_per_second=0.001)
    with pytest.raises(grpc.RpcError) as error:
        callers.limits(rotated)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error.value) == "RATE_EXCEEDED"
    (violation,) = detail(error.value, QuotaFailure()).violations
    assert violation.subject == "calls"
    assert violation.description == error.value.details()
    assert detail(error.value, RetryInfo()).retry_delay.seconds > 500
    status, headers, body = posted(callers.address, "/conexiones.v1.UploadService/GetLimits", secret)
    assert (status, body["code"]) == (429, "resource_exhausted")
    assert int(headers["retry-after"]) > 500
    host, _, port = callers.address.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        connection.request("GET", "/images/x", headers={"authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["reason"]) == (429, "RATE_EXCEEDED")
        assert int(answer.headers["retry-after"]) > 500
    # Others go on, and so does health.
    assert callers.limits(callers.admin).access.quota.calls_per_second == 100000, "by default"
    HealthStub(callers.channel).Check(HealthCheckRequest(), timeout=DEADLINE)


def test_those_who_show_nothing_have_the_rate_of_their_address(callers: Callers) -> None:
    assert callers.limits(None).access.quota.calls_per_second == 0.001
    with pytest.raises(grpc.RpcError) as error:
        callers.limits(None)
    assert reason(error.value) == "RATE_EXCEEDED"
    callers.limits(callers.admin)


def pieces() -> Iterator[GetImage]:
    for start in range(0, len(IMAGE), PIECE):
        yield GetImage(image=IMAGE[start : start + PIECE])


def test_a_long_upload_keeps_to_the_rate(callers: Callers) -> None:
    """It is slower than `stall_seconds` and `least_rate` allow a client to be, and ends well all the same."""
    _, secret = callers.token("WRITE", "READ", name="sender", quota=Quota(bytes_per_second=RATE))
    metadata = [("authorization", f"Bearer {secret}")]
    started = time.monotonic()
    sending = UsuarioServicioStub(callers.channel).GetStreamImage.future(
        pieces(), metadata=metadata, timeout=DEADLINE
    )
    for _ in range(20):
        callers.limits(secret)  # small calls go on beside it
    assert sending.result().image_info.size_bytes == len(IMAGE)
    elapsed = time.monotonic() - started
    assert len(IMAGE) <= RATE * (elapsed + BURST_SECONDS) + WINDOW


def test_a_long_download_keeps_to_the_rate(callers: Callers) -> None:
    image = UsuarioServicioStub(callers.channel).GetStreamImage(
        pieces(), metadata=[("authorization", f"Bearer {callers.admin}")], timeout=DEADLINE
    )
    _, secret = callers.token("READ", name="receiver", quota=Quota(bytes_per_second=RATE))
    metadata = [("authorization", f"Bearer {secret}")]
    started = time.monotonic()
    download = ImageServiceStub(callers.channel).DownloadImage(
        DownloadImageRequest(id=image.image_info.id), metadata=metadata, timeout=DEADLINE
    )
    assert b"".join(piece.data for piece in download) == IMAGE
    host, _, port = callers.address.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        path = f"/images/{image.image_info.id}"
        connection.request("GET", path, headers={"authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        assert answer.read() == IMAGE
    elapsed = time.monotonic() - started
    assert 2 * len(IMAGE) <= RATE * (elapsed + BURST_SECONDS) + WINDOW


def test_many_bytes_in_one_message(callers: Callers) -> None:
    """Then the next call is refused until they are paid for."""
    _, secret = callers.token("WRITE", name="hurried", quota=Quota(bytes_per_second=1))
    metadata = [("authorization", f"Bearer {secret}")]
    request = GetUserRequest(image=b"".join(bitmap(150, 150)))  # 67 KB: more than the least burst
    refusals = (done(callers, request, metadata) for _ in itertools.count())
    refused = next(filter(None, refusals))
    assert reason(refused) == "RATE_EXCEEDED"
    assert detail(refused, QuotaFailure()).violations[0].subject == "bytes"


def done(callers: Callers, request: GetUserRequest, metadata: Any) -> grpc.RpcError | None:
    """How a call was refused, if it was."""
    try:
        UsuarioServicioStub(callers.channel).ProcessImage(request, metadata=metadata, timeout=1)
    except grpc.RpcError as error:
        return None if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else error
    return None
