"""The folders of blobs and segments, beyond the contents to which the catalog refers: checksums, heads of
records, the index, and what is left over."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from conexiones.adapters.blobs.local import beside
from conexiones.adapters.blobs.local.beside import check_index, head_is_live, records_in
from conexiones.adapters.blobs.local.checksums import Checksums
from conexiones.adapters.blobs.local.identity import NAME as CATALOG_ID
from conexiones.adapters.blobs.local.segment_appender import segment_numbers
from conexiones.adapters.system.disk import LOST
from conexiones.adapters.system.sqlite_beside import UNREADABLE, is_damage
from conexiones.upkeep.findings import Finding, Report

_FAN = re.compile(r"[0-9a-f]{2}")
_BLOB = re.compile(r"[0-9a-f]{64}")

SHOWN = 20
"""Of what is left over, so much is named one by one."""

HasDigest = Callable[[bytes], bool]


def check_large_blobs(data_dir: Path, has_digest: HasDigest, report: Report) -> None:
    """Reports checksums that are damaged, and blobs that are left over."""
    suspects: dict[str, bytes] = {}
    for folder in sorted((data_dir / "blobs").iterdir()):
        if folder.name in (CATALOG_ID, f"{CATALOG_ID}.new", "lost+found"):
            continue
        if not folder.is_dir() or not _FAN.fullmatch(folder.name):
            suspects[f"blobs/{folder.name}"] = b""
            continue
        for path in sorted(folder.iterdir()):
            name = f"blobs/{folder.name}/{path.name}"
            if path.suffix == ".crc32c" and _BLOB.fullmatch(path.stem):
                if fault := _fault_of_checksums(path):
                    report(Finding("damaged", name, fault))
            elif not _BLOB.fullmatch(path.name):
                suspects[name] = b""
            elif not has_digest(bytes.fromhex(path.name)):
                suspects[name] = bytes.fromhex(path.name)
    _report_left_over(data_dir, suspects, has_digest, report)


def _fault_of_checksums(path: Path) -> str:
    """What is wrong with a file of checksums; empty if nothing is."""
    blob = path.with_suffix("")
    try:
        packed = path.read_bytes()
        size = blob.stat().st_size
    except FileNotFoundError:
        return "" if not path.exists() or not _stays(path) else "The blob of these checksums is missing."
    except OSError as error:
        if error.errno not in LOST:
            raise
        return "The disk does not give these checksums. Remove the file: reading makes it anew."
    checksums = Checksums.unpack(packed)
    if checksums is None:
        return "These checksums are not what was written. Remove the file: reading makes it anew."
    if checksums.size != size:
        return f"These checksums are of {checksums.size} bytes, and the blob has {size}."
    return ""


def _stays(path: Path) -> bool:
    """Whether checksums without a blob are still there after a moment: a blob is moved in behind them, and
    deleted before them."""
    time.sleep(beside.SETTLE_SECONDS)
    return path.exists() and not path.with_suffix("").exists()


def _report_left_over(
    data_dir: Path, suspects: dict[str, bytes], has_digest: HasDigest, report: Report
) -> None:
    """Reports those of the files that nobody refers to after a moment either."""
    if not suspects:
        return
    time.sleep(beside.SETTLE_SECONDS)
    left = [
        name
        for name, digest in suspects.items()
        if (data_dir / name).exists()
        and not (digest and (has_digest(digest) or _is_marked(data_dir, digest)))
    ]
    _report_names(left, "The catalog does not refer to it.", report)


def _is_marked(data_dir: Path, digest: bytes) -> bool:
    """Whether the blob is on its way into the catalog; if it never comes there, the next start removes it."""
    return any((data_dir / "incoming").glob(f"{digest.hex()}.*"))


def _report_names(names: list[str], says: str, report: Report) -> None:
    for name in names[:SHOWN]:
        report(Finding("left over", name, says))
    if len(names) > SHOWN:
        report(Finding("left over", f"{len(names) - SHOWN} more", says))


def check_segments(data_dir: Path, has_digest: HasDigest, report: Report) -> None:
    """Reports where segments and their index do not agree, and records that are left over."""
    folder = data_dir / "segments"
    if (folder / "index.sqlite3").exists():
        _check_index(folder, report)
    suspects = {}
    for number in segment_numbers(folder):
        for record in records_in(folder / f"{number:08x}", number):
            if not has_digest(record.digest):
                suspects[f"segments/{number:08x}, the record at {record.place.offset}"] = record
    if not suspects:
        return
    time.sleep(beside.SETTLE_SECONDS)
    left = [
        name
        for name, record in suspects.items()
        if not has_digest(record.digest) and head_is_live(folder, record)
    ]
    _report_names(left, "The catalog does not refer to it.", report)


def _check_index(folder: Path, report: Report) -> None:
    name = "segments/index.sqlite3"
    mends = "Remove it while the server is stopped: it is made anew."
    try:
        problems, records = check_index(folder)
        for problem in problems:
            report(Finding("damaged", name, f"{problem}. {mends}"))
        for record in records:
            if not head_is_live(folder, record):
                where = f"segments/{record.place.segment:08x}, the record at {record.place.offset}"
                report(
                    Finding(
                        "damaged",
                        where,
                        "Its head is not what the index says; the image may still be whole:"
                        f" {record.digest.hex()}.",
                    )
                )
    except UNREADABLE as error:
        if not is_damage(error):
            raise
        report(Finding("damaged", name, f"It cannot be read ({error}). {mends}"))


def lost_record(data_dir: Path, digest: bytes) -> str:
    """Where the record of a small image is that the index of the segments does not have; "" if it is
    nowhere."""
    folder = data_dir / "segments"
    for number in segment_numbers(folder):
        for record in records_in(folder / f"{number:08x}", number):
            if record.digest == digest:
                return f"segments/{number:08x}, at {record.place.offset}"
    return ""
