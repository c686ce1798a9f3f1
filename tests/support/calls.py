"""The calls to which all clients must get the same answers: good ones, and one for every refusal."""

import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from conexiones import errors
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from tests.support.clients import Call
from tests.support.corpus import broken, chunk, encoded, images

USUARIO = "/user.UsuarioServicio"
GET_USER = f"{USUARIO}/GetUser"
PROCESS_IMAGE = f"{USUARIO}/ProcessImage"
GET_STREAM_IMAGE = f"{USUARIO}/GetStreamImage"
IMAGE_STREAM_REPLY = f"{USUARIO}/ImageStreamReply"
GET_USER_BIDI_STREAM = f"{USUARIO}/GetUserBidiStream"

SETTINGS: dict[str, Any] = {
    "max_message_bytes": "1MiB",
    "max_image_bytes": "512KiB",
    "decode_pixels": "1000000",
}
"""Of the server that the calls are made to: limits that small messages reach."""

MAX_MESSAGE, MAX_IMAGE, DECODE_PIXELS = 2**20, 2**19, 1_000_000
MAX_PIXELS = 1_000_000_000

INKSCAPE = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!-- Created with Inkscape (http://www.inkscape.org/) -->

<svg width="210mm" height="297mm" version="1.1" xmlns="http://www.w3.org/2000/svg"/>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Good(Call):
    """`replies` are the expected ones; a reply may have more fields than they have."""

    replies: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad(Call):
    error: errors.ConexionesError
    json_error: errors.ConexionesError | None = None
    """The error of the JSON codecs where it has less detail."""


def user(name: str = "", pow: int = 0, image: bytes = b"") -> bytes:
    return GetUserRequest(name=name, pow=pow, image=image).SerializeToString()


def image(data: bytes) -> bytes:
    return GetImage(image=data).SerializeToString()


def fragments(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(image(data[at : at + size]) for at in range(0, len(data), size))


def png(width: int, height: int, *, padding: int = 0) -> bytes:
    """A PNG with a sound structure, `padding` bytes in an unknown chunk, and a single row of pixels."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"paDd": bytes(padding),
        b"IDAT": zlib.compress(bytes(width + 1)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts.items())


@cache
def good() -> list[Good]:
    jpeg, tall = images()["JPEG baseline"], images()["PNG tall"]
    facts = {"format": "JPEG", "width": 37, "height": 23, "frames": 1, "pixels": "851"}
    facts["sizeBytes"] = str(len(jpeg))
    # More pixels than are decoded for a preview.
    wide = images()["GIF screen 3000x20"]
    return [
        Good(
            name="user by name alone",
            path=GET_USER,
            messages=(user("Zoé"),),
            replies=({"user": {"name": "Zoé"}},),
        ),
        Good(
            name="user with pow and image",
            path=GET_USER,
            messages=(user("Íñigo 🐘", -(2**31), jpeg),),
            replies=(
                {
                    "user": {
                        "name": "Íñigo 🐘",
                        "pow": -(2**31),
                        "powSquared": str(2**62),
                        "imageId": "…",
                    },
                    "imageInfo": facts,
                },
            ),
        ),
        Good(
            name="name of 256 characters",
            path=GET_USER,
            messages=(user("ñ" * 256),),
            replies=({"user": {"name": "ñ" * 256}},),
        ),
        *(
            Good(
                name=f"image {name}",
                path=PROCESS_IMAGE,
                messages=(user(image=data),),
                replies=({"imageInfo": {"format": name.split()[0]}},),
            )
            for name, data in images().items()
            if name in {"PNG rgb", "GIF animated", "WEBP lossy", "TIFF multipage", "BMP 24 bit", "AVIF 8 bit"}
        ),
        Good(
            name="image in fragments of one byte",
            path=GET_STREAM_IMAGE,
            messages=(*fragments(jpeg[:40], 1), image(b""), *fragments(jpeg[40:], 300)),
            replies=({"imageInfo": facts},),
        ),
        Good(
            name="images, good and bad",
            path=IMAGE_STREAM_REPLY,
            messages=(image(jpeg), image(b"no image"), image(tall), image(b"")),
            replies=(
                {"imageInfo": facts},
                {"error": {"code": 3, "reason": "NOT_AN_IMAGE"}},
                {"imageInfo": {"format": "PNG", "width": 1, "height": 3000}},
                {"error": {"code": 3, "reason": "EMPTY_IMAGE"}},
            ),
        ),
        Good(name="no images at all", path=IMAGE_STREAM_REPLY, messages=(), replies=()),
        Good(
            name="users in a stream",
            path=GET_USER_BIDI_STREAM,
            messages=(
                user("Ana", 46340, jpeg),
                user("Ana", 46341, jpeg),
                user(""),
                user("Zoé"),
                user("Luis", 1, png_of(1001, 1000)),
                user("Eva", 2, wide),
            ),
            replies=(
                {"name": "Ana", "pow": 46340**2},
                {"name": "Ana", "imageInfo": facts, "errors": [{"code": 11, "reason": "POW_OVERFLOW"}]},
                {"errors": [{"code": 3, "reason": "EMPTY_NAME"}]},
                {"name": "Zoé", "user": {"name": "Zoé"}},
                {"name": "Luis", "pow": 1, "errors": [{"code": 9, "reason": "NO_PREVIEW"}]},
                {"name": "Eva", "pow": 4},
            ),
        ),
    ]


def png_of(width: int, height: int) -> bytes:
    """A sound image of one colour."""
    return encoded(Image.new("L", (width, height), 7), "PNG")


@cache
def bad() -> list[Bad]:
    field, jpeg = "image", images()["JPEG baseline"]
    unsupported = {
        "SVG": broken()["svg"][0],
        "SVG behind a prolog": broken()["svg prolog"][0],
        "SVG as Inkscape writes it": INKSCAPE,
        "PDF": broken()["pdf"][0],
    }
    refused: list[tuple[str, bytes, errors.ConexionesError]] = [
        ("empty image", b"", errors.EmptyImage(field=field)),
        *(
            (name, broken()[name][0], errors.NotAnImage(field="image"))
            for name in ("garbage", "text", "html", "one byte")
        ),
        *(
            (name, data, errors.UnsupportedFormat(field=field, format=name[:3]))
            for name, data in unsupported.items()
        ),
        (
            "truncated JPEG",
            broken()["jpeg without eoi"][0],
            errors.TruncatedImage(field=field, format="JPEG"),
        ),
        ("corrupt PNG", png(1, 0), errors.CorruptImage(field=field, format="PNG")),
        (
            "too many pixels",
            png(60_000, 60_000),
            errors.TooManyPixels(
                field=field, format="PNG", limit=MAX_PIXELS, actual=3_600_000_000, unit="pixels"
            ),
        ),
        (
            "image over the limit",
            png(1, 1, padding=MAX_IMAGE),
            errors.ImageTooLarge(
                field=field, limit=MAX_IMAGE, actual=len(png(1, 1)) + MAX_IMAGE, unit="bytes"
            ),
        ),
    ]
    too_large = errors.MessageTooLarge(limit=MAX_MESSAGE, streaming_method=GET_STREAM_IMAGE)
    over = user(image=bytes(MAX_MESSAGE))
    no_text = b"\x0a\x02\xc3("
    no_message = b"\x0a\x7fabc"
    return [
        Bad(
            name="empty name",
            path=GET_USER,
            messages=(user("", 7),),
            error=errors.EmptyName(field="name", limit=256),
        ),
        Bad(
            name="name of 257 characters",
            path=GET_USER,
            messages=(user("🐘" * 257),),
            error=errors.NameTooLong(field="name", limit=256, actual=257),
        ),
        Bad(
            name="name of 257 characters with an image",
            path=PROCESS_IMAGE,
            messages=(user("n" * 257, image=jpeg),),
            error=errors.NameTooLong(field="name", limit=256, actual=257),
        ),
        *(
            Bad(name=name, path=PROCESS_IMAGE, messages=(user(image=data),), error=error)
            for name, data, error in refused
        ),
        *(
            Bad(
                name=f"{name}, in fragments",
                path=GET_STREAM_IMAGE,
                messages=fragments(data, max(100, len(data) // 4)),
                error=error,
            )
            for name, data, error in refused
            if data and name != "image over the limit"
        ),
        Bad(
            name="image over the limit, in fragments",
            path=GET_STREAM_IMAGE,
            messages=fragments(png(1, 1, padding=MAX_IMAGE), MAX_IMAGE),
            error=refused[-1][2],
        ),
        Bad(
            name="bad image of a user",
            path=GET_USER,
            messages=(user("Ana", 1, b"GIF, but not really"),),
            error=errors.NotAnImage(field="image"),
        ),
        Bad(
            name="stream without a message",
            path=GET_STREAM_IMAGE,
            messages=(),
            error=errors.EmptyStream(field=field),
        ),
        Bad(
            name="stream of empty messages",
            path=GET_STREAM_IMAGE,
            messages=(b"", b"", image(b"")),
            error=errors.EmptyStream(field=field),
        ),
        *(
            Bad(
                name=f"invalid UTF-8 to {path.rpartition('/')[2]}",
                path=path,
                messages=(no_text,),
                json=(b'{"name": "\xc3("}',),
                error=errors.InvalidUtf8(field="name"),
                json_error=errors.InvalidUtf8(),
            )
            for path in (GET_USER, GET_USER_BIDI_STREAM)
        ),
        *(
            Bad(
                name=f"malformed message to {path.rpartition('/')[2]}",
                path=path,
                messages=(no_message,),
                json=(b'{"image": "AAA',),
                error=errors.MalformedMessage(type=f"user.{kind}"),
            )
            for path, kind in (
                (GET_USER, "GetUserRequest"),
                (GET_STREAM_IMAGE, "GetImage"),
                (IMAGE_STREAM_REPLY, "GetImage"),
                (GET_USER_BIDI_STREAM, "GetUserRequest"),
            )
        ),
        Bad(name="message over the limit", path=PROCESS_IMAGE, messages=(over,), error=too_large),
        Bad(
            name="message over the limit in a stream",
            path=IMAGE_STREAM_REPLY,
            messages=(image(bytes(MAX_MESSAGE)),),
            error=too_large,
        ),
        Bad(
            name="unknown method",
            path=f"{USUARIO}/GetUsers",
            messages=(b"",),
            error=errors.UnknownMethod(),
        ),
        Bad(
            name="unknown service",
            path="/user.OtroServicio/GetUser",
            messages=(b"",),
            error=errors.UnknownMethod(),
        ),
        Bad(
            name="health of an unknown service",
            path="/grpc.health.v1.Health/Check",
            messages=(b"\x0a\x04otro",),
            error=errors.UnknownService(field="service"),
        ),
    ]
