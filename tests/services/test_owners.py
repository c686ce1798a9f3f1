"""What callers see and touch who see only what is theirs: each method with what is their own, and with what
belongs to others or to nobody."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    DownloadImageRequest,
    GetImageRequest,
    ListImagesRequest,
    SignImageUrlRequest,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    FinishUploadRequest,
    GetLimitsRequest,
    GetUploadRequest,
    WriteChunkRequest,
    WriteStreamRequest,
)
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.testing import serve
from tests.support.callers import Caller, picture
from tests.support.failures import reason
from tests.support.waiting import DEADLINE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Whoever has the token of the administrator, on a server of this module's own."""
    folder: Path = tmp_path_factory.mktemp("owners")
    settings = {"auth": "required", "anonymous_scopes": "read", "decode_seconds": "60"}
    with serve(folder, **settings) as server, grpc.insecure_channel(server.address) as channel:
        yield Caller(server, channel, (folder / "admin-token").read_text().strip())


@pytest.fixture
def ana(root: Caller) -> Caller:
    """Whoever sees only what is theirs."""
    return root.token(f"ana-{uuid4()}", own=True)


@pytest.fixture
def eva(root: Caller) -> Caller:
    return root.token(f"eva-{uuid4()}", own=True)


IMAGE_CALLS: list[Callable[[Caller, str], tuple[Any, Any]]] = [
    lambda caller, of: (caller.images.GetImage, GetImageRequest(id=of)),
    lambda caller, of: (caller.images.DownloadImage, DownloadImageRequest(id=of)),
    lambda caller, of: (caller.images.DownloadImage, DownloadImageRequest(id=of, rendition={"width": 8})),
    lambda caller, of: (caller.images.SignImageUrl, SignImageUrlRequest(id=of)),
    lambda caller, of: (caller.images.SignImageUrl, SignImageUrlRequest(id=of, rendition={"width": 8})),
    lambda caller, of: (caller.images.DeleteImage, DeleteImageRequest(id=of)),
]

UPLOAD_CALLS: list[Callable[[Caller, str], tuple[Any, Any]]] = [
    lambda caller, of: (caller.uploads.GetUpload, GetUploadRequest(id=of)),
    lambda caller, of: (caller.uploads.WriteChunk, WriteChunkRequest(upload_id=of, data=picture()[:9])),
    lambda caller, of: (caller.uploads.WriteStream, iter([WriteStreamRequest(upload_id=of)])),
    lambda caller, of: (caller.uploads.FinishUpload, FinishUploadRequest(id=of, size_bytes=9)),
    lambda caller, of: (caller.uploads.CancelUpload, CancelUploadRequest(id=of)),
]


def told(error: Any) -> tuple[Any, ...]:
    """All that a failed call says, but for the id of its request."""
    found: dict[str, Any] = dict(error.trailing_metadata())
    status = found["grpc-status-details-bin"].replace(found["x-request-id"].encode(), b"")
    return error.code(), error.details(), status, found.keys()


@pytest.mark.parametrize("index", range(len(IMAGE_CALLS)))
def test_images_of_others_are_answered_as_those_that_are_not_there(
    index: int, root: Caller, ana: Caller, eva: Caller
) -> None:
    call = IMAGE_CALLS[index]
    own, others = ana.stores(), (eva.stores(), root.stores())
    unknown = told(ana.refused(*call(ana, own[:-4] + "ffff")))
    for other in others:
        error = ana.refused(*call(ana, other))
        assert (reason(error), told(error)) == ("IMAGE_NOT_FOUND", unknown)
        root.call(root.images.GetImage, GetImageRequest(id=other))  # it is there as it was
    ana.call(*call(ana, own))
    for other in others:
        root.call(*call(root, other))


