"""The ScrubLog of a data folder.

    root/scrub.json    the state, as JSON, with the CRC-32 of the JSON without it

A file that is damaged or missing means that all is read from the beginning; images that are known to be
damaged are then reported once more.
"""

import asyncio
import json
import logging
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conexiones.adapters.system.disk import storage_error, write_durably
from conexiones.adapters.system.presence import Presence
from conexiones.ports.records import ImageRecord
from conexiones.ports.verifying import Damage, Round, ScrubState

NAME = "scrub.json"

log = logging.getLogger("conexiones.scrub")


class ScrubFile:
    """A ScrubLog below the folder `root`, which is there when the log is used."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._presence: Presence | None = None

    async def load(self) -> ScrubState:
        try:
            return await asyncio.to_thread(self._load)
        except OSError as cause:
            raise storage_error(cause) from cause

    def _load(self) -> ScrubState:
        self._presence = self._presence or Presence(self._path.parent)
        return read(self._path) or ScrubState()

    async def save(self, state: ScrubState) -> None:
        try:
            await asyncio.to_thread(self._save, state)
        except OSError as cause:
            raise storage_error(cause) from cause

    def _save(self, state: ScrubState) -> None:
        if self._presence is not None:
            self._presence.check()  # nothing is written into another folder that has taken its place
        write(self._path, state)


def log_damage(image: ImageRecord, damage: Damage) -> None:
    if damage == "row":
        log.error(
            "The image %s is damaged: its row in the catalog is not what was written. It gets BLOB_CORRUPT"
            " until the catalog is restored from a backup; or delete the image.",
            image.id,
        )
        return
    log.error(
        "The image %s is damaged: the bytes of %s on the disk are missing, or not those that were stored. It"
        " gets BLOB_CORRUPT until they are restored from a backup, or the same bytes are sent again.",
        image.id,
        image.digest.hex(),
    )


def write(path: Path, state: ScrubState) -> None:
    """Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    write_durably(new, json.dumps(_with_crc(asdict(state))).encode())
    new.replace(path)


def read(path: Path) -> ScrubState | None:
    """None if there is no file, or a damaged one."""
    try:
        found = json.loads(path.read_bytes())
        if found != _with_crc({name: value for name, value in found.items() if name != "crc"}):
            return None
        return ScrubState(
            current=Round(**found["current"]),
            before=found["before"],
            finished=Round(**found["finished"]),
            damaged=found["damaged"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _with_crc(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "crc": zlib.crc32(json.dumps(found, sort_keys=True).encode())}
