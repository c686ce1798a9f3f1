"""How much callers may store: the quotas of owners and the terms of tickets, on each way to store."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, QuotaFailure

from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CreateTicketRequest,
    CreateUploadRequest,
    FinishUploadRequest,
    GetLimitsRequest,
    GetUploadRequest,
    Upload,
    WriteChunkRequest,
    WriteStreamRequest,
)
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.testing import Server, serve
from tests.support.callers import Caller, picture
from tests.support.corpus import images
from tests.support.failures import detail, reason

SIZE = len(picture())
LARGE = picture() * 2000
"""More than what is judged as a whole before it is written. The bytes behind the picture do no harm."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Whoever has the token of the administrator, on a server of this module's own."""
    folder: Path = tmp_path_factory.mktemp("quotas")
    settings = {"auth": "required", "decode_seconds": "60"}
    with serve(folder, **settings) as server, grpc.insecure_channel(server.address) as channel:
        yield Caller(server, channel, (folder / "admin-token").read_text().strip())


def limited(root: Caller, **quota: int) -> Caller:
    """Whoever has a token with that quota."""
    return root.token(f"limited-{uuid4()}", own=True, quota=quota)


def finish(caller: Caller, upload: str, size: int = SIZE) -> Upload:
    request = FinishUploadRequest(id=upload, size_bytes=size)
    done: Upload = caller.call(caller.uploads.FinishUpload, request).upload
    return done


def through_upload(caller: Caller, data: bytes) -> tuple[str, dict[str, str]]:
    upload = caller.begins()
    chunk = WriteChunkRequest(upload_id=upload, data=data)
    caller.call(caller.uploads.WriteChunk, chunk)
    done = finish(caller, upload, len(data))
    return done.failure.reason, dict(done.failure.facts)


def through_stream(caller: Caller, data: bytes) -> tuple[str, dict[str, str]]:
    (reply,) = caller.call(caller.users.ImageStreamReply, iter([GetImage(image=data)]))
    return reply.error.reason, dict(reply.error.facts)


def through_users(caller: Caller, data: bytes) -> tuple[str, dict[str, str]]:
    (reply,) = caller.call(caller.users.GetUserBidiStream, iter([GetUserRequest(name="ana", image=data)]))
    wrong = reply.errors[0] if reply.errors and not reply.image_info.id else None
    return (wrong.reason, dict(wrong.facts)) if wrong else ("", {})


def through_call(method: str, request: Callable[[bytes], Any]) -> Any:
    def store(caller: Caller, data: bytes) -> tuple[str, dict[str, str]]:
        caller.call(getattr(caller.users, method), request(data))
        return "", {}

    return store


WAYS: dict[str, Callable[[Caller, bytes], tuple[str, dict[str, str]]]] = {
    "GetUser": through_call("GetUser", lambda data: GetUserRequest(name="ana", image=data)),
    "ProcessImage": through_call("ProcessImage", lambda data: GetUserRequest(image=data)),
    "GetStreamImage": through_call("GetStreamImage", lambda data: iter([GetImage(image=data)])),
    "ImageStreamReply": through_stream,
    "GetUserBidiStream": through_users,
    "uploads": through_upload,
}
"""How an image is stored. Gives the reason and the facts with which a part of a call or an upload was
refused, which are empty if it was stored; whole calls raise their error."""

WITH_TICKETS = [name for name in WAYS if not name.startswith("GetUser")]


def outcome(caller: Caller, way: str, data: bytes) -> tuple[str, dict[str, str]]:
    try:
        return WAYS[way](caller, data)
    except grpc.RpcError as error:
        info = detail(error, ErrorInfo())
        if "limit" in info.metadata:
            (violation,) = detail(error, QuotaFailure()).violations
            assert violation.subject == info.metadata["unit"]
        return info.reason, dict(info.metadata)


def refusal(reason: str, unit: str, limit: int, actual: int) -> tuple[str, dict[str, str]]:
    return reason, {"limit": str(limit), "actual": str(actual), "unit": unit}


@pytest.mark.parametrize("way", WAYS)
def test_quotas(root: Caller, way: str) -> None:
    caller = limited(root, stored_images=2, stored_bytes=10**6)
    assert [outcome(caller, way, picture()) for _ in range(2)] == [("", {})] * 2
    over = refusal("QUOTA_EXCEEDED", "images", 2, 3)
    assert outcome(caller, way, picture(9)) == over
    images = caller.listed()
    assert caller.usage[:2] == (2, 2 * SIZE)
    caller.call(caller.images.DeleteImage, DeleteImageRequest(id=images[0]))
    assert outcome(caller, way, picture()) == ("", {})
    caller = limited(root, stored_bytes=2 * SIZE)
    # The same bytes count whole each time.
    assert [outcome(caller, way, picture()) for _ in range(2)] == [("", {})] * 2
    assert outcome(caller, way, picture()) == refusal("QUOTA_EXCEEDED", "bytes", 2 * SIZE, 3 * SIZE)
    # Of a stream, only what came until then is known.
    found, facts = outcome(caller, way, LARGE)
    assert (found, facts["limit"], facts["unit"]) == ("QUOTA_EXCEEDED", str(2 * SIZE), "bytes")
    assert caller.usage[:2] == (2, 2 * SIZE)


