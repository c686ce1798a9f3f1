"""What the programs are given, and what they have to see."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.bitmaps import bitmap
from tests.support.paths import ROOT

PHOTO = ROOT / "client" / "image" / "elephant.jpg"

CASES = {
    "GetUser": "a user, with a name that is not ASCII",
    "ProcessImage": "a whole image",
    "GetStreamImage": "an image in fragments of 4 KiB",
    "ImageStreamReply": "three images, of which one is none",
    "GetUserBidiStream": "two users, of which one has a pow whose square does not fit",
    "error": "the code, the reason and the field of a refused call, from its details",
    "too large": "a message over the limit: the code and the reason, and no hanging",
    "rejected": "an upload of what is no image: the outcome and its reason",
    "deadline": "a stream that its deadline ends after 0.3 seconds",
    "large": "an image of 50 MB in one message",
    "gzip": "the same, compressed",
    "upload": "a resumable upload of 50 MB, which goes on after the connection was cut in the middle",
    "download": "the same image back, compared by SHA-256",
    "health": "grpc.health.v1",
}
"""The cases, by name, and what each of them is."""

WHOLE = (5000, 3334)
"""Width and height of a BMP of 50 MB."""
SMALL = (1200, 900)
"""Those of one of 3 MB."""
LIMIT = "6MiB"
"""`max_message_bytes` of servers that get the small one, so that a message over the limit is small, too."""


@dataclass(frozen=True, slots=True)
class Large:
    """A BMP that is sent as one message, and as an upload."""

    path: Path
    width: int
    height: int

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def large(folder: Path, width: int, height: int) -> Large:
    """Makes a BMP of about width × height × 3 bytes in the folder."""
    path = folder / f"{width}x{height}.bmp"
    with path.open("wb") as file:
        file.writelines(bitmap(width, height))
    return Large(path, width, height)


def patterns(image: Large) -> Mapping[str, str]:
    """What the answer to each case has to match, as a regular expression."""
    photo = re.escape(f"JPEG 1280x853 {PHOTO.stat().st_size}")
    bmp = re.escape(f"BMP {image.width}x{image.height} {image.size}")
    with image.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "GetUser": re.escape("¡Hola, Zoé! Tu pow es 3 y su cuadrado es 9."),
        "ProcessImage": photo,
        "GetStreamImage": photo,
        "ImageStreamReply": "JPEG, NOT_AN_IMAGE, JPEG",
        "GetUserBidiStream": "49 preview, 0 POW_OVERFLOW preview",
        "error": "3 EMPTY_NAME name",
        "too large": "8 MESSAGE_TOO_LARGE",
        "rejected": "(STATE_)?REJECTED NOT_AN_IMAGE",
        "deadline": "4",
        "large": bmp,
        "gzip": bmp,
        "upload": r"(STATE_)?READY, resumed [1-4]",
        "download": digest,
        "health": "SERVING",
    }