@pytest.mark.parametrize("index", range(len(UPLOAD_CALLS)))
def test_uploads_of_others_are_answered_as_those_that_are_not_there(
    index: int, root: Caller, ana: Caller, eva: Caller
) -> None:
    call = UPLOAD_CALLS[index]
    own, others = ana.begins(), (eva.begins(), root.begins(), ana.ticket().begins(), eva.ticket().begins())
    ticket = ana.ticket()
    unknown = told(ana.refused(*call(ana, "ff" * 16)))
    for caller, ids in ((ana, (*others[:2], others[3])), (ticket, (*others, own))):
        for other in ids:
            error = caller.refused(*call(caller, other))
            assert (reason(error), told(error)) == ("UPLOAD_NOT_FOUND", unknown)
            upload = root.call(root.uploads.GetUpload, GetUploadRequest(id=other)).upload
            assert (upload.state, upload.writer_epoch, upload.committed_size) == (upload.STATE_OPEN, 0, 0)
    for caller, id in ((ana, own), (ana, others[2]), (ticket, ticket.begins()), (root, others[0])):
        method, request = call(caller, id)
        if isinstance(request, FinishUploadRequest):
            caller.call(caller.uploads.WriteChunk, WriteChunkRequest(upload_id=id, data=picture()[:9]))
        caller.call(method, request)


def test_plain_http(root: Caller, ana: Caller, eva: Caller) -> None:
    own, other = ana.stores(1), eva.stores(2)
    for query in ("", "?width=8", "?download=1"):
        assert ana.fetched(f"/images/{own}{query}")[0] == 200
        unknown = ana.fetched(f"/images/{own[:-4]}ffff{query}")
        assert unknown[0] == 404
        assert ana.fetched(f"/images/{other}{query}") == unknown
        assert root.fetched(f"/images/{other}{query}")[0] == 200
    # A link of one's own image opens it for everybody; so does one for a rendition, for this one alone.
    link = ana.call(ana.images.SignImageUrl, SignImageUrlRequest(id=own)).path
    assert root.with_secret("").fetched(link) == (200, picture(1))
    assert root.with_secret("").fetched(link.replace(own, other))[0] == 401


def test_lists(root: Caller, ana: Caller, eva: Caller) -> None:
    user = str(uuid4())
    ids = {caller: [caller.stores(seed, user=user) for seed in range(3)] for caller in (ana, eva)}
    for caller, own in ids.items():
        newest = own[::-1]
        assert caller.listed() == caller.listed(user=user) == newest
        page = caller.call(caller.images.ListImages, ListImagesRequest(page_size=2))
        assert [image.id for image in page.images] == newest[:2]
        assert caller.listed(page_size=2, page_token=page.next_page_token) == newest[2:]
        # Bytes that others have too are listed once: their own image of them.
        digest = caller.call(caller.images.GetImage, GetImageRequest(id=own[0])).image.sha256
        assert caller.listed(sha256=[digest]) == own[:1]
        # The owner is told to those who see all, who may ask for what belongs to one.
        assert not page.images[0].owner
        owner = root.call(root.images.GetImage, GetImageRequest(id=own[0])).image.owner
        assert root.listed(owner=owner) == root.listed(owner=owner, user=user) == newest
        assert caller.listed(owner=owner) == newest
        other = eva if caller is ana else ana
        assert other.listed(owner=owner) == []
        assert (
            reason(
                other.refused(
                    other.images.ListImages, ListImagesRequest(page_size=2, page_token=page.next_page_token)
                )
            )
            == "INVALID_FIELD"
        )
        # In a public gallery everything is seen, and nobody is told whose it is.
        nobody = root.with_secret("")
        assert set(own) <= set(nobody.listed(page_size=1000))
        assert nobody.call(nobody.images.GetImage, GetImageRequest(id=own[0])).image.owner == ""
        assert nobody.listed(owner=owner) == []


def test_a_watcher_hears_of_its_own_images(root: Caller, ana: Caller, eva: Caller) -> None:
    before = root.images.WatchImages(WatchImagesRequest(), metadata=root.metadata, timeout=DEADLINE)
    start = next(before).resume_token
    before.cancel()
    gone = {caller: caller.stores(1) for caller in (eva, ana)}
    for caller, id in gone.items():
        caller.call(caller.images.DeleteImage, DeleteImageRequest(id=id))
    kept = {caller: caller.stores(2) for caller in (eva, ana, root)}
    for caller, own in ((ana, [gone[ana], kept[ana]]), (root, [gone[eva], *kept.values()])):
        watch = caller.images.WatchImages(
            WatchImagesRequest(resume_token=start), metadata=caller.metadata, timeout=DEADLINE
        )
        heard: set[str] = set()
        for event in watch:
            found = event.stored.id or event.described.id or event.deleted_id
            assert caller is root or found in ("", *own)
            heard.add(found)
            if heard >= set(own):
                break
        watch.cancel()


