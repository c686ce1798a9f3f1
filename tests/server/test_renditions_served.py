"""Renditions and facts of a real server, over gRPC and HTTP: made once, kept, and gone with the image."""

import http.client
import io
import json
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    DownloadImageRequest,
    GetImageRequest,
    Rendition,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import failure
from tests.support.processes import busy_seconds, decoders
from tests.support.waiting import DEADLINE, until

BROWSER = "image/avif,image/webp,image/apng,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> tuple[int, str, str]:
        assert self.headers["content-type"] == "application/problem+json"
        value = json.loads(self.body)
        assert value["status"] == self.status
        return self.status, value["reason"], value.get("field", "")


Ask = Callable[..., Answer]


def asking(server: Server) -> Ask:
    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/images/{path}", headers=names)
            answer = connection.getresponse()
            body = answer.read()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    return ask


@pytest.fixture
def ask(serving: Server) -> Ask:
    return asking(serving)


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    return ImageServiceStub(channel)


def store(stub: UsuarioServicioStub, data: bytes) -> str:
    return stub.ProcessImage(GetUserRequest(image=data), timeout=DEADLINE).image_info.id


@pytest.fixture
def photo_id(stub: UsuarioServicioStub, photograph: bytes) -> str:
    return store(stub, photograph)


def kept(server: Server) -> list[Path]:
    return [path for path in (server.data_dir / "renditions").rglob("*") if path.is_file()]


