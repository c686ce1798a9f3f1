"""The page in a real browser, against a real server.

CONEXIONES_FILM_BYTES sets the size of the file during whose upload the server is killed (50 MB).
`make faults` takes 300 MB.
"""

import asyncio
import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

import conexiones
from conexiones import Client
from conexiones.gen.conexiones.v1.images_pb2 import (
    DownloadImageRequest,
    ListImagesRequest,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.testing import Server
from tests.page.browser import Browser, large
from tests.page.gate import gate
from tests.page.pictures import landscape
from tests.support.clients import need
from tests.support.lengths import brief
from tests.support.node import built
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE, until

MB = 10**6
FILM = int(os.environ.get("CONEXIONES_FILM_BYTES", str(5 * MB)))


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], list[str]]:
    """Makes `count` files, each with a different image."""

    def make(count: int, first: int = 0) -> list[str]:
        paths = [tmp_path / f"picture {i}.jpg" for i in range(first, first + count)]
        for i, path in enumerate(paths, first):
            path.write_bytes(landscape(i))
        return [str(path) for path in paths]

    return make


@pytest.fixture
def stored(gallery: Server) -> list[str]:
    """The ids of three stored images, newest first."""
    return store(gallery, 3)


def store(server: Server, count: int, first: int = 0) -> list[str]:
    """The ids, newest first, once all are described: until then, the page asks for pictures of images that
    have none."""
    with Client(server.address) as client:
        ids = [client.upload(landscape(i)).id for i in range(first, first + count)][::-1]
        asyncio.run(until(lambda: all(client.image(one).facts for one in ids)))
        return ids


def images(server: Server) -> list[Any]:
    with grpc.insecure_channel(server.address) as channel:
        return list(ImageServiceStub(channel).ListImages(ListImagesRequest(page_size=1000)).images)


def digest(server: Server, image_id: str) -> str:
    """The SHA-256 of the image as the server returns it, in hexadecimal."""
    found = hashlib.sha256()
    with grpc.insecure_channel(server.address) as channel:
        for frame in ImageServiceStub(channel).DownloadImage(DownloadImageRequest(id=image_id)):
            found.update(frame.data)
    return found.hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_files_are_uploaded_by_the_file_input(
    browser: Browser, gallery: Server, pictures: Callable[[int], list[str]]
) -> None:
    files = pictures(5)
    shown = browser.play("input", gallery, files=files, empty="No images yet", thumbnails=True, shot="light")
    there = images(gallery)
    assert shown == [image.id for image in there]
    assert {image.sha256.hex() for image in there} == {of_file(Path(path)) for path in files}


def test_files_and_folders_are_uploaded_by_drop_and_by_paste(
    browser: Browser, gallery: Server, tmp_path: Path, pictures: Callable[[int], list[str]]
) -> None:
    folder = tmp_path / "holidays" / "beach"
    folder.mkdir(parents=True)
    for i in (20, 21):
        (folder / f"{i}.jpg").write_bytes(landscape(i))
    (folder / "notes.txt").write_text("no image")
    pasted = base64.b64encode(landscape(30)).decode()
    dropped = [*pictures(2), str(tmp_path / "holidays")]
    browser.play("drop", gallery, dropped=dropped, count=4, pasted=pasted)
    assert len(images(gallery)) == 5


