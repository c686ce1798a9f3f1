"""A folder of backups.

    conexiones-backup.json            whose backups these are: the identity of the catalog
    lock                              held by whoever uses it
    packs/                            images of at most 256 KiB (packs.py)
    blobs/ab/<sha256>                 larger ones, one to a file
    backups/<time>/manifest.json      what the backup of that time (UTC) has
    backups/<time>/catalog.sqlite3    the catalog at that time
    unfinished/                       what a backup is working on

An image is there once, however many backups need it. A backup gets its name, by a rename, when all that it
refers to is durable and was read back: whatever is below `backups` is complete. Nothing that a complete one
needs is removed before the next one is complete.

Files are 0600 and folders 0700: the catalog has the hashes of tokens and the keys of links.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from conexiones.adapters.blobs.local.beside import read_file
from conexiones.adapters.blobs.local.store import SMALL
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.adapters.system.disk import sync_folder, write_durably
from conexiones.adapters.system.sqlite_beside import UNREADABLE
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.packs import Packs, drop_cached, write_whole
from conexiones.upkeep.problem import Problem

FORMAT = 1
MARK = "conexiones-backup.json"
CATALOG = "catalog.sqlite3"
_MANIFEST = "manifest.json"
_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")
_CONTENT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup has. `damaged` are the digests, in hexadecimal, of images that were damaged in the data
    folder already, and of which no earlier backup has the bytes."""

    time: str  # ISO 8601
    program: str
    schema: int
    identity: str
    images: int
    contents: int
    bytes: int
    open_uploads: int
    catalog_bytes: int
    catalog_sha256: str
    damaged: list[str]


