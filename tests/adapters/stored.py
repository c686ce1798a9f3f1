"""What is in a store's folder, read without the store's own code."""

import hashlib
import os
import struct
import zlib
from pathlib import Path

import google_crc32c

MIB = 1 << 20
HEAD = struct.Struct(">3scIQ32s")


def records(root: Path, state: bytes = b"L") -> dict[str, int]:
    """The digests and sizes of the records in the segments."""
    found = {}
    for path in (root / "segments").glob("????????"):
        data = path.read_bytes()
        at = data.find(b"CXB")
        while at >= 0:
            if len(data) - at >= HEAD.size:
                _, was, crc, size, digest = HEAD.unpack_from(data, at)
                body = data[at + HEAD.size : at + HEAD.size + size]
                if was == state and crc == zlib.crc32(data[at + 8 : at + HEAD.size]):
                    if state == b"L":
                        assert hashlib.sha256(body).digest() == digest
                    found[digest.hex()] = size
                    at += HEAD.size + size - 1
            at = data.find(b"CXB", at + 1)
    return found


def stored_blobs(root: Path) -> dict[str, int]:
    """The digests and sizes of all blobs, each of which is whole. A file has checksums beside it that are
    right if it has more than one block; and there are no others."""
    files = {}
    checked = set()
    # Not rglob(), which takes twice as long for the 256 folders that are almost all empty.
    for folder, _, names in os.walk(root / "blobs"):
        for path in (Path(folder, name) for name in names):
            if path.suffix == ".crc32c":
                assert path.read_bytes() == checksums_of(path.with_suffix("").read_bytes())
                checked.add(path.stem)
            elif path.name != "catalog-id":
                with path.open("rb") as file:
                    assert hashlib.file_digest(file, "sha256").hexdigest() == path.name
                files[path.name] = path.stat().st_size
    assert checked == {name for name, size in files.items() if size > MIB}
    return files | records(root)


def checksums_of(data: bytes) -> bytes:
    """The file with the checksums that is beside a blob of these bytes."""
    crcs = [google_crc32c.value(data[start : start + MIB]) for start in range(0, len(data), MIB)]
    packed = struct.pack(f">4sQ{len(crcs)}I", b"CXK1", len(data), *crcs)
    return packed + struct.pack(">I", google_crc32c.value(packed))
