"""UploadImage and UploadImages: what is small, in one request that may be made again."""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import google_crc32c
import grpc
import pytest

from conexiones.gen.conexiones.v1 import errors_pb2
from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest, Image, ListImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CreateUploadRequest,
    FinishUploadRequest,
    GetLimitsRequest,
    GetUploadRequest,
    Upload,
    UploadImageRequest,
    UploadImagesRequest,
    UploadImagesResponse,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import detail, failure, reason
from tests.support.waiting import DEADLINE

Code = grpc.StatusCode
MIB = 1 << 20


@pytest.fixture
def uploads(channel: grpc.Channel) -> UploadServiceStub:
    return UploadServiceStub(channel)


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    return ImageServiceStub(channel)


def picture(width: int = 40, height: int = 24) -> bytes:
    """A bitmap like no other: 2.9 KB."""
    head, *rest = bitmap(width, height)
    return head + b"".join(rest)[:-16] + uuid.uuid4().bytes


def new(**fields: Any) -> UploadImageRequest:
    """A request of its own."""
    return UploadImageRequest(**{"request_id": str(uuid.uuid4()), "image": picture(), **fields})


def stored(uploads: UploadServiceStub, request: UploadImageRequest) -> Image:
    return uploads.UploadImage(request, timeout=DEADLINE).image


def changed(request: UploadImageRequest, **fields: Any) -> UploadImageRequest:
    other = UploadImageRequest()
    other.CopyFrom(request)
    other.MergeFrom(UploadImageRequest(**fields))
    return other


def with_bytes(images: ImageServiceStub, *contents: bytes) -> list[Image]:
    """The images that have those bytes."""
    digests = [hashlib.sha256(content).digest() for content in contents]
    asked = ListImagesRequest(sha256=digests, page_size=1000)
    return list(images.ListImages(asked, timeout=DEADLINE).images)


def test_the_same_request_gives_the_same_image(uploads, images) -> None:
    request = new(user="Ana", name="folder/elephant.bmp")
    image = stored(uploads, request)
    assert (image.width, image.height, image.format) == (40, 24, "BMP")
    assert (image.user, image.name, image.size_bytes) == ("Ana", "elephant.bmp", len(request.image))
    assert image.sha256 == hashlib.sha256(request.image).digest()
    again = changed(request, sha256=image.sha256, crc32c=google_crc32c.value(request.image))
    for one in (request, again, changed(request, name="other/elephant.bmp")):
        assert stored(uploads, one) == image
    assert [found.id for found in with_bytes(images, request.image)] == [image.id]
    others: list[dict[str, Any]] = [{"image": picture()}, {"image": picture(41)}]
    for fields in [{"user": "Zoé"}, {"name": "b.bmp"}, *others]:
        refused = failure(uploads.UploadImage, changed(request, **fields))
        assert refused == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert not with_bytes(images, *(fields["image"] for fields in others))
    images.DeleteImage(DeleteImageRequest(id=image.id), timeout=DEADLINE)
    assert failure(uploads.UploadImage, request) == (Code.NOT_FOUND, "IMAGE_DELETED")


def test_without_an_id_an_image_may_be_stored_twice(uploads, images) -> None:
    request = new(request_id="")
    ids = {stored(uploads, request).id for _ in range(2)}
    assert {image.id for image in with_bytes(images, request.image)} == ids
    assert len(ids) == 2


def test_at_once_one_of_them_stores(uploads, images) -> None:
    for size in (40, 400):  # in a segment, and as a file
        request = new(image=picture(size, 240), user="Ana")
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: stored(uploads, request), range(8)))  # noqa: B023
        assert len({image.id for image in found}) == 1
        assert [image.id for image in with_bytes(images, request.image)] == [found[0].id]


def test_of_two_images_with_one_id_one_is_stored(uploads, images) -> None:
    for _ in range(5):
        one, other = new(), new()
        other.request_id = one.request_id
        with ThreadPoolExecutor(2) as threads:
            done = [
                threads.submit(uploads.UploadImage, request, timeout=DEADLINE) for request in (one, other)
            ]
        errors = [reason(call.exception()) if call.exception() else "" for call in done]
        assert sorted(errors) == ["", "REQUEST_ID_REUSED"]
        (image,) = with_bytes(images, one.image, other.image)
        assert image == done[errors.index("")].result().image or image.facts


def damaged(content: bytes) -> Iterator[bytes]:
    yield content[:-1] + bytes([content[-1] ^ 1])
    yield b"\0" + content[1:]  # no image any more
    yield content[:-1]