@pytest.mark.parametrize("way", WITH_TICKETS)
def test_tickets(root: Caller, way: str) -> None:
    owner = limited(root, stored_images=4)
    ticket = owner.ticket(max_images=2, max_bytes=10**6)
    assert [outcome(ticket, way, picture()) for _ in range(2)] == [("", {})] * 2
    assert outcome(ticket, way, picture()) == refusal("TICKET_USED_UP", "images", 2, 3)
    # What is deleted does not come back to the ticket, though it does to the owner.
    owner.call(owner.images.DeleteImage, DeleteImageRequest(id=owner.listed()[0]))
    assert outcome(ticket, way, picture()) == refusal("TICKET_USED_UP", "images", 2, 3)
    ticket = owner.ticket(max_images=9, max_bytes=2 * SIZE - 1)
    assert outcome(ticket, way, picture()) == ("", {})
    assert outcome(ticket, way, picture()) == refusal("TICKET_USED_UP", "bytes", 2 * SIZE - 1, 2 * SIZE)
    assert ticket.usage[:2] == (1, SIZE)
    # The quota of the owner counts, too.
    ticket = owner.ticket(max_images=9, max_bytes=10**6)
    assert [outcome(ticket, way, picture()) for _ in range(2)] == [("", {})] * 2
    assert outcome(ticket, way, picture()) == refusal("QUOTA_EXCEEDED", "images", 4, 5)


@pytest.mark.parametrize("way", WITH_TICKETS)
def test_formats_of_a_ticket(root: Caller, way: str) -> None:
    owner = limited(root)
    ticket = owner.ticket(max_images=9, formats=["PNG", "JPEG"])
    for data in (picture(), LARGE):
        assert outcome(ticket, way, data) == ("FORMAT_NOT_GRANTED", {"format": "BMP"})
    assert outcome(ticket, way, images()["JPEG baseline"]) == ("", {})
    assert len(owner.listed()) == ticket.usage[0] == 1


def test_owners_of_tickets(root: Caller) -> None:
    """Whoever sees everything may name any owner, who is no token then; others only their own."""
    owner = f"person:{uuid4()}"
    ticket = root.ticket(owner=owner)
    image = ticket.stores()
    assert root.listed(owner=owner) == [image]
    limits = root.call(root.uploads.GetLimits, GetLimitsRequest()).access
    assert ticket.call(ticket.uploads.GetLimits, GetLimitsRequest()).access.owner == owner != limits.owner
    for caller, wrong in ((limited(root), owner), (root, "x" * 256), (root, "a\nb")):
        request = CreateTicketRequest(owner=wrong)
        assert reason(caller.refused(caller.uploads.CreateTicket, request)) == "INVALID_FIELD"


def test_a_format_is_refused_with_its_first_bytes(root: Caller) -> None:
    ticket = limited(root).ticket(formats=["PNG"])
    upload = ticket.begins()
    chunk = WriteChunkRequest(upload_id=upload, data=LARGE[:4096])
    assert reason(ticket.refused(ticket.uploads.WriteChunk, chunk)) == "FORMAT_NOT_GRANTED"
    ended = ticket.call(ticket.uploads.GetUpload, GetUploadRequest(id=upload)).upload
    assert (ended.state, ended.failure.reason) == (Upload.STATE_REJECTED, "FORMAT_NOT_GRANTED")


def test_an_upload_over_the_quota_can_be_finished_when_there_is_room(root: Caller) -> None:
    caller = limited(root, stored_images=1)
    uploads = [caller.begins(picture()) for _ in range(2)]
    assert finish(caller, uploads[0]).state == Upload.STATE_READY
    request = FinishUploadRequest(id=uploads[1], size_bytes=SIZE)
    for _ in range(2):
        assert reason(caller.refused(caller.uploads.FinishUpload, request)) == "QUOTA_EXCEEDED"
    upload = caller.call(caller.uploads.GetUpload, GetUploadRequest(id=uploads[1])).upload
    assert (upload.state, upload.committed_size) == (Upload.STATE_OPEN, SIZE)
    # One that was finished is given again, whatever has become of the quota.
    assert finish(caller, uploads[0]).state == Upload.STATE_READY
    caller.call(caller.images.DeleteImage, DeleteImageRequest(id=caller.listed()[0]))
    assert finish(caller, uploads[1]).state == Upload.STATE_READY
    assert caller.usage == (1, SIZE, 0)