class Backup(NamedTuple):
    """A complete backup."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def catalog(self) -> Path:
        return self.folder / CATALOG


class Repository:
    """The backups in a folder. Only one process uses it at a time, or several that read."""

    def __init__(self, root: Path, *, identity: int | None = None) -> None:
        """With the identity of a catalog, to add backups of it: then the folder is made if it is not there.
        Without, to read. Raises Problem and OSError."""
        self.root = root
        self._blobs = root / "blobs"
        self.unfinished = root / "unfinished"
        if identity is None and not (root / MARK).is_file():
            raise Problem(f"{root} has no backup.")
        if identity is not None:
            self._prepare(identity)
        self._lock = _locked(root, exclusive=identity is not None)
        try:
            self.identity = _identity(root / MARK)
            if identity is not None and self.identity != f"{identity:08x}":
                raise Problem(f"{root} has the backups of another server: give another folder.")
            self.packs = Packs(root / "packs")
            if identity is not None:
                self.packs.recover()
        except BaseException:
            os.close(self._lock)
            raise

    def _prepare(self, identity: int) -> None:
        root = self.root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (root / MARK).exists():
            # An earlier run may have been killed while it made the folder.
            if {path.name for path in root.iterdir()} - {f"{MARK}.new", "lost+found"}:
                raise Problem(f"{root} is not empty, and has no backups: give another folder.")
            with suppress(OSError):  # not all file systems have modes
                root.chmod(0o700)
            new = root / f"{MARK}.new"
            write_durably(new, json.dumps({"format": FORMAT, "identity": f"{identity:08x}"}).encode())
            new.replace(root / MARK)
        for folder in (self._blobs, root / "packs", root / "backups", self.unfinished, *self._fan()):
            if folder.is_symlink():  # what is removed in it would be somebody else's
                raise Problem(f"{folder} is a symbolic link, and has to be a folder.")
            folder.mkdir(mode=0o700, exist_ok=True)
        for folder in (self._blobs, root, root.absolute().parent):
            sync_folder(folder)

    def _fan(self) -> Iterator[Path]:
        return (self._blobs / f"{number:02x}" for number in range(256))

    def close(self) -> None:
        self.packs.close()
        os.close(self._lock)

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def backups(self) -> list[Backup]:
        """All complete ones, the oldest first, without those whose manifest was damaged since, or whose
        catalog is gone."""
        return [found for name in self.names() if (found := self.backup(name)) is not None]

    def names(self) -> list[str]:
        """The names of all backups, the oldest first."""
        folder = self.root / "backups"
        names = (path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
        return sorted(names, key=_order)

    def chosen(self, name: str | None) -> Backup:
        """The newest backup, or that of the name. Raises Problem."""
        names = self.names()
        if not names:
            raise Problem(f"{self.root} has no complete backup.")
        if name is not None and name not in names:
            raise Problem(f"{self.root} has no backup {name}: it has {', '.join(names)}.")
        backup = self.backup(name or names[-1])
        if backup is None:
            raise Problem(
                f"The manifest of {name or names[-1]} is damaged, or its catalog is missing:"
                " choose another one with --backup."
            )
        return backup

    def backup(self, name: str) -> Backup | None:
        """The backup of that name; None if its manifest is damaged or its catalog is missing. Raises Problem
        if a newer program made it."""
        folder = self.root / "backups" / name
        manifest = _read_manifest(folder / _MANIFEST)
        return Backup(name, folder, manifest) if manifest and (folder / CATALOG).is_file() else None

    def has(self, digest: bytes, size: int) -> bool:
        if self.packs.has(digest):
            return True
        try:
            return self._path(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def read(self, digest: bytes) -> Iterator[bytes]:
        """The bytes of an image, as `BlobsBeside.pieces`."""
        if self.packs.has(digest):
            yield self.packs.read(digest)
        else:
            yield from read_file(self._path(digest), digest)

    def forget(self, digest: bytes) -> None:
        """Has a damaged image written anew when it is added."""
        self.packs.forget(digest)
        self._path(digest).unlink(missing_ok=True)

    def add(self, digest: bytes, pieces: Iterator[bytes], size: int) -> Iterator[int]:
        """Adds an image, and gives the bytes of each piece when it is written. Raises what the pieces raise,
        and then adds nothing."""
        if size <= SMALL:
            data = bytearray()
            for piece in pieces:
                data += piece
                if len(data) > size:  # a damaged row, and there may be too much for memory
                    break
            if len(data) != size:
                raise BlobCorrupt
            self.packs.add(digest, bytes(data))
            yield size
            return
        new = self.unfinished / digest.hex()
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                write_whole(descriptor, piece)
                yield len(piece)
            os.fsync(descriptor)
            drop_cached(descriptor)
        except BaseException:
            new.unlink()
            raise
        finally:
            os.close(descriptor)
        try:
            for _ in read_file(new, digest):
                pass
        except BlobCorrupt:
            raise Problem(
                f"{new} reads back other bytes than were written: its disk cannot be relied on."
            ) from None
        new.replace(self._path(digest))
        sync_folder(self._path(digest).parent)

    def begin(self) -> Path:
        """Where the catalog of a new backup goes. What an earlier run left there is removed."""
        self.packs.finish()
        for left in self.unfinished.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        return self.unfinished / CATALOG

    def complete(self, begun: datetime, manifest: Manifest) -> Backup:
        """Makes a backup of what is in `unfinished`. Its name comes behind all others, even if the clock was
        put back."""
        self.packs.finish()
        write_durably(self.unfinished / _MANIFEST, _packed(manifest))
        sync_folder(self.unfinished)
        name = f"{begun:%Y%m%dT%H%M%SZ}"
        newest, number = _order((self.names() or [""])[-1])
        if name <= newest:
            name = f"{newest}-{number + 1}"
        final = self.root / "backups" / name
        self.unfinished.rename(final)
        sync_folder(final.parent)
        sync_folder(self.root)
        return Backup(final.name, final, manifest)

    def prune(self, keep: int) -> list[str]:
        """Removes all backups but the newest `keep`, and the images that none of the rest needs. Gives the
        names of those that were removed. No image is removed while there is a catalog that cannot be read, or
        a manifest that the disk does not give: it may do so later."""
        backups = self.backups()
        old = backups[:-keep]
        for backup in old:
            # In this order: a run that is killed in between leaves no backup without a manifest.
            away = self.root / f"removed-{backup.name}"
            backup.folder.rename(away)
        sync_folder(self.root / "backups")
        for away in self.root.glob("removed-*"):
            if _NAME.fullmatch(away.name.removeprefix("removed-")):
                shutil.rmtree(away)
        if not all(map(self._is_given, self.names())):
            return [backup.name for backup in old]
        with suppress(*UNREADABLE):
            needed = digests_of(backups[-keep:])
            self.packs.prune(needed)
            for path in (path for folder in self._fan() for path in folder.iterdir()):
                if _CONTENT.fullmatch(path.name) and bytes.fromhex(path.name) not in needed:
                    path.unlink()
        return [backup.name for backup in old]

    def _is_given(self, name: str) -> bool:
        """Whether the manifest of a backup can be read, whatever is in it, or is gone."""
        try:
            (self.root / "backups" / name / _MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return True

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name


def _order(name: str) -> tuple[str, int]:
    """Backups of the same second have numbers from 2 on."""
    time, _, number = name.partition("-")
    return time, int(number or 1)


def catalog_of_backup(path: Path) -> CatalogFile:
    """The catalog of a backup, for reading. Raises Problem if a newer program wrote it."""
    try:
        return CatalogFile(path, alone=True)
    except ValueError as error:
        raise Problem(str(error)) from None


def digests_of(backups: Iterable[Backup]) -> set[bytes]:
    """The contents to which the catalogs of backups refer. Raises Problem, sqlite3.Error and
    UnicodeDecodeError."""
    found: set[bytes] = set()
    for backup in backups:
        with closing(catalog_of_backup(backup.catalog)) as file:
            found.update(one.digest for one in file.contents())
    return found


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed(manifest: Manifest) -> bytes:
    """The manifest with its own SHA-256, which is of the same JSON without it."""
    found: dict[str, Any] = {"format": FORMAT, **asdict(manifest)}
    found["sha256"] = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return json.dumps(found, indent=2).encode() + b"\n"


def _read_manifest(path: Path) -> Manifest | None:
    try:
        found = json.loads(path.read_bytes())
        said = found.pop("sha256")
        if hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest() != said:
            raise ValueError
        number = found.pop("format")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    if number != FORMAT:
        raise Problem(f"{path} has format {number}, and this program knows {FORMAT}: use the newer program.")
    # A later version of the program may say more.
    types: dict[str, Any] = {each.name: get_origin(each.type) or each.type for each in fields(Manifest)}
    values = {name: found.get(name) for name in types}
    right = all(isinstance(values[name], kind) for name, kind in types.items())
    return Manifest(**values) if right else None


def _identity(path: Path) -> str:
    try:
        found = json.loads(path.read_bytes())
        if found["format"] == FORMAT:
            return str(found["identity"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Problem(f"{path} is damaged.") from None
    raise Problem(f"{path} has format {found['format']}: use the newer program that wrote it.")


def _locked(root: Path, *, exclusive: bool) -> int:
    """The descriptor of the lock. Who only reads needs no right to write."""
    path = root / "lock"
    if exclusive:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    else:
        descriptor = os.open(path if path.exists() else root / MARK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Problem(f"{root} is in use by another run of backup, restore or verify.") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