@pytest.mark.parametrize("algorithm", ["CRC-32C", "SHA-256"])
def test_damage_is_refused(uploads, images, algorithm: str) -> None:
    request = new()
    if algorithm == "CRC-32C":
        request.crc32c = google_crc32c.value(request.image)
    else:
        request.sha256 = hashlib.sha256(request.image).digest()
    for content in damaged(request.image):
        with pytest.raises(grpc.RpcError) as caught:
            stored(uploads, changed(request, image=content))
        assert (caught.value.code(), reason(caught.value)) == (Code.DATA_LOSS, "CHECKSUM_MISMATCH")
        told = detail(caught.value, errors_pb2.ChecksumMismatch())
        assert told.algorithm == algorithm
        assert told.expected == (request.sha256 or request.crc32c.to_bytes(4))
        assert not with_bytes(images, content)
    # Nothing is kept of what failed: the same request may bring what was meant.
    assert stored(uploads, request).size_bytes == len(request.image)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"image": b""}, "EMPTY_IMAGE"),
        ({"image": b"no image at all"}, "NOT_AN_IMAGE"),
        ({"image": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, "UNSUPPORTED_FORMAT"),
        ({"request_id": "r" * 129}, "INVALID_FIELD"),
        ({"user": "u" * 257}, "NAME_TOO_LONG"),
        ({"name": "n" * 256}, "INVALID_FIELD"),
        ({"sha256": b"short"}, "INVALID_FIELD"),
    ],
)
def test_what_is_wrong(uploads, fields: dict[str, Any], expected: str) -> None:
    request = new(**fields)
    assert failure(uploads.UploadImage, request) == (Code.INVALID_ARGUMENT, expected)
    streamed = UploadImagesRequest.FromString(request.SerializeToString())
    good = UploadImagesRequest(image=picture())
    refused, after = uploads.UploadImages(iter([streamed, good]), timeout=DEADLINE)
    assert (refused.failure.reason, refused.request_id) == (expected, request.request_id)
    assert after.image.id


def test_how_large_small_is(uploads) -> None:
    limit = uploads.GetLimits(GetLimitsRequest(), timeout=DEADLINE).max_small_bytes
    assert limit == MIB
    largest = picture(600, 582) + bytes(limit - 54 - 600 * 582 * 3)
    assert stored(uploads, new(image=largest)).size_bytes == len(largest) == limit
    for size in (limit + 1, 3 * MIB):
        request = new(image=largest + bytes(size - limit))
        with pytest.raises(grpc.RpcError) as caught:
            stored(uploads, request)
        assert (caught.value.code(), reason(caught.value)) == (Code.INVALID_ARGUMENT, "IMAGE_NOT_SMALL")
        assert "WriteStream" in str(caught.value.details())
        problem = detail(caught.value, errors_pb2.ImageProblem())
        assert (problem.limit, problem.actual, problem.unit) == (limit, size, "bytes")


