"""How many bytes the large blobs have, counted folder by folder."""

import hashlib
from pathlib import Path

from conexiones.adapters.blobs.local.file_sizes import FOLDERS, FileSizes


def _blob(root: Path, number: int, size: int) -> bytes:
    digest = hashlib.sha256(bytes([number])).digest()
    (root / digest.hex()[:2] / digest.hex()).write_bytes(bytes(size))
    return digest


def test_all_are_known_after_one_round(tmp_path: Path) -> None:
    for number in range(FOLDERS):
        (tmp_path / f"{number:02x}").mkdir()
    for number in range(20):
        _blob(tmp_path, number, 100)
    sizes = FileSizes(tmp_path)
    while not sizes.is_complete:
        sizes.look()
    assert sizes.total() == 2000
    digest = _blob(tmp_path, 100, 50)
    sizes.change(digest, 50)
    assert sizes.total() == 2050
    for _ in range(FOLDERS):  # what was counted as it came is not counted twice
        sizes.look()
    assert sizes.total() == 2050
    (tmp_path / digest.hex()[:2] / digest.hex()).unlink()
    for _ in range(FOLDERS):  # what nobody has told of is found out
        sizes.look()
    assert sizes.total() == 2000