def test_the_original(ask: Ask, photo_id: str, photograph: bytes) -> None:
    whole = ask(photo_id)
    assert (whole.status, whole.body) == (200, photograph)
    tag = f'"{sha256(photograph).hexdigest()}"'
    expected = {
        "content-type": "image/jpeg",
        "content-length": str(len(photograph)),
        "content-disposition": f'inline; filename="{photo_id}.jpg"',
        "etag": tag,
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    assert expected.items() <= whole.headers.items()
    assert "vary" not in whole.headers
    head = ask(photo_id, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert expected.items() <= head.headers.items()
    saved = ask(f"{photo_id}?download=1")
    assert saved.body == photograph
    assert saved.headers["content-disposition"] == f'attachment; filename="{photo_id}.jpg"'
    for field in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = ask(photo_id, if_none_match=field)
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert ask(photo_id, if_none_match='"other"').status == 200


def test_ranges(ask: Ask, photo_id: str, photograph: bytes) -> None:
    size = len(photograph)
    for field, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=10-{size * 2}", 10, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        part = ask(photo_id, range=field)
        assert (part.status, part.body) == (206, photograph[start:end]), field
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    tag = ask(photo_id).headers["etag"]
    assert ask(photo_id, range="bytes=0-9", if_range=tag).status == 206
    # The whole image: another entity tag, several ranges, and headers that are no range.
    for headers in (
        {"range": "bytes=0-9", "if_range": '"other"'},
        {"range": "bytes=0-9", "if_range": f"W/{tag}"},
        {"range": "bytes=0-1,4-5"},
        {"range": "bytes=9-3"},
        {"range": "lines=1-2"},
    ):
        assert (ask(photo_id, **headers).status, headers) == (200, headers)
    for field in (f"bytes={size}-", "bytes=-0"):
        beyond = ask(photo_id, range=field)
        assert beyond.problem[:2] == (416, "OFFSET_OUT_OF_RANGE")
        assert beyond.headers["content-range"] == f"bytes */{size}"


def test_a_rendition(ask: Ask, images: ImageServiceStub, photo_id: str) -> None:
    small = ask(f"{photo_id}?width=200&height=100&fit=cover&format=png")
    image = Image.open(io.BytesIO(small.body))
    assert (image.format, image.size, small.headers["content-type"]) == ("PNG", (200, 100), "image/png")
    assert small.headers["etag"] == f'"{sha256(small.body).hexdigest()}"'
    assert small.headers["content-disposition"] == f'inline; filename="{photo_id}.png"'
    part = ask(f"{photo_id}?width=200&height=100&fit=cover&format=png", range="bytes=10-19")
    assert (part.status, part.body) == (206, small.body[10:20])
    # gRPC gives the same rendition.
    wanted = Rendition(width=200, height=100, fit=Rendition.FIT_COVER, format=Rendition.FORMAT_PNG)
    frames = list(images.DownloadImage(DownloadImageRequest(id=photo_id, rendition=wanted), timeout=DEADLINE))
    assert b"".join(frame.data for frame in frames) == small.body
    info = frames[0].rendition
    assert (info.format, info.width, info.height, info.frames) == ("PNG", 200, 100, 1)
    assert (info.etag, info.size_bytes, info.sha256.hex()) == (
        small.headers["etag"],
        len(small.body),
        sha256(small.body).hexdigest(),
    )
    assert (frames[0].image.id, info.content_type) == (photo_id, "image/png")
    request = DownloadImageRequest(id=photo_id, rendition=wanted, offset=-10, if_etag=info.etag)
    assert [frame.data for frame in images.DownloadImage(request, timeout=DEADLINE)] == [small.body[-10:]]
    request.if_etag = frames[0].image.etag
    assert failure(images.DownloadImage, request)[1] == "ETAG_MISMATCH"


def test_the_format_is_negotiated(ask: Ask, photo_id: str) -> None:
    for accept, expected in (
        (BROWSER, "image/webp"),
        ("image/avif,image/webp;q=0.5", "image/avif"),
        ("image/webp;q=0, image/avif;q=0.1", "image/avif"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/webp;q=oops", "image/jpeg"),
        ("", "image/jpeg"),
    ):
        answer = ask(f"{photo_id}?width=16", accept=accept)
        assert (answer.headers["content-type"], answer.headers["vary"]) == (expected, "accept"), accept
    assert "vary" not in ask(f"{photo_id}?width=16&format=jpeg", accept=BROWSER).headers
    # The original is not negotiated.
    assert ask(photo_id, accept=BROWSER).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("width=0", "width"),
        ("width=8193", "width"),
        ("width=-5", "width"),
        ("width=1e3", "width"),
        ("height=abc", "height"),
        ("fit=stretch", "fit"),
        ("fit=cover&width=10", "height"),
        ("fit=contain&height=10", "width"),
        ("format=gif", "format"),
        ("format=svg", "format"),
        ("quality=101", "quality"),
        ("format=png&quality=50", "quality"),
        ("animated=yes", "animated"),
        ("animated=1&format=jpeg", "animated"),
        ("profile=p3", "profile"),
        ("download=2", "download"),
        ("size=10", "query"),
        ("width=10&width=20", "query"),
        ("width", "query"),
    ],
)
def test_bad_options_name_the_field(ask: Ask, photo_id: str, query: str, field: str) -> None:
    assert ask(f"{photo_id}?{query}").problem == (400, "INVALID_FIELD", field)


def test_other_mistakes_over_http(ask: Ask, photo_id: str) -> None:
    for path in ("", "none", photo_id.upper(), f"{photo_id}/x", "..%2f..%2fetc%2fpasswd"):
        assert ask(path).problem == (404, "IMAGE_NOT_FOUND", "id"), path
    assert ask(f"{photo_id}?width=" + "1" * 2000).problem[:2] == (400, "MALFORMED_REQUEST")
    answer = ask(photo_id, "POST")
    assert (answer.problem[:2], answer.headers["allow"]) == ((405, "MALFORMED_REQUEST"), "GET, HEAD")
    missing = ask("none", "HEAD")
    assert (missing.status, missing.body) == (404, b"")


def test_bad_options_over_grpc(images: ImageServiceStub, photo_id: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"width": -1},
        {"height": 8193},
        {"fit": Rendition.FIT_COVER, "width": 5},
        {"quality": 101},
        {"fit": 77},
        {"format": 77},
        {"animated": True, "format": Rendition.FORMAT_JPEG},
    ]
    for fields in wrong:
        request = DownloadImageRequest(id=photo_id, rendition=Rendition(**fields))
        assert failure(images.DownloadImage, request) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


def test_limits_say_what_may_be_asked_for(channel: grpc.Channel) -> None:
    limits = UploadServiceStub(channel).GetLimits(GetLimitsRequest(), timeout=DEADLINE).renditions
    assert (limits.max_side, limits.max_pixels, limits.max_quality) == (8192, 150_000_000, 100)
    assert (limits.max_seconds, len(limits.formats)) == (60, 4)


