"""Texts, comments, names and profiles may hold any bytes: an image is described and rendered all the same."""

import asyncio
import contextlib
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageCms

from conexiones.domain.formats import probe
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters
from tests.support.corpus import chunk
from tests.support.orientations import exif
from tests.support.tiffs import tiff

PICTURE = quarters(40, 30)
FEW = PICTURE.quantize(4)

TEXTS = {
    "Latin-1": "Título".encode("latin-1"),
    "UTF-16": "Título".encode("utf-16"),
    "UTF-8": "Título 🐘".encode(),
    "no text": bytes(range(256)),
    "NUL": b"a\0b\0\0c",
    "half a character": "é".encode()[:1],
    "long": b"\xe9" * 5000,
    "empty": b"",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


def png(*chunks: bytes) -> bytes:
    data = encoded(PICTURE, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def pngs(text: bytes) -> dict[str, bytes]:
    squeezed, word = zlib.compress(text), text.replace(b"\0", b"")
    return {
        "tEXt": png(chunk(b"tEXt", word[:79] + b"\0" + text)),
        "tEXt without a value": png(chunk(b"tEXt", text)),
        "zTXt": png(chunk(b"zTXt", word[:79] + b"\0\0" + squeezed)),
        "zTXt, not compressed": png(chunk(b"zTXt", word[:79] + b"\0\0" + text)),
        "zTXt, another method": png(chunk(b"zTXt", word[:79] + b"\0\7" + squeezed)),
        "iTXt": png(chunk(b"iTXt", word[:79] + b"\0\0\0" + word + b"\0" + word + b"\0" + text)),
        "iTXt, compressed": png(chunk(b"iTXt", b"k\0\1\0" + word + b"\0" + word + b"\0" + squeezed)),
        "iTXt, half": png(chunk(b"iTXt", word[:79] + b"\0\1")),
        "iCCP": png(chunk(b"iCCP", word[:79] + b"\0\0" + squeezed)),
        "iCCP, not compressed": png(chunk(b"iCCP", word[:79] + b"\0\0" + text)),
        "eXIf": png(chunk(b"eXIf", text)),
        "tIME": png(chunk(b"tIME", text)),
        "sPLT": png(chunk(b"sPLT", word[:79] + b"\0" + text)),
        "an unknown chunk": png(chunk(b"teSt", text)),
        "after the pixels": encoded(PICTURE, "PNG")[:-12]
        + chunk(b"tEXt", word[:79] + b"\0" + text)
        + chunk(b"IEND", b""),
        "many": png(*(chunk(b"tEXt", word[:70] + b"%d\0" % at + text) for at in range(1100))),
        "a wrong CRC": png(chunk(b"tEXt", word[:79] + b"\0" + text)[:-1] + b"\0"),
    }


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    data = encoded(PICTURE, "JPEG", quality=95, subsampling=0)
    parts = (struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content for marker, content in segments)
    return data[:2] + b"".join(parts) + data[2:]


def described_by(text: bytes) -> bytes:
    """EXIF with that as description, artist and copyright."""
    return exif("<", *((tag, 2, len(text), text) for tag in (0x010E, 0x013B, 0x8298)))


def jpegs(text: bytes) -> dict[str, bytes]:
    return {
        "COM": jpeg((0xFE, text)),
        "EXIF": jpeg((0xE1, b"Exif\0\0" + described_by(text))),
        "EXIF that is none": jpeg((0xE1, b"Exif\0\0" + text)),
        "XMP": jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)),
        "ICC": jpeg((0xE2, b"ICC_PROFILE\0\1\1" + text)),
        "half of ICC": jpeg((0xE2, b"ICC_PROFILE\0\1\3" + text)),
        "IPTC": jpeg((0xED, b"Photoshop 3.0\0" + text)),
        "JFIF": jpeg((0xE0, b"JFIF\0" + text)),
        "JFXX": jpeg((0xE0, b"JFXX\0" + text)),
        "APP4": jpeg((0xE4, text)),
    }


