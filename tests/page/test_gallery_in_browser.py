"""What the page shows, in a real browser: the gallery, one image, and the way between them."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from conexiones import Client
from conexiones.testing import Server
from tests.page.browser import Browser
from tests.page.many import copies
from tests.page.pictures import landscape
from tests.support.waiting import until

WIDTHS = [360, 600, 768, 780, 820, 900, 1000, 1100, 1280, 1600]


def store(server: Server, *images: bytes) -> list[str]:
    """The ids, in the order of the images, once all are described: until then, the page asks for pictures of
    images that have none, and takes each for one that may be transparent."""
    with Client(server.address) as client:
        ids = [client.upload(image).id for image in images]
        asyncio.run(until(lambda: all(client.image(one).facts for one in ids)))
        return ids


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_thumbnails_come_when_a_server_that_was_away_is_back(browser: Browser, server: Server) -> None:
    store(server, *(landscape(number) for number in range(60)))
    answers = {"kill": server.kill, "start": server.start}
    browser.play("away", server, answers, remarks=True, shot="light")


def test_an_image_is_not_said_to_be_gone_while_the_server_is_away(browser: Browser, server: Server) -> None:
    store(server, landscape(0))
    unknown = "01900000-0000-7000-8000-000000000000"
    answers = {"kill": server.kill, "start": server.start}
    browser.play("address", server, answers, count=1, unknown=unknown, remarks=True)


@pytest.mark.parametrize(
    ("locale", "says"),
    [("en-US", "Too many pixels to be shown"), ("es-ES", "Demasiados píxeles para mostrarla")],
)
def test_an_image_without_a_picture_says_why(
    browser: Browser, emptied: Callable[..., Server], locale: str, says: str
) -> None:
    server = emptied(decode_pixels="100000")
    store(server, landscape(0, format="PNG"))
    shown, label, note = browser.play("unseen", server, locale=locale, shot=locale)
    assert says in shown
    assert label.endswith(says)
    assert note.startswith(says)


@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
def test_the_bar_has_room_in_windows_of_all_widths(browser: Browser, server: Server, locale: str) -> None:
    store(server, landscape(0))
    answers = {"kill": server.kill}
    given = {"count": 1, "widths": WIDTHS, "locale": locale, "shot": locale}
    assert browser.play("bar", server, answers, remarks=True, **given) == []


def test_the_page_is_as_long_as_all_images_and_end_reaches_the_last(browser: Browser, server: Server) -> None:
    store(server, landscape(0))
    server.stop()
    copies(server, 1_999)
    server.start()
    found = browser.play("end", server, count=2_000)
    assert found["before"] == found["after"]
    assert found["title"] == "2,000 images · Conexiones"


def test_escape_and_back_close_an_image_and_leave_the_page(browser: Browser, gallery: Server) -> None:
    ids = store(gallery, landscape(0), landscape(1))
    browser.play("back", gallery, count=2, id=ids[0])


def test_an_image_is_deleted_by_the_key_in_the_gallery(browser: Browser, gallery: Server) -> None:
    ids = store(gallery, *(landscape(number) for number in range(3)))
    browser.play("deleting", gallery, ids=ids[::-1])


def test_an_image_has_the_name_of_its_file(browser: Browser, gallery: Server, tmp_path: Path) -> None:
    # Its name is decomposed, as on a Mac.
    paths = [tmp_path / "Ma\u0301laga 1 (copia).png", tmp_path / "Ronda #2?.jpg"]
    for number, path in enumerate(paths):
        path.write_bytes(landscape(number, format="PNG" if path.suffix == ".png" else "JPEG"))
    name = "Málaga 1 (copia).png"
    files = [str(path) for path in paths]
    saved = browser.play("names", gallery, files=files, part="MÁLAGA", name=name, shot="light")
    assert saved == [name, "Málaga 1 (copia).webp"]
    with Client(gallery.address) as client:
        assert {image.name for image in client.images()} == {name, "Ronda #2?.jpg"}


def test_files_dropped_on_an_image_are_uploaded_and_nothing_leaves_the_page(
    browser: Browser, gallery: Server, tmp_path: Path
) -> None:
    [shown] = store(gallery, landscape(0))
    file = tmp_path / "another.jpg"
    file.write_bytes(landscape(1))
    browser.play("dropped", gallery, id=shown, files=[str(file)], count=2)


def test_transparent_and_tiny_images_are_drawn_as_they_are(browser: Browser, gallery: Server) -> None:
    logo = Image.new("RGBA", (400, 300))
    ImageDraw.Draw(logo).ellipse((80, 40, 320, 260), fill="black")
    icon = Image.new("RGBA", (16, 16))
    ImageDraw.Draw(icon).rectangle((3, 3, 12, 12), fill="red")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:08:12 17:45:10"
    photo = encoded(Image.open(io.BytesIO(landscape(0))), "JPEG", exif=exif)
    images = {"logo": encoded(logo, "PNG"), "icon": encoded(icon, "PNG"), "photo": photo}
    ids = dict(zip(images, store(gallery, *images.values()), strict=True))
    found = browser.play("drawn", gallery, ids=ids, count=3, taken={"photo": True}, shot="light")
    for name in ("logo", "icon"):
        assert found[name]["tile"]["behind"] == "repeating-conic-gradient"
        assert found[name]["view"]["behind"] == "repeating-conic-gradient"
    assert {found[name]["tile"]["placeholder"] for name in found} <= {"hidden", "none"}
    assert found["photo"]["view"]["behind"] == "none"
    assert found["icon"]["tile"]["rendering"] == found["icon"]["view"]["rendering"] == "pixelated"
    assert found["photo"]["tile"]["rendering"] == found["photo"]["view"]["rendering"] == "auto"
    assert found["icon"]["tile"]["scale"] == int(found["icon"]["tile"]["scale"]) > 1
    assert found["icon"]["view"]["scale"] == 16
    size = len(images["icon"])
    assert size < 1000
    assert f"{size} B" in found["icon"]["facts"]
    assert f"({size} B)" not in found["icon"]["facts"]
    assert "16 × 16, 256 pixels" in found["icon"]["facts"]
    assert "0.2 megapixels" in found["photo"]["facts"]
    assert "Taken\nAug 12, 2019, 5:45" in found["photo"]["facts"]
    assert "Taken" not in found["logo"]["facts"]
