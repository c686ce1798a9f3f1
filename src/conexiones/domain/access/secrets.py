"""The form of secrets: a prefix, 256 random bits in base62, and the CRC-32 of these in base62.

Scanners of published code find them by their prefix, and a mistyped one is told from a wrong one without
asking the catalog: the checksum shows that it was never given out.
"""

import hashlib
import re
import secrets
import zlib
from typing import Final

TOKEN: Final = "cnx_"  # noqa: S105 (a prefix is no secret)
TICKET: Final = "cnt_"
SESSION: Final = "cns_"

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_BYTES = 32
_RANDOM_DIGITS = 43  # 62**43 > 256**32
_CHECKSUM_DIGITS = 6  # 62**6 > 2**32
_SECRET = re.compile(f"(cnx_|cnt_|cns_)([0-9A-Za-z]{{{_RANDOM_DIGITS}}})([0-9A-Za-z]{{{_CHECKSUM_DIGITS}}})")


def mint(prefix: str) -> str:
    """A new secret."""
    random = _base62(int.from_bytes(secrets.token_bytes(_RANDOM_BYTES)), _RANDOM_DIGITS)
    return f"{prefix}{random}{_checksum(prefix + random)}"


def is_secret(text: str) -> bool:
    """Whether the text has the form of a secret, and its checksum is right."""
    found = _SECRET.fullmatch(text)
    return found is not None and _checksum(found[1] + found[2]) == found[3]


def digest(secret: str) -> bytes:
    """What is kept of a secret. A hash that is quick is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, rest = divmod(number, 62)
        text = _DIGITS[rest] + text
    return text
