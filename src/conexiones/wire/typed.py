"""Bytes as people have them: in hexadecimal, as a dump, in base64, as JSON, or as they are."""

import base64
import binascii
import re

from conexiones.wire.events import Undecodable

MAX_BYTES = 16 << 20
MAX_GIVEN = 4 * MAX_BYTES
"""Bytes of text that are read, which have 2 to 4 for each that they stand for, or more in a dump."""
ENCODINGS = ("auto", "hex", "base64", "raw")

# As xxd and hexdump -C write: an offset, the bytes, and what they look like.
_PAIRS = rb"((?:[0-9a-f]{2}){1,2}(?: {1,2}(?:[0-9a-f]{2}){1,2}){0,15})"
_DUMP = re.compile(rb"[0-9a-f]+: +%b(?: {2,}.*)?|[0-9a-f]+ +%b *\|.*" % (_PAIRS, _PAIRS), re.IGNORECASE)
_OFFSET = re.compile(rb"[0-9a-fA-F]{7,16}")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/][A-Za-z0-9+/=]*")
_LINE = re.compile(rb"[^\r\n]+")
_PIECE = re.compile(rb"[^=]+=*")
_SPACE = b" \t\n\r\v\f"


def data_of(given: bytes, encoding: str = "auto", *, typed: bool = False) -> bytes:
    """The bytes that are given in this encoding. `typed`: on the command line, where only JSON can be raw.

    Takes memory for a few copies of what is given, however many lines it has. Raises Undecodable, also for
    nothing and for too much.
    """
    if len(given) > MAX_GIVEN:
        raise Undecodable(f"More is given than is read ({MAX_GIVEN} bytes).")
    data = given if encoding == "raw" else _decoded(given, encoding, typed=typed)
    if not data:
        raise Undecodable("There are no bytes.")
    _limit(data)
    return data


def _limit(data: bytes | bytearray) -> None:
    if len(data) > MAX_BYTES:
        raise Undecodable(f"There are more bytes than are decoded ({MAX_BYTES}).")


def _decoded(given: bytes, encoding: str, *, typed: bool) -> bytes:
    text = given.strip()
    if not text:
        return b""
    if encoding in {"auto", "hex"} and (found := _dumped(text) or _hex(text)) is not None:
        return found
    if encoding in {"auto", "base64"} and (found := _unbase64(text)) is not None:
        return found
    if encoding == "auto" and (not typed or text.startswith(b"{")):  # JSON is a message of Connect
        return given
    words = {"hex": "hexadecimal", "base64": "base64"}.get(
        encoding, "neither hexadecimal nor base64, and no file"
    )
    raise Undecodable(f"The bytes are {words}." if encoding == "auto" else f"The bytes are not {words}.")


def _dumped(text: bytes) -> bytes | None:
    """The bytes of a dump; None if not all lines are of one."""
    data = bytearray()
    for line in _LINE.finditer(text):
        if not (written := line[0].strip()):
            continue
        if found := _DUMP.fullmatch(written):
            data += binascii.unhexlify((found[1] or found[2]).replace(b" ", b""))
            _limit(data)
        elif line.end() < len(text) or not _OFFSET.fullmatch(
            written
        ):  # hexdump ends with an offset by itself
            return None
    return bytes(data)


def _hex(text: bytes) -> bytes | None:
    plain = text.replace(b"0x", b"").replace(b"\\x", b"").translate(None, _SPACE + b":,;-")
    if not _HEX.fullmatch(plain):
        return None
    if len(plain) % 2:  # base64 has other characters, too, except for very few bytes
        raise Undecodable("There is an odd number of hexadecimal digits: one is missing, or one too many.")
    return binascii.unhexlify(plain)


def _unbase64(text: bytes) -> bytes | None:
    """Also of several pieces, each with its padding, and in the alphabet of URLs."""
    plain = text.translate(bytes.maketrans(b"-_", b"+/"), _SPACE)
    if not _BASE64.fullmatch(plain):
        return None
    data = bytearray()
    try:
        for piece in _PIECE.finditer(plain):
            data += base64.b64decode(piece[0] + b"=" * (-len(piece[0]) % 4), validate=True)
            _limit(data)
    except binascii.Error:
        return None
    return bytes(data)
