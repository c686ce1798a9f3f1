"""The data folder that work is done with."""

from os.path import realpath
from pathlib import Path

from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.system.sqlite_beside import UNREADABLE
from conexiones.upkeep.problem import Problem

SCHEMA = newest()
"""The schema of the catalogs that this program writes."""


def check_apart(dest: Path, data_dir: Path) -> None:
    """Raises Problem if a folder of backups and a data folder are within each other: each removes what it
    does not need."""
    source, there = Path(realpath(data_dir)), Path(realpath(dest))  # resolve() ends at a loop of links
    if source == there or source in there.parents or there in source.parents:
        raise Problem(f"{dest} and {data_dir} cannot be within each other: give another folder.")


def catalog_of(data_dir: Path, *, alone: bool = False) -> CatalogFile:
    """The catalog of a data folder, open for reading. `alone`: nobody else uses it, and it has no log, so
    that SQLite needs no file beside it. Raises Problem and OSError."""
    if not data_dir.is_dir():
        raise Problem(f"There is no folder {data_dir}.")
    path = data_dir / CATALOG
    if not path.exists():
        raise Problem(f"{data_dir} has no catalog: is it a data folder?")
    try:
        return CatalogFile(path, alone=alone)
    except UNREADABLE as error:
        raise Problem(f"{path} cannot be read: {error}.") from None
    except ValueError as error:
        raise Problem(str(error)) from None
