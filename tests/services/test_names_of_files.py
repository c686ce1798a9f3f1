"""Names of files, from CreateUpload to lists, events and what a browser saves; and lists by digest."""

import http.client
import uuid
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from conexiones.gen.conexiones.v1.images_pb2 import (
    DownloadImageRequest,
    GetImageRequest,
    Image,
    ListImagesRequest,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import detail, reason
from tests.support.waiting import DEADLINE

Store = Callable[..., Upload]


@pytest.fixture
def uploads(channel: grpc.Channel) -> UploadServiceStub:
    return UploadServiceStub(channel)


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    return ImageServiceStub(channel)


@pytest.fixture
def store(uploads: UploadServiceStub) -> Store:
    def store(seed: int = 0, **fields: str) -> Upload:
        data = b"".join(bitmap(20, 10, seed=seed))
        upload = uploads.CreateUpload(new(**fields), timeout=DEADLINE).upload
        uploads.WriteChunk(WriteChunkRequest(upload_id=upload.id, data=data), timeout=DEADLINE)
        finish = FinishUploadRequest(id=upload.id, size_bytes=len(data))
        return uploads.FinishUpload(finish, timeout=DEADLINE).upload

    return store


def new(**fields: Any) -> CreateUploadRequest:
    return CreateUploadRequest(**{"request_id": str(uuid.uuid4()), **fields})


def refused(call: Callable[..., object], request: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=DEADLINE)
    return caught.value


def listed(images: ImageServiceStub, **fields: Any) -> list[Image]:
    found: list[Image] = []
    token = ""
    while True:
        page = images.ListImages(ListImagesRequest(page_token=token, **fields), timeout=DEADLINE)
        found += page.images
        token = page.next_page_token
        if not token:
            return found


def test_an_image_has_the_name_of_its_file(images: ImageServiceStub, store: Store) -> None:
    done = store(name="C:\\fotos/Málaga ñ.bmp")
    assert (done.name, done.image.name) == ("Málaga ñ.bmp", "Málaga ñ.bmp")
    request = GetImageRequest(id=done.image.id)
    assert images.GetImage(request, timeout=DEADLINE).image.name == "Málaga ñ.bmp"
    frames = images.DownloadImage(DownloadImageRequest(id=done.image.id), timeout=DEADLINE)
    assert next(frames).image.name == "Málaga ñ.bmp"
    assert store(name="..").image.name == ""


def test_the_name_is_a_part_of_the_request(uploads: UploadServiceStub) -> None:
    request = new(name="C:\\fotos/Málaga ñ.bmp")
    upload = uploads.CreateUpload(request, timeout=DEADLINE).upload
    assert upload.name == "Málaga ñ.bmp"
    for same in (request.name, "Málaga ñ.bmp"):
        request.name = same
        assert uploads.CreateUpload(request, timeout=DEADLINE).upload == upload
    for other in ("málaga ñ.bmp", ""):
        request.name = other
        assert reason(refused(uploads.CreateUpload, request)) == "REQUEST_ID_REUSED"
    wrong = refused(uploads.CreateUpload, new(name="a\nb"))
    assert reason(wrong) == "INVALID_FIELD"
    assert detail(wrong, BadRequest()).field_violations[0].field == "name"


def test_lists_by_name(images: ImageServiceStub, store: Store, somebody: str) -> None:
    for name in ("Ávila.bmp", "ÁVILA 2.bmp", "Toledo.bmp", ""):
        store(name=name, user=somebody)
    found = [image.name for image in listed(images, user=somebody, name="áviLA", page_size=1)]
    assert found == ["ÁVILA 2.bmp", "Ávila.bmp"]
    first = images.ListImages(ListImagesRequest(user=somebody, name="áviLA", page_size=1), timeout=DEADLINE)
    other = ListImagesRequest(user=somebody, name="bmp", page_token=first.next_page_token)
    assert detail(refused(images.ListImages, other), BadRequest()).field_violations[0].field == "page_token"
    for wrong in ("x" * 256, "a\x00b"):
        error = refused(images.ListImages, ListImagesRequest(name=wrong))
        assert detail(error, BadRequest()).field_violations[0].field == "name"


def test_lists_by_digest(images: ImageServiceStub, store: Store, somebody: str) -> None:
    ids = [store(seed, user=somebody).image.id for seed in (301, 302, 303, 302)]
    digests = [sha256(b"".join(bitmap(20, 10, seed=seed))).digest() for seed in (301, 302, 304)]
    found = [image.id for image in listed(images, user=somebody, sha256=digests, page_size=2)]
    assert found == [ids[3], ids[1], ids[0]]
    many = [*digests, *(number.to_bytes(32) for number in range(997))]
    assert [image.id for image in listed(images, user=somebody, sha256=many)] == found
    for wrong in ([*many, digests[0]], [digests[0][:31]], [b""]):
        error = refused(images.ListImages, ListImagesRequest(sha256=wrong))
        assert detail(error, BadRequest()).field_violations[0].field == "sha256"


def test_watchers_hear_the_name(images: ImageServiceStub, store: Store, somebody: str) -> None:
    watch = images.WatchImages(WatchImagesRequest(user=somebody), timeout=DEADLINE)
    assert next(watch).WhichOneof("event") == "heartbeat"
    store(name="Cádiz.bmp", user=somebody)
    assert next(watch).stored.name == "Cádiz.bmp"
    watch.cancel()


@pytest.mark.parametrize(
    ("name", "query", "header"),
    [
        ("plain.bmp", "", "inline; filename=\"plain.bmp\"; filename*=UTF-8''plain.bmp"),
        (
            "Málaga 100%.BMP",
            "?download=1",
            "attachment; filename=\"M_laga 100_.BMP\"; filename*=UTF-8''M%C3%A1laga%20100%25.BMP",
        ),
        (
            'a"; x=y; z="\'.bmp',
            "",
            "inline; filename=\"a_; x=y; z=_'.bmp\"; filename*=UTF-8''a%22%3B%20x%3Dy%3B%20z%3D%22%27.bmp",
        ),
        ("photo.jpeg", "", "inline; filename=\"photo.jpeg\"; filename*=UTF-8''photo.jpeg"),
        ("run.exe", "", "inline; filename=\"run.exe.bmp\"; filename*=UTF-8''run.exe.bmp"),
        (".bmp", "", "inline; filename=\".bmp.bmp\"; filename*=UTF-8''.bmp.bmp"),
        ("scan", "?format=webp", "inline; filename=\"scan.webp\"; filename*=UTF-8''scan.webp"),
        ("scan.old.bmp", "?format=png", "inline; filename=\"scan.old.png\"; filename*=UTF-8''scan.old.png"),
    ],
)
def test_a_browser_saves_it_under_its_name(
    serving: Server, store: Store, name: str, query: str, header: str
) -> None:
    image_id = store(name=name).image.id
    for method in ("HEAD", "GET"):
        with closing(http.client.HTTPConnection("127.0.0.1", serving.port, timeout=DEADLINE)) as connection:
            connection.request(method, f"/images/{image_id}{query}")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["content-disposition"]) == (200, header)
