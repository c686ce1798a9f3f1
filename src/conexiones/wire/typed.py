"""Bytes as people have them: in hexadecimal, as a dump, in base64, as JSON, or as they are."""

import base64
import binascii
import re

from conexiones.wire.events import Undecodable

MAX_BYTES = 16 << 20
ENCODINGS = ("auto", "hex", "base64", "raw")

# As xxd and hexdump -C write: an offset, the bytes, and what they look like.
_PAIRS = r"((?:[0-9a-f]{2}){1,2}(?: {1,2}(?:[0-9a-f]{2}){1,2}){0,15})"
_DUMP = re.compile(rf"[0-9a-f]+: +{_PAIRS}(?: {{2,}}.*)?|[0-9a-f]+ +{_PAIRS} *\|.*", re.IGNORECASE)
_OFFSET = re.compile(r"[0-9a-fA-F]{7,16}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/][A-Za-z0-9+/=]*")


def data_of(given: bytes, encoding: str = "auto", *, typed: bool = False) -> bytes:
    """The bytes that are given in this encoding. `typed`: on the command line, where only JSON can be raw.

    Raises Undecodable, also for nothing and for too much.
    """
    if len(given) > 4 * MAX_BYTES:
        raise Undecodable(f"There are more bytes than are decoded ({MAX_BYTES}).")
    data = given if encoding == "raw" else _decoded(given, encoding, typed=typed)
    if not data:
        raise Undecodable("There are no bytes.")
    if len(data) > MAX_BYTES:
        raise Undecodable(f"There are more bytes than are decoded ({MAX_BYTES}).")
    return data


def _decoded(given: bytes, encoding: str, *, typed: bool) -> bytes:
    text = given.decode("ascii", errors="replace").strip()
    if not text:
        return b""
    if encoding in {"auto", "hex"} and (found := _hex(text)) is not None:
        return found
    if encoding in {"auto", "base64"} and (found := _unbase64(text)) is not None:
        return found
    if encoding == "auto" and (not typed or text.startswith("{")):  # JSON is a message of Connect
        return given
    words = {"hex": "hexadecimal", "base64": "base64"}.get(
        encoding, "neither hexadecimal nor base64, and no file"
    )
    raise Undecodable(f"The bytes are {words}." if encoding == "auto" else f"The bytes are not {words}.")


def _hex(text: str) -> bytes | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # hexdump ends with an offset by itself.
    dumped = [_DUMP.fullmatch(line) for line in (lines[:-1] if _OFFSET.fullmatch(lines[-1]) else lines)]
    if dumped and all(dumped):
        text = " ".join(found[1] or found[2] for found in dumped if found)
    plain = re.sub(r"0x|\\x|[\s:,;-]", "", text)
    if not _HEX.fullmatch(plain):
        return None
    if len(plain) % 2:  # base64 has other characters, too, except for very few bytes
        raise Undecodable("There is an odd number of hexadecimal digits: one is missing, or one too many.")
    return bytes.fromhex(plain)


def _unbase64(text: str) -> bytes | None:
    """Also of several pieces, each with its padding, and in the alphabet of URLs."""
    plain = re.sub(r"\s", "", text).replace("-", "+").replace("_", "/")
    if not _BASE64.fullmatch(plain):
        return None
    pieces = re.findall(r"[^=]+=*", plain)
    try:
        return b"".join(base64.b64decode(piece + "=" * (-len(piece) % 4), validate=True) for piece in pieces)
    except binascii.Error:
        return None
