"""The form of secrets: a prefix, 256 random bits in base62, and the CRC-32 of these in base62.

Scanners of published code find them by their prefix, and a mistyped one is told from a wrong one without
asking anybody: the checksum shows that it was never given out. The server and its clients know the form.
"""

import re
import zlib
from typing import Final

TOKEN: Final = "cnx_"  # noqa: S105 (a prefix is no secret)
TICKET: Final = "cnt_"
SESSION: Final = "cns_"

RANDOM_BYTES: Final = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS = 43  # 62**43 > 256**32
_CHECKSUM_DIGITS = 6  # 62**6 > 2**32
_SECRET = re.compile(f"(cnx_|cnt_|cns_)([0-9A-Za-z]{{{_RANDOM_DIGITS}}})([0-9A-Za-z]{{{_CHECKSUM_DIGITS}}})")


def made_of(prefix: str, random: bytes) -> str:
    """The secret of these random bytes."""
    digits = _base62(int.from_bytes(random), _RANDOM_DIGITS)
    return f"{prefix}{digits}{_checksum(prefix + digits)}"


def is_secret(text: str) -> bool:
    """Whether the text has the form of a secret, and its checksum is right."""
    found = _SECRET.fullmatch(text)
    return found is not None and _checksum(found[1] + found[2]) == found[3]


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, rest = divmod(number, 62)
        text = _DIGITS[rest] + text
    return text