def gifs(text: bytes) -> dict[str, bytes]:
    data = encoded(FEW, "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    pieces = (text[at : at + 255] for at in range(0, len(text), 255))
    blocks = b"".join(bytes((len(piece),)) + piece for piece in pieces)
    made = {
        "comment": b"!\xfe" + blocks + b"\0",
        "application": b"!\xff\x0b" + text[:11].ljust(11, b"\xe9") + blocks + b"\0",
        "XMP": b"!\xff\x0bXMP DataXMP" + blocks + b"\0",
        "plain text": b"!\x01\x0c" + bytes(12) + blocks + b"\0",
        "an unknown extension": b"!\x42" + blocks + b"\0",
    }
    return {name: data[:start] + block + data[start:] for name, block in made.items()}


def webps(text: bytes) -> dict[str, bytes]:
    made = {}
    for name, option in (("ICC", "icc_profile"), ("XMP", "xmp"), ("EXIF", "exif")):
        made[name] = encoded(PICTURE, "WEBP", lossless=True, **{option: text or b"\xe9"})
    made["EXIF texts"] = encoded(PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0" + described_by(text))
    return made


def tiffs(text: bytes) -> dict[str, bytes]:
    size, pixels = PICTURE.size, [PICTURE.tobytes()]
    made = {
        name: tiff(size, pixels, (tag, kind, max(1, len(text)), text or b"\0"))
        for name, tag, kind in (
            ("description", 270, 2), ("software", 305, 2), ("XMP", 700, 1), ("ICC", 34675, 7),
            ("IPTC", 33723, 7), ("Photoshop", 34377, 1), ("an own field", 60000, 2), ("page name", 285, 2),
        )
    }  # fmt: skip
    made["INFO of libtiff"] = tiff(
        size, pixels, (270, 2, max(1, len(text)), text or b"\xe9"), (305, 7, 1, b"\xe9")
    )
    return made


def avifs(text: bytes) -> dict[str, bytes]:
    return {
        "XMP": encoded(PICTURE, "AVIF", quality=95, xmp=text or b"\xe9", subsampling="4:4:4"),
        "EXIF": encoded(PICTURE, "AVIF", quality=95, exif=described_by(text), subsampling="4:4:4"),
    }


FILES = {"PNG": pngs, "JPEG": jpegs, "GIF": gifs, "WEBP": webps, "TIFF": tiffs, "AVIF": avifs}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("format", FILES)
async def test_metadata_do_not_matter(decoder: Pool, tmp_path: Path, format: ImageFormat, text: str) -> None:
    path, into = tmp_path / "image", tmp_path / "made"
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    wrong = {}
    for name, data in FILES[format](TEXTS[text]).items():
        path.write_bytes(data)
        header = probe(data)
        with contextlib.suppress(FileNotFoundError):
            into.unlink()
        try:
            facts = await decoder.describe(path, format=format)
            rendered = await decoder.render(path, into, format=format, recipe=recipe)
        except Exception as error:
            wrong[name] = repr(error)
            continue
        image = opened(into.read_bytes()).convert("RGB")
        if (facts.problem, rendered.width, rendered.height) != ("", header.width, header.height):
            wrong[name] = f"{facts}, {rendered}"
        elif distance(image, PICTURE) > 6:
            wrong[name] = f"other pixels: {distance(image, PICTURE)}"
    assert wrong == {}


async def test_facts_of_a_profile_that_is_kept(decoder: Pool, tmp_path: Path) -> None:
    """What is written is another file with the same metadata in it."""
    path, into = tmp_path / "image", tmp_path / "made"
    path.write_bytes(png(chunk(b"tEXt", TEXTS["Latin-1"] + b"\0" + TEXTS["no text"])))
    for fit in ("INSIDE", "COVER", "CONTAIN"):
        for format in ("JPEG", "PNG", "WEBP", "AVIF"):
            recipe = Recipe(
                width=20, height=20, fit=fit, format=format, quality=90 * (format != "PNG"), animated=True,
                keep_profile=True,
            )  # fmt: skip
            await decoder.render(path, into, format="PNG", recipe=recipe)
            made = Image.open(io.BytesIO(into.read_bytes()))
            assert max(made.size) == 20


def profiles() -> dict[str, bytes]:
    """Colour profiles that no conversion can be made with, and such as are for other colours."""
    sound = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = 128
    return {
        "without tags": sound[:tags] + bytes(4) + sound[tags + 4 :],
        "with too many tags": sound[:tags] + b"\xff" * 4 + sound[tags + 4 :],
        "with tags of nothing": sound[: tags + 4] + bytes(len(sound) - tags - 4),
        "half": sound[: len(sound) // 2],
        "a header": sound[:tags],
        "of another class": sound[:12] + b"link" + sound[16:],
        "of grey": sound[:16] + b"GRAY" + sound[20:],
        "of L*a*b*": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        "of XYZ": ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes(),
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
async def test_a_profile_that_cannot_be_used_does_not_matter(
    decoder: Pool, tmp_path: Path, format: ImageFormat
) -> None:
    path, into = tmp_path / "image", tmp_path / "made"
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    wrong = {}
    for name, profile in profiles().items():
        PICTURE.save(path, format, icc_profile=profile, quality=95)
        try:
            facts = await decoder.describe(path, format=format)
            await decoder.render(path, into, format=format, recipe=recipe)
        except Exception as error:
            wrong[name] = repr(error)
            continue
        away = distance(opened(into.read_bytes()).convert("RGB"), PICTURE)
        if facts.problem or away > 8:
            wrong[name] = f"{facts}, {away}"
    assert wrong == {}


async def test_exif_of_an_avif_sequence_is_read_in_the_sandbox(decoder: Pool, tmp_path: Path) -> None:
    """Pillow loads what it reads EXIF with only then."""
    path, into = tmp_path / "image", tmp_path / "made"
    made = Image.Exif()
    made[0x010F] = "a camera"
    PICTURE.save(path, "AVIF", exif=made, save_all=True, append_images=[PICTURE.rotate(180)], quality=95)
    header = probe(await asyncio.to_thread(path.read_bytes))
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    rendered = await decoder.render(path, into, format="AVIF", recipe=recipe)
    assert header.frames == 2
    assert (rendered.width, rendered.height) == (header.width, header.height)