def test_what_cannot_be_rendered_is_still_served(start: Callable[..., Server], photograph: bytes) -> None:
    server = start(decode_pixels="1000000")
    ask = asking(server)
    with grpc.insecure_channel(server.address) as channel:
        stub, images = UsuarioServicioStub(channel), ImageServiceStub(channel)
        image_id = store(stub, photograph)
        assert ask(image_id).body == photograph
        assert ask(f"{image_id}?width=10").problem[:2] == (400, "NO_RENDITION")
        request = DownloadImageRequest(id=image_id, rendition=Rendition(width=10))
        assert failure(images.DownloadImage, request) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NO_RENDITION",
        )
        image = images.GetImage(GetImageRequest(id=image_id), timeout=DEADLINE).image
        assert (image.facts.problem, image.facts.blur_hash) == ("PIXELS", "")


def test_a_hundred_at_once_make_one(server: Server, ask: Ask, photo_id: str) -> None:
    ask(f"{photo_id}?width=1000&format=webp&quality=70")  # so that the decoders are warm
    before = busy_seconds(decoders(server.pid))
    ask(f"{photo_id}?width=1000&format=webp&quality=71")
    once = busy_seconds(decoders(server.pid)) - before
    together = threading.Barrier(100)

    def one(_: int) -> bytes:
        together.wait()
        return ask(f"{photo_id}?width=1000&format=webp&quality=72").body

    with ThreadPoolExecutor(100) as threads:
        bodies = set(threads.map(one, range(100)))
    assert len(bodies) == 1
    assert len(kept(server)) == 3
    # CPU time, and not elapsed time, which depends on the load: a hundred renditions would take a
    # hundred times as much.
    assert busy_seconds(decoders(server.pid)) - before - once < 10 * max(once, 0.05)


def test_kept_over_kill_9_and_gone_with_the_last_image(
    server: Server, ask: Ask, photo_id: str, photograph: bytes
) -> None:
    small = ask(f"{photo_id}?width=100&format=webp")
    [path] = kept(server)
    made = path.stat()
    server.kill()
    (server.data_dir / "renditions" / "incoming" / "half").write_bytes(b"half")
    server.start()
    assert kept(server) == [path]
    again = ask(f"{photo_id}?width=100&format=webp")
    assert (again.body, again.headers["etag"]) == (small.body, small.headers["etag"])
    assert (path.stat().st_ino, path.stat().st_ctime) == (made.st_ino, made.st_ctime)
    with grpc.insecure_channel(server.address) as channel:
        images = ImageServiceStub(channel)
        twin = store(UsuarioServicioStub(channel), photograph)
        images.DeleteImage(DeleteImageRequest(id=photo_id), timeout=DEADLINE)
        assert kept(server) == [path]
        assert ask(f"{photo_id}?width=100&format=webp").problem[1] == "IMAGE_NOT_FOUND"
        images.DeleteImage(DeleteImageRequest(id=twin), timeout=DEADLINE)
        assert kept(server) == []


def test_the_cache_is_bounded(start: Callable[..., Server], photograph: bytes) -> None:
    server = start(rendition_cache="20000")
    ask = asking(server)
    with grpc.insecure_channel(server.address) as channel:
        image_id = store(UsuarioServicioStub(channel), photograph)
    bodies = {width: ask(f"{image_id}?width={width}&format=jpeg").body for width in (150, 160, 170, 180)}
    assert sum(path.stat().st_size for path in kept(server)) <= 20000
    # A rendition that was evicted is made again with the same bytes.
    assert ask(f"{image_id}?width=150&format=jpeg").body == bodies[150]
    assert Image.open(io.BytesIO(ask(f"{image_id}?format=png").body)).size == (1280, 853)


def moving() -> bytes:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    return file.getvalue()


def opened(answer: Answer) -> Any:
    """The image; what Pillow knows of it depends on its format."""
    return Image.open(io.BytesIO(answer.body))


def test_an_animation(ask: Ask, stub: UsuarioServicioStub) -> None:
    image_id = store(stub, moving())
    still = ask(f"{image_id}?width=32")
    assert (still.headers["content-type"], opened(still).n_frames) == ("image/png", 1)
    animated = ask(f"{image_id}?width=32&animated=1")
    image = opened(animated)
    assert (image.format, image.n_frames, image.size) == ("WEBP", 3, (32, 24))


