"""What else is in a data folder: uploads under way, renditions, and small files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from conexiones.adapters.blobs.local import beside
from conexiones.adapters.blobs.local.checksum_log import ChecksumLog
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES
from conexiones.adapters.blobs.local.identity import NAME as CATALOG_ID
from conexiones.adapters.blobs.local.identity import read_identity
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile, fault_of_kept
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.renditions.cache import fault_of
from conexiones.adapters.scrub.file import NAME as SCRUB
from conexiones.adapters.scrub.file import read as read_scrub
from conexiones.errors import BlobCorrupt
from conexiones.secret_form import is_secret
from conexiones.upkeep.findings import Finding, Report

_ADMIN_TOKEN = "admin-token"  # noqa: S105 (the name of a file)


Read = Callable[[int], None]
"""Is called with the number of bytes that are read: it waits as long as the pace asks for."""


def check_uploads(data_dir: Path, catalog: CatalogFile, report: Report, read: Read) -> None:
    """Reports uploads under way of which acknowledged bytes are damaged or missing."""
    for upload_id in catalog.open_uploads():
        for attempt in range(2):
            upload = catalog.upload(upload_id)
            if upload is None or upload.state != "OPEN":
                break
            fault = _fault_of_upload(data_dir / "uploads" / upload_id, upload.committed_size, read)
            if fault is None:
                break
            if attempt:  # it did not end meanwhile
                report(Finding("damaged", f"uploads/{fault.what}", fault.says))
            else:
                time.sleep(beside.SETTLE_SECONDS)


def _fault_of_upload(path: Path, size: int, read: Read) -> Finding | None:
    """What is wrong with the first `size` bytes of an upload, which were acknowledged."""
    if not size:
        return None
    log = path.with_name(f"{path.name}.crc32c")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Finding("missing", path.name, f"The {size} bytes that were acknowledged are not there.")
    try:
        if os.fstat(descriptor).st_size < size:
            return Finding("damaged", path.name, f"It has less than the {size} bytes that were acknowledged.")
        try:
            checksums = ChecksumLog.look(log, size, descriptor)
        except FileNotFoundError:
            return None  # an earlier version began it
        except BlobCorrupt:
            return Finding("damaged", log.name, "These checksums are not what was written.")
        for number in range(-(-size // BLOCK_BYTES)):
            start = number * BLOCK_BYTES
            length = min(BLOCK_BYTES, size - start)
            read(length)
            try:
                checksums.check(number, os.pread(descriptor, length, start))
            except BlobCorrupt:
                return Finding(
                    "damaged", path.name, f"The MiB from byte {start} on is not what was received."
                )
    finally:
        os.close(descriptor)
    return None


def check_small_files(data_dir: Path, identity: int, report: Report, read: Read) -> None:
    """Reports files beside catalog and images that are damaged. `identity` is that of the catalog."""
    _check_identity(data_dir, identity, report)
    if (data_dir / SCRUB).exists() and read_scrub(data_dir / SCRUB) is None:
        report(Finding("damaged", SCRUB, "The verification in the background begins from the start."))
    token = data_dir / _ADMIN_TOKEN
    if token.exists() and not is_secret(token.read_text(errors="replace").strip()):
        report(Finding("damaged", _ADMIN_TOKEN, "It is no token: --new-admin-token makes another one."))
    for path in sorted(data_dir.glob(f"{CATALOG}.v*")):
        if path.suffix == ".unfinished":
            continue
        read(_size_of(path))
        if fault := fault_of_kept(path):
            report(Finding("damaged", path.name, f"This copy of an earlier catalog is damaged ({fault})."))
    for path in sorted((data_dir / "renditions").glob("??/*")):
        read(_size_of(path))
        if fault := fault_of(path):
            report(Finding("damaged", str(path.relative_to(data_dir)), fault))


def _size_of(path: Path) -> int:
    """0 if it has gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_identity(data_dir: Path, identity: int, report: Report) -> None:
    name = f"blobs/{CATALOG_ID}"
    try:
        found = read_identity(data_dir)
    except ValueError as error:
        report(Finding("damaged", name, str(error)))
        return
    if not found and identity:
        report(
            Finding("missing", name, f"It would have {identity:08x}: the next start of the server makes it.")
        )
    elif found != identity:
        report(
            Finding(
                "damaged",
                name,
                f"It has {found:08x}, and the catalog {identity:08x}: they do not belong together, or one of"
                " them is damaged.",
            )
        )