def test_users_of_one_name(root: Caller, ana: Caller, eva: Caller) -> None:
    name = str(uuid4())
    for caller, pow in ((ana, 3), (eva, 5), (root, 7)):
        caller.call(caller.users.GetUser, GetUserRequest(name=name, pow=pow, image=picture(pow)))
    for caller, pow in ((ana, 3), (eva, 5), (root, 7)):
        reply = caller.call(caller.users.GetUser, GetUserRequest(name=name))
        assert (reply.user.pow, reply.image_info.size_bytes) == (pow, len(picture(pow)))
        (streamed,) = caller.call(caller.users.GetUserBidiStream, iter([GetUserRequest(name=name)]))
        assert (streamed.user.pow, streamed.image_info.id) == (pow, reply.image_info.id)
        assert streamed.image
    image = eva.call(eva.users.GetUser, GetUserRequest(name=name)).user.image_id
    eva.call(eva.images.DeleteImage, DeleteImageRequest(id=image))
    assert eva.call(eva.users.GetUser, GetUserRequest(name=name)).user.image_id == ""
    assert ana.call(ana.users.GetUser, GetUserRequest(name=name)).user.image_id


def test_request_ids_are_each_owners_and_tickets_own(root: Caller, ana: Caller, eva: Caller) -> None:
    request_id = str(uuid4())
    callers = (root, ana, eva, ana.ticket(), ana.ticket())
    ids = [caller.begins(request_id=request_id) for caller in callers]
    assert len(set(ids)) == len(ids)
    assert [caller.begins(request_id=request_id) for caller in callers] == ids


def test_whatever_stores_has_the_owner(root: Caller, ana: Caller) -> None:
    ids = [ana.stores()]
    ids.append(ana.call(ana.users.GetUser, GetUserRequest(name="x", image=picture())).image_info.id)
    ids.append(ana.call(ana.users.GetStreamImage, iter([GetImage(image=picture())])).image_info.id)
    (streamed,) = ana.call(ana.users.ImageStreamReply, iter([GetImage(image=picture())]))
    (user,) = ana.call(ana.users.GetUserBidiStream, iter([GetUserRequest(name="y", image=picture())]))
    ids += [streamed.image_info.id, user.image_info.id]
    ticket = ana.ticket(max_images=2, max_bytes=10**6)
    ids.append(ticket.stores())
    for caller in (ana, ticket):
        upload = caller.begins(picture())
        finish = FinishUploadRequest(id=upload, size_bytes=len(picture()))
        # Whoever sees everything may finish it, for its owner.
        ids.append(root.call(root.uploads.FinishUpload, finish).upload.image.id)
    assert ana.listed() == ids[::-1]
    status = ana.call(ana.status.GetStatus, GetStatusRequest())
    assert (status.image_count, status.image_bytes) == (len(ids), len(ids) * len(picture()))
    assert (status.user_count, status.open_upload_count) == (2, 0)
    assert root.call(root.status.GetStatus, GetStatusRequest()).image_count >= len(ids)
    access = ana.call(ana.uploads.GetLimits, GetLimitsRequest()).access
    assert (access.usage.stored_images, access.usage.stored_bytes) == (len(ids), len(ids) * len(picture()))
    # With a ticket one is told of the ticket. The image that root finished counts, too.
    access = ticket.call(ticket.uploads.GetLimits, GetLimitsRequest()).access
    assert (access.quota.stored_images, access.quota.stored_bytes) == (2, 10**6)
    assert (access.usage.stored_images, access.usage.stored_bytes) == (2, 2 * len(picture()))