def test_who_leaves_early_holds_nothing_up(server: Server, stub: UsuarioServicioStub) -> None:
    """When the client is gone, the rest of a large file is not read, and the server can end at once."""
    picture = bitmap(6000, 4000)
    info = stub.GetStreamImage((GetImage(image=piece) for piece in picture), timeout=DEADLINE).image_info
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET /images/{info.id} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0


def test_a_damaged_original_is_cut_off(server: Server, ask: Ask, stub: UsuarioServicioStub) -> None:
    picture = b"".join(bitmap(1500, 1000))
    image_id = stub.GetStreamImage(iter([GetImage(image=picture)]), timeout=DEADLINE).image_info.id
    digest = sha256(picture).hexdigest()
    blob = server.data_dir / "blobs" / digest[:2] / digest
    with blob.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0" if picture[-1] else b"\1")
    with pytest.raises(http.client.IncompleteRead):
        ask(image_id)


def test_facts_come_by_themselves(server: Server, images: ImageServiceStub, stub, photograph: bytes) -> None:
    events = images.WatchImages(WatchImagesRequest(), timeout=DEADLINE)
    assert next(events).WhichOneof("event") == "heartbeat"
    # ProcessImage returns facts at once.
    info = stub.ProcessImage(GetUserRequest(image=photograph), timeout=DEADLINE).image_info
    assert (info.color_space, len(info.blur_hash), info.dominant_color[0]) == ("RGB", 28, "#")
    assert [next(events).WhichOneof("event") for _ in range(2)] == ["stored", "described"]
    # After all other calls they follow soon, and an event says so.
    picture = b"".join(bitmap(40, 30))
    image_id = stub.GetStreamImage(iter([GetImage(image=picture)]), timeout=DEADLINE).image_info.id
    assert next(events).stored.id == image_id
    described = next(events).described
    assert (described.id, described.facts.color_space, described.facts.bits_per_sample) == (
        image_id,
        "RGB",
        8,
    )
    assert images.GetImage(GetImageRequest(id=image_id), timeout=DEADLINE).image.facts == described.facts
    # For bytes that are known already they are there at once.
    twin = stub.GetStreamImage(iter([GetImage(image=picture)]), timeout=DEADLINE).image_info.id
    stored = next(events).stored
    assert (stored.id, stored.facts) == (twin, described.facts)
    events.cancel()


def test_facts_of_what_a_killed_server_left(server: Server, start, photograph: bytes) -> None:
    """At its start the server describes all images without facts, such as those of an older version."""
    with grpc.insecure_channel(server.address) as channel:
        image_id = store(UsuarioServicioStub(channel), photograph)
    server.kill()
    with closing(sqlite3.connect(server.data_dir / "catalog.sqlite3")) as catalog, catalog:
        catalog.execute("DELETE FROM facts")
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        images = ImageServiceStub(channel)
        events = images.WatchImages(WatchImagesRequest(resume_token="0"), timeout=DEADLINE)
        seen = []
        for event in events:
            seen.append(event.WhichOneof("event"))
            if seen.count("described") == 2:
                break
        events.cancel()
        image = images.GetImage(GetImageRequest(id=image_id), timeout=DEADLINE).image
        assert len(image.facts.blur_hash) == 28
    assert server.stop(signal=signal.SIGTERM) == 0


async def test_what_nobody_waits_for_is_not_made(start: Callable[..., Server]) -> None:
    """Not even the rendition that a decoder has begun: its process is ended."""
    server = start(decode_workers="1", decode_seconds="600")
    (prompt,) = decoders(server.pid)  # the other one starts when there is something to describe
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        large = stub.GetStreamImage(
            (GetImage(image=piece) for piece in bitmap(7000, 5000)), timeout=DEADLINE
        ).image_info.id
        small = stub.ProcessImage(GetUserRequest(image=b"".join(bitmap(30, 20))), timeout=DEADLINE)
    before = busy_seconds([prompt])
    impatient = []
    for width in range(6000, 6012):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        path = f"/images/{large}?format=avif&width={width}"
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        impatient.append(connection)
    await until(lambda: busy_seconds([prompt]) > before + 0.3)
    for connection in impatient:
        connection.close()
    await until(lambda: not prompt.is_running() or prompt not in decoders(server.pid))
    assert asking(server)(f"{small.image_info.id}?width=10").status == 200
    assert "Traceback" not in server.log