def test_in_json(serving: Server, uploads) -> None:
    """Over Connect, where a long image is cut out of its message."""
    content, name = picture(500, 400), str(uuid.uuid4())
    fields = {"image": base64.b64encode(content).decode(), "requestId": name, "user": "Ana"}
    fields["sha256"] = base64.b64encode(hashlib.sha256(content).digest()).decode()

    def posted(body: dict[str, Any]) -> dict[str, Any]:
        request = Request(
            f"http://{serving.address}/conexiones.v1.UploadService/UploadImage",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urlopen(request, timeout=DEADLINE) as reply:
                return json.load(reply)
        except HTTPError as error:
            with error:
                return json.load(error)

    image = posted(fields)["image"]
    assert (image["width"], image["user"], image["sha256"]) == (500, "Ana", fields["sha256"])
    assert posted(fields)["image"]["id"] == image["id"]
    assert stored(uploads, new(request_id=name, image=content, user="Ana")).id == image["id"]
    assert posted({**fields, "crc32c": 1})["code"] == "data_loss"
    assert posted({**fields, "user": "Eva"})["code"] == "already_exists"


def test_one_space_of_ids(uploads) -> None:
    request = new(user="Ana", name="a.bmp")
    image = stored(uploads, request)
    asked = CreateUploadRequest(
        request_id=request.request_id, user="Ana", name="a.bmp", size_bytes=len(request.image)
    )
    upload = uploads.CreateUpload(asked, timeout=DEADLINE).upload
    assert (upload.state, upload.image.id) == (Upload.STATE_READY, image.id)
    assert (upload.committed_size, upload.size_bytes) == (image.size_bytes, image.size_bytes)
    assert uploads.GetUpload(GetUploadRequest(id=upload.id), timeout=DEADLINE).upload.image.id == image.id
    finish = FinishUploadRequest(id=upload.id, size_bytes=image.size_bytes, sha256=image.sha256)
    assert uploads.FinishUpload(finish, timeout=DEADLINE).upload.image.id == image.id
    for call, more in (
        (uploads.CancelUpload, CancelUploadRequest(id=upload.id)),
        (uploads.WriteChunk, WriteChunkRequest(upload_id=upload.id, data=b"more")),
    ):
        assert failure(call, more) == (Code.FAILED_PRECONDITION, "UPLOAD_ENDED")
    asked.user = "Zoé"
    assert failure(uploads.CreateUpload, asked) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")


def test_an_upload_has_the_id_already(uploads, images) -> None:
    request = new()
    asked = CreateUploadRequest(request_id=request.request_id, size_bytes=len(request.image))
    upload = uploads.CreateUpload(asked, timeout=DEADLINE).upload
    assert failure(uploads.UploadImage, request) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    uploads.WriteChunk(WriteChunkRequest(upload_id=upload.id, data=request.image), timeout=DEADLINE)
    finish = FinishUploadRequest(id=upload.id, size_bytes=len(request.image))
    done = uploads.FinishUpload(finish, timeout=DEADLINE).upload
    assert stored(uploads, request).id == done.image.id
    assert [image.id for image in with_bytes(images, request.image)] == [done.image.id]
    uploads.CancelUpload(
        CancelUploadRequest(
            id=uploads.CreateUpload(CreateUploadRequest(request_id="ended"), timeout=DEADLINE).upload.id
        ),
        timeout=DEADLINE,
    )
    assert failure(uploads.UploadImage, new(request_id="ended"))[1] == "REQUEST_ID_REUSED"


def streamed(
    uploads: UploadServiceStub, requests: Iterable[UploadImagesRequest]
) -> Iterator[UploadImagesResponse]:
    return uploads.UploadImages(iter(requests), timeout=DEADLINE, wait_for_ready=True)


def test_a_stream_answers_each_in_order(uploads, images) -> None:
    requests = [UploadImagesRequest(request_id=str(uuid.uuid4()), image=picture()) for _ in range(40)]
    requests[3].image = b"no image"
    requests[5].crc32c = 0
    requests[7].image = picture(700, 600)
    requests[9].request_id = requests[8].request_id
    requests[11].CopyFrom(requests[10])
    requests[12].request_id = ""
    reasons = {3: "NOT_AN_IMAGE", 5: "CHECKSUM_MISMATCH", 7: "IMAGE_NOT_SMALL"}
    for _ in range(2):
        replies = list(streamed(uploads, requests))
        assert [reply.request_id for reply in replies] == [request.request_id for request in requests]
        failures = {
            number: reply.failure.reason for number, reply in enumerate(replies) if not reply.image.id
        }
        # Either of the two with one id may be the one that is stored.
        (reused,) = failures.keys() - reasons.keys()
        assert failures == {**reasons, reused: "REQUEST_ID_REUSED"}
        assert reused in {8, 9}
        assert replies[10].image == replies[11].image
        for request, reply in zip(requests, replies, strict=True):
            if reply.image.id:
                assert reply.image.sha256 == hashlib.sha256(request.image).digest()
    found = with_bytes(images, *(request.image for request in requests))
    # Of those with an id one each, and of the one without two.
    assert len(found) == 40 - len(reasons) - 1 - 1 + 1


def test_acknowledged_images_survive_a_kill(start: Callable[..., Server]) -> None:
    """The server is killed while streams are under way. All is then sent again, as by a client that cannot
    know what was stored: each image is there once, with the id that was told."""
    server = start()
    requests = [UploadImagesRequest(request_id=f"one {i}", image=picture()) for i in range(300)]
    told: dict[str, str] = {}

    def send(share: int, until: int) -> None:
        with grpc.insecure_channel(server.address) as channel:
            replies = streamed(UploadServiceStub(channel), requests[share::3])
            try:
                for reply in islice(replies, until):
                    assert told.setdefault(reply.request_id, reply.image.id) == reply.image.id
                if until < len(requests):
                    server.kill()
                    list(replies)
            except grpc.RpcError:
                assert until < len(requests)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(send, range(3), [20, 20, 20]))
    server.start()
    before = len(told)
    assert before >= 20
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(send, range(3), [len(requests)] * 3))
    with grpc.insecure_channel(server.address) as channel:
        found = with_bytes(ImageServiceStub(channel), *(request.image for request in requests))
    assert sorted(image.id for image in found) == sorted(told.values())
    assert len(found) == len(requests)