def test_an_upload_goes_on_when_the_server_is_killed_in_the_middle(
    browser: Browser, server: Server, tmp_path: Path, photograph: bytes
) -> None:
    file = large(tmp_path / "film.jpg", photograph, FILM)
    store(server, 4)
    answers = {"kill": server.kill, "start": server.start}
    given = {"file": str(file), "count": 4, "timeout": 400_000, "shot": "light"}
    with gate(server, FILM // 2) as gated:
        browser.play("restart", gated, answers, remarks=True, **given)
    image = images(server)[0]
    assert digest(server, image.id) == of_file(file)


def test_an_upload_goes_on_when_the_page_is_loaded_again(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes, pictures: Callable[[int], list[str]]
) -> None:
    size = 5 * MB
    file = large(tmp_path / "film.jpg", photograph, size)
    with gate(gallery, size // 2) as gated:
        sent = browser.play("reload", gated, file=str(file), other=pictures(1)[0], shot="light")
    [image] = images(gallery)
    assert digest(gallery, image.id) == of_file(file)
    assert 0 < sent < 0.75 * size, "what was there before was sent again"


def test_a_dropped_file_goes_on_without_being_chosen_again(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes
) -> None:
    file = large(tmp_path / "film.jpg", photograph, 5 * MB)
    with gate(gallery, 5 * MB // 2) as gated:
        browser.play("handle", gated, file=str(file))
    [image] = images(gallery)
    assert digest(gallery, image.id) == of_file(file)


def test_an_upload_pauses_goes_on_and_is_cancelled(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes
) -> None:
    file = large(tmp_path / "film.jpg", photograph, 12 * MB)
    # After the first chunk, of 2 MiB, and after the first one that follows the pause.
    with gate(gallery, 3 * MB, 6 * MB) as gated:
        browser.play("pausing", gated, file=str(file))
    assert images(gallery) == []


@pytest.mark.parametrize(
    ("locale", "says"),
    [
        ("en-GB", "The bytes are not an image of any known format."),
        ("es-MX", "Los bytes no son una imagen de ningún formato conocido."),
    ],
)
def test_what_is_no_image_is_refused_in_the_users_language(
    browser: Browser, gallery: Server, tmp_path: Path, locale: str, says: str
) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no image at all, whatever its name says")
    assert browser.play("refused", gallery, files=[str(text)], locale=locale) == says


def test_what_one_window_uploads_another_shows(
    browser: Browser, gallery: Server, pictures: Callable[..., list[str]]
) -> None:
    milliseconds = browser.play("two", gallery, files=pictures(1), more=pictures(1, 1))
    print(f"milliseconds after it was stored: {milliseconds}")


def test_what_was_stored_while_the_connection_was_lost_is_seen(browser: Browser, server: Server) -> None:
    def start_and_store() -> None:
        server.start()
        store(server, 1)

    def delete_all() -> None:
        with Client(server.address) as client:
            for image in images(server):
                client.delete(image.id)

    answers = {
        "kill": server.kill,
        "start and store": start_and_store,
        "store": lambda: store(server, 1, 1) and None,
        "delete all": delete_all,
    }
    browser.play("reconnect", server, answers, remarks=True)


def test_all_of_it_is_usable_by_keyboard(browser: Browser, gallery: Server, stored: list[str]) -> None:
    browser.play("keyboard", gallery, count=3, ids=stored)


def test_details_have_facts_downloads_and_programs_that_fetch_the_image(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes
) -> None:
    with Client(gallery.address) as client:
        image = client.upload(photograph)
        asyncio.run(until(lambda: client.image(image.id).facts))
    wanted = hashlib.sha256(photograph).hexdigest()
    saved = tmp_path / "saved.jpg"
    programs = browser.play(
        "details",
        gallery,
        id=image.id,
        sha256=wanted,
        dimensions="1,280 × 853",
        save=str(saved),
        thumbnails=True,
        shot="light",
    )
    assert of_file(saved) == wanted
    assert programs.keys() == {"Python", "Node", "CLI", "curl"}
    for name, text in programs.items():
        folder = tmp_path / name
        folder.mkdir()
        run(name, text, folder)
        assert of_file(folder / f"{image.id}.jpg") == wanted, name


def run(name: str, text: str, folder: Path) -> None:
    """Runs a program that the page shows, as a reader would."""
    command = text.split()
    if name == "Python":
        command = [sys.executable, "-c", text]
    elif name == "Node":
        command = [built(), "--input-type=module", "-e", text]
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / "conexiones").symlink_to(ROOT / "node")
    elif name == "CLI":
        assert command[0] == "conexiones"
        command = [sys.executable, "-m", *command]
    else:
        command = [need("curl", "apt install curl"), *command[1:], "--silent", "--show-error"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def test_a_deletion_is_done_when_the_page_is_left(
    browser: Browser, gallery: Server, stored: list[str]
) -> None:
    with grpc.insecure_channel(gallery.address) as channel:
        feed = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), timeout=4 * DEADLINE)

        def still_there() -> None:
            assert next(feed).WhichOneof("event") == "heartbeat", "from now on nothing is missed"
            assert len(images(gallery)) == 3

        def left() -> None:
            assert any(event.deleted_id == stored[0] for event in feed)
            feed.cancel()
            assert len(images(gallery)) == 2

        browser.play("deletion", gallery, {"still there": still_there, "gone": left}, id=stored[0], count=3)


def test_the_tutorials_calls_can_be_tried(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes
) -> None:
    file, bad = tmp_path / "photo.jpg", tmp_path / "notes.txt"
    file.write_bytes(photograph)
    bad.write_text("no image")
    version = conexiones.__version__
    found = browser.play(
        "trying",
        gallery,
        version=version,
        file=str(file),
        bad=str(bad),
        locale="es-ES",
        send="Enviar",
        shot="light",
    )
    greeting, again, processed, refused = found["answers"]
    assert '"powSquared": "144"' in again
    web, connect, error = found["wires"]
    for line in (
        "→ POST /user.UsuarioServicio/GetUser",
        "content-type: application/grpc-web+proto",
        "00 00 00 00 07  user.GetUserRequest, 7 bytes",
        '1 name: "Ada"  (0a 03 41 64 61)',
        "2 pow: 12  (10 0c)",
        " 200",  # with the protocol, if the browser tells it in time
        "3 pow_squared: 144  (18 90 01)",
        "grpc-status:0",
    ):
        assert line in web
    assert '{"name":"Ada","pow":12}' in connect
    assert '"powSquared": "144"' in connect
    assert "grpc-status: 3" in error
    assert "24 h sin un byte, o 7 días en total" in found["state"]
    assert '"powSquared": "144"' in greeting
    assert '"format": "JPEG"' in processed
    assert "Los bytes no son una imagen" in refused
    assert {path for path, _ in found["calls"]} == {
        "/user.UsuarioServicio/GetUser",
        "/user.UsuarioServicio/ProcessImage",
    }
    assert {kind for _, kind in found["calls"]} == {"application/grpc-web+proto", "application/json"}


@pytest.mark.parametrize("look", brief(["light", "dark", "phone"], {"light"}))
def test_nothing_stands_in_the_way_of_a_screen_reader(
    browser: Browser, gallery: Server, tmp_path: Path, photograph: bytes, look: str
) -> None:
    store(gallery, 5)
    with Client(gallery.address) as client:
        image = client.upload(photograph)
        asyncio.run(until(lambda: client.image(image.id).facts))
    bad = tmp_path / "notes.png"
    bad.write_text("no image")
    found = browser.play(
        "accessible",
        gallery,
        count=6,
        bad=str(bad),
        tryIt="Try the service" if look != "phone" else "Probar el servicio",
        locale="en-US" if look != "phone" else "es-ES",
        dark=look == "dark",
        phone=look == "phone",
        thumbnails=True,
        shot=look,
    )
    assert found == []