def test_an_upload_is_refused_before_its_bytes_are_taken_in(root: Caller) -> None:
    caller = limited(root, stored_bytes=1000, open_uploads=2)
    create = CreateUploadRequest(request_id="large", size_bytes=1001)
    assert reason(caller.refused(caller.uploads.CreateUpload, create)) == "QUOTA_EXCEEDED"
    uploads = [caller.begins(), caller.begins()]
    create = CreateUploadRequest(request_id="third")
    error = detail(caller.refused(caller.uploads.CreateUpload, create), ErrorInfo())
    assert (error.reason, dict(error.metadata)) == refusal("QUOTA_EXCEEDED", "uploads", 2, 3)
    caller.call(caller.uploads.CancelUpload, CancelUploadRequest(id=uploads[0]))
    caller.begins(request_id="third")
    chunk = WriteChunkRequest(upload_id=uploads[1], data=LARGE[:1001])
    assert reason(caller.refused(caller.uploads.WriteChunk, chunk)) == "QUOTA_EXCEEDED"
    requests = [WriteStreamRequest(upload_id=uploads[1], data=LARGE[:600])]
    requests.append(WriteStreamRequest(offset=600, data=LARGE[600:1200]))
    error = caller.refused(caller.uploads.WriteStream, iter(requests))
    assert reason(error) == "QUOTA_EXCEEDED"
    upload = caller.call(caller.uploads.GetUpload, GetUploadRequest(id=uploads[1])).upload
    assert (upload.state, upload.committed_size) == (Upload.STATE_OPEN, 600)


def test_a_request_is_answered_again_though_there_is_no_room_any_more(root: Caller) -> None:
    caller = limited(root, stored_images=1, open_uploads=1)
    upload = caller.begins(picture(), request_id="again", size_bytes=SIZE)
    assert caller.begins(request_id="again", size_bytes=SIZE) == upload
    finish(caller, upload)
    again = CreateUploadRequest(request_id="again", size_bytes=SIZE)
    assert caller.call(caller.uploads.CreateUpload, again).upload.state == Upload.STATE_READY


def test_a_stream_goes_on_after_what_is_over_the_quota(root: Caller) -> None:
    caller = limited(root, stored_bytes=SIZE)
    requests = [GetImage(image=data) for data in (LARGE, picture(), picture(1))]
    replies = caller.call(caller.users.ImageStreamReply, iter(requests))
    # Which of the small ones comes first is open: several are worked on at a time.
    assert replies[0].error.reason == "QUOTA_EXCEEDED"
    assert {reply.error.reason for reply in replies[1:]} == {"", "QUOTA_EXCEEDED"}
    assert "cuota" in replies[0].message


def test_calls_at_once_do_not_pass_the_quota(root: Caller) -> None:
    caller = limited(root, stored_images=20, stored_bytes=30 * SIZE)
    ticket = caller.ticket(max_images=10, max_bytes=10 * SIZE)

    def store(index: int) -> bool:
        who, way = ((caller, "GetUser"), (caller, "uploads"), (ticket, "ProcessImage"))[index % 3]
        return outcome(who, way, picture(index))[0] == ""

    with ThreadPoolExecutor(12) as pool:
        stored = sum(pool.map(store, range(60)))
    assert stored == 20
    assert caller.usage[:2] == (20, 20 * SIZE)
    assert ticket.usage[0] <= 10


def test_defaults(start: Callable[..., Server], tmp_path: Path) -> None:
    """Tokens that say nothing have the settings' limits, also when these have changed since."""
    server = start(tmp_path, auth="required", quota_images="1", quota_bytes="1KB", quota_uploads="3")
    with grpc.insecure_channel(server.address) as channel:
        admin = Caller(server, channel, (tmp_path / "admin-token").read_text().strip())
        silent, other = admin.token("silent"), admin.token("other", quota={"stored_images": 5})
        assert quota(silent) == {"stored_images": 1, "stored_bytes": 1000, "open_uploads": 3}
        assert quota(other) == {"stored_images": 5, "stored_bytes": 1000, "open_uploads": 3}
        assert outcome(silent, "GetUser", picture()) == ("", {})
        assert outcome(silent, "GetUser", picture()) == refusal("QUOTA_EXCEEDED", "images", 1, 2)
    server.stop()
    again = start(tmp_path, auth="required")
    with grpc.insecure_channel(again.address) as channel:
        silent, other = (Caller(again, channel, caller.secret) for caller in (silent, other))
        assert quota(silent) == {}
        assert quota(other) == {"stored_images": 5}
        assert silent.usage == (1, SIZE, 0)


def quota(caller: Caller) -> dict[str, Any]:
    """The limits that a caller is told to have."""
    found: Message = caller.call(caller.uploads.GetLimits, GetLimitsRequest()).access.quota
    return {field.name: value for field, value in found.ListFields()}
