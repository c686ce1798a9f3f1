"""Uploads of the page, in a real browser. What becomes of them when the server is killed, or the page loaded
again, is in test_in_browser.py."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones import Client
from conexiones.testing import Server
from tests.page.browser import Browser
from tests.page.pictures import landscape
from tests.support.waiting import until


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Writes a file of that name."""

    def write(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


def test_a_few_workers_send_all_files(
    browser: Browser, start: Callable[..., Server], file: Callable[[str, bytes], str], tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    server = start(access_log=str(log), log_format="json")
    files = [file(f"{number}.jpg", landscape(number)) for number in range(20)]
    found = browser.play("workers", server, files=files)
    assert found["made"] <= 3
    of_workers = ("/UploadImage", "/WriteChunk", "/FinishUpload")
    assert not [path for path in found["sent"] if path.endswith(of_workers)]
    server.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    sent = [line["trace_id"] for line in lines if line["path"].endswith(of_workers)]
    assert len(sent) >= len(files)
    assert len({*sent}) == 1  # they were added together
    others = [line["trace_id"] for line in lines if line["protocol"] == "grpc"]
    assert all(others)
    assert len({*others}) > 1


def test_many_small_files_are_each_stored_once(
    browser: Browser, gallery: Server, file: Callable[[str, bytes], str]
) -> None:
    pictures = [landscape(number, 160, 120) for number in range(40)]
    files = [file(f"{number}.jpg", picture) for number, picture in enumerate(pictures)]
    browser.play("burst", gallery, files=files)
    with Client(gallery.address) as client:
        stored = {image.name: image.sha256 for image in client.images()}
        assert len(list(client.images())) == len(files)
    assert stored == {
        f"{number}.jpg": hashlib.sha256(picture).digest() for number, picture in enumerate(pictures)
    }


@pytest.mark.parametrize(
    ("locale", "empty"), [("en-US", "The file is empty."), ("es-ES", "El archivo está vacío.")]
)
def test_only_what_was_stored_is_done(
    browser: Browser, gallery: Server, file: Callable[[str, bytes], str], locale: str, empty: str
) -> None:
    bad = [file("notes.png", b"no image"), file("empty.jpg", b"")]
    good, more = ([file(f"{number}.jpg", landscape(number))] for number in (0, 1))
    words = ENDINGS[locale]
    found = browser.play("endings", gallery, bad=bad, good=good, more=more, locale=locale, words=words)
    assert found["said"] == words["said"]
    assert empty in found["why"]


ENDINGS = {
    "en-US": {
        "all": "Try all again",
        "clear": "Clear the list",
        "said": ["2 refused", "1 stored, 2 refused", "All uploads are done"],
    },
    "es-ES": {
        "all": "Reintentar todos",
        "clear": "Vaciar la lista",
        "said": [
            "2 rechazadas",
            "1 guardada, 2 rechazadas",
            "Todos los envíos han terminado",
        ],
    },
}


def test_the_list_of_uploads_covers_no_image_and_has_buttons_for_all(
    browser: Browser, server: Server, file: Callable[[str, bytes], str]
) -> None:
    with Client(server.address) as client:
        ids = [client.upload(landscape(number)).id for number in range(30)]
        asyncio.run(until(lambda: all(client.image(one).facts for one in ids)))
    files = [file(f"{number}.jpg", landscape(number)) for number in range(30, 34)]
    answers = {"kill": server.kill, "start": server.start}
    widths = [360, 768, 1000, 1280]
    found = browser.play(
        "tray", server, answers, files=files, count=30, widths=widths, remarks=True, shot="light"
    )
    assert found["wrong"] == []
    assert found["total"].startswith("0 B of ")
    assert found["kind"] == "beforeunload"


def test_an_upload_is_remembered_for_as_long_as_the_server_keeps_it(
    browser: Browser, gallery: Server
) -> None:
    hours = {
        "a moment ago": {"begun": 1, "touched": 1},
        "nearly expired": {"begun": 167, "touched": 23},
        "idle for a day": {"begun": 30, "touched": 25},
        "open for a week": {"begun": 169, "touched": 1},
    }
    listed = browser.play("remembered", gallery, hours=hours, count=2)
    assert sorted(listed) == ["a moment ago", "nearly expired"]
