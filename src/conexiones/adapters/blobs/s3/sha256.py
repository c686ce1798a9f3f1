"""A SHA-256 that another process can go on with.

hashlib's objects cannot be saved. libcrypto's SHA256_CTX is plain memory (FIPS 180-4's eight words, the
length, and the block that is not full), and has the same code behind it. Whether that is so here is tried
once: where it is not, `state` is empty, and whoever goes on reads the bytes again.
"""

import ctypes
import ctypes.util
import hashlib
import struct
import sys
from functools import cache
from typing import Any

import google_crc32c

_CONTEXT = 112
"""Bytes of a SHA256_CTX: h[8], the length in bits (2 words), the block (16), its length, the digest's."""

_LENGTHS = struct.Struct("=32xQ64xII" if sys.byteorder == "little" else "=32xII64xII")
_HEAD = struct.Struct(">2sQ")  # the form of the state, and how many bytes were hashed
_FORM = b"1" + sys.byteorder[:1].encode()
_SUM = struct.Struct(">I")


class Sha256:
    """`size` bytes were hashed."""

    def __init__(self) -> None:
        self.size = 0
        self._library = library()
        if self._library is None:
            self._plain = hashlib.sha256()
        else:
            self._context = ctypes.create_string_buffer(_CONTEXT)
            self._library.SHA256_Init(self._context)

    @classmethod
    def resumed(cls, state: bytes, size: int) -> "Sha256 | None":
        """One that goes on behind `size` bytes; None if that is not the state behind them, or one that cannot
        be used here."""
        library_here = library()
        if library_here is None or not _is_sound(state, size):
            return None
        found = cls()
        found.size = size
        found._context.raw = state[_HEAD.size : -_SUM.size]
        return found

    def update(self, data: bytes | bytearray) -> None:
        """Does not hold the interpreter's lock meanwhile."""
        if self._library is None:
            self._plain.update(data)
        else:
            view = data if isinstance(data, bytes) else (ctypes.c_char * len(data)).from_buffer(data)
            self._library.SHA256_Update(self._context, view, len(data))
        self.size += len(data)

    def digest(self) -> bytes:
        if self._library is None:
            return self._plain.digest()
        copy = ctypes.create_string_buffer(self._context.raw, _CONTEXT)
        found = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(found, copy)
        return found.raw

    @property
    def state(self) -> bytes:
        """What `resumed` takes; empty if it cannot be had."""
        if self._library is None:
            return b""
        body = _HEAD.pack(_FORM, self.size) + self._context.raw
        return body + _SUM.pack(google_crc32c.value(body))


def _is_sound(state: bytes, size: int) -> bool:
    """The library would write past its block with a length that is none."""
    if len(state) != _HEAD.size + _CONTEXT + _SUM.size or _HEAD.unpack_from(state) != (_FORM, size):
        return False
    if _SUM.pack(google_crc32c.value(state[: -_SUM.size])) != state[-_SUM.size :]:
        return False
    in_block, of_digest = _LENGTHS.unpack_from(state, _HEAD.size)[-2:]
    return bool(in_block == size % 64 and of_digest == 32)


@cache
def library() -> Any:
    """libcrypto, if its contexts are what this needs; else None."""
    found = _load()
    if found is None:
        return None
    data = bytes(range(256)) * 3
    first, second = ctypes.create_string_buffer(_CONTEXT), ctypes.create_string_buffer(_CONTEXT)
    digest = ctypes.create_string_buffer(32)
    found.SHA256_Init(first)
    found.SHA256_Update(first, data[:300], 300)
    second.raw = first.raw
    found.SHA256_Update(second, data[300:], len(data) - 300)
    lengths = _LENGTHS.unpack_from(first.raw)[-2:]
    found.SHA256_Final(digest, second)
    good = digest.raw == hashlib.sha256(data).digest() and lengths == (300 % 64, 32)
    return found if good else None


def _load() -> Any:
    for name in _names():
        try:
            found = ctypes.CDLL(name)
            for function, arguments in _FUNCTIONS.items():
                getattr(found, function).argtypes = arguments
        except (OSError, AttributeError):
            continue
        return found
    return None


def _names() -> list[str]:
    """Where libcrypto may be: first that which Python's own hashes use."""
    names = []
    try:
        import _hashlib

        names.append(_hashlib.__file__)
    except (ImportError, AttributeError):
        pass
    return [name for name in (*names, ctypes.util.find_library("crypto")) if name]


_FUNCTIONS: dict[str, list[Any]] = {
    "SHA256_Init": [ctypes.c_void_p],
    "SHA256_Update": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t],
    "SHA256_Final": [ctypes.c_void_p, ctypes.c_void_p],
}
