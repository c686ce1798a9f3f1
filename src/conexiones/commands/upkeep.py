"""`conexiones backup` and `restore`: what is done with a data folder."""

import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from conexiones.commands.given import given
from conexiones.commands.text import bytes_, line, plain, several
from conexiones.commands.work_bar import WorkBar

T = TypeVar("T")

COULD_NOT = 2
"""The exit status where nothing can be said of the data."""

DATA_DIR = click.option(
    "--data-dir",
    metavar="FOLDER",
    callback=given,
    help="The data folder. By default the one that the server would use (CONEXIONES_DATA_DIR).",
)
_NEW_DATA_DIR = click.option(
    "--data-dir",
    metavar="FOLDER",
    callback=given,
    help="The new data folder, which has to be named here.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on each line.")


@click.command("backup", context_settings={"show_default": True})
@click.argument("dest", type=click.Path(file_okay=False), callback=given)
@DATA_DIR
@click.option("--keep", type=click.IntRange(min=1), default=7, help="How many backups DEST keeps.")
@click.option(
    "--read-all",
    is_flag=True,
    help="Read again what DEST has already, too, and copy anew what is damaged there.",
)
@JSON
def backup(*, dest: str, data_dir: str | None, keep: int, read_all: bool, as_json: bool) -> None:
    """Back up a data folder to the folder DEST, while its server runs or not.

    The backup is of one moment, and images that DEST has already are not copied again. All that is written is
    read back and compared. When it is interrupted, run it again: it goes on. The backups before stay complete
    all the time. The exit status is 1 if images are damaged in the data folder, and 2 if there is no backup.
    """
    from conexiones.upkeep.backup import back_up

    with WorkBar(as_json=as_json) as bar:
        copied = done(
            lambda: back_up(_folder(data_dir), Path(dest), keep=keep, read_all=read_all, progress=bar),
            "There is no new backup yet: run it again, and it goes on.",
            dest,
        )
    assert copied.backup is not None  # noqa: S101 (for mypy: without one, something was raised)
    manifest = copied.backup.manifest
    for digest, where in copied.damaged.items():
        if as_json:
            line(damaged=digest.hex(), where=where)
        else:
            click.echo(
                f"conexiones: {where} is damaged, and is in no backup: conexiones verify says which images"
                f" are.",
                err=True,
            )
    for id in copied.rows:
        if as_json:
            line(damaged_row=id)
        else:
            click.echo(
                f"conexiones: The row of image {plain(id)} is damaged, and is in the backup as it is: restore"
                " an earlier one, or delete the image.",
                err=True,
            )
    if as_json:
        line(
            backup=copied.backup.name,
            images=manifest.images,
            bytes=manifest.bytes,
            new_contents=copied.new_contents,
            new_bytes=copied.new_bytes,
            deleted_meanwhile=copied.deleted,
            mended=copied.mended,
            damaged=len(copied.damaged),
            damaged_rows=len(copied.rows),
            removed=copied.removed,
        )
    else:
        click.echo(
            f"{copied.backup.name}  {several(manifest.images, 'image')}, {bytes_(manifest.bytes)};"
            f" new: {copied.new_contents}, {bytes_(copied.new_bytes)}"
            + (
                f"; written anew, as they were damaged in {plain(dest)}: {copied.mended}"
                if copied.mended
                else ""
            )
            + _lacking(manifest.damaged)
            + (f"; deleted meanwhile: {copied.deleted}" if copied.deleted else "")
            + (f"; removed: {', '.join(copied.removed)}" if copied.removed else "")
        )
    sys.exit(1 if copied.damaged or copied.rows else 0)


@click.command("restore", context_settings={"show_default": True})
@click.argument("dest", type=click.Path(file_okay=False), callback=given)
@_NEW_DATA_DIR
@click.option("--backup", "name", metavar="NAME", help="Restore that one, instead of the newest.")
@click.option("--list", "listed", is_flag=True, help="List the backups in DEST, and restore nothing.")
@JSON
def restore(*, dest: str, data_dir: str | None, name: str | None, listed: bool, as_json: bool) -> None:
    """Make a new data folder of the newest backup in the folder DEST.

    The data folder has to be new or empty. All bytes are compared with their digests while they are copied.
    When it is interrupted, run it again: it goes on. Uploads that were under way at the time of the backup
    are EXPIRED. The exit status is 1 if the backup lacks some images, and 2 if there is no data folder.
    """
    from conexiones.upkeep.restore import restore as work

    if listed:
        done(lambda: _list(Path(dest), as_json=as_json), "")
        return
    if data_dir is None:
        raise click.UsageError("Give --data-dir: a new folder, or an empty one.")
    folder = _folder(data_dir)
    with WorkBar(as_json=as_json) as bar:
        restored = done(
            lambda: work(Path(dest), folder, name=name, progress=bar),
            f"{folder} is not complete: run it again, and it goes on.",
            str(folder),
        )
    for digest in restored.missing:
        if as_json:
            line(missing=digest)
        else:
            click.echo(f"conexiones: The content {digest} is not whole in the backup.", err=True)
    if as_json:
        line(
            restored=restored.backup.name,
            data_dir=str(folder),
            images=restored.images,
            ended_uploads=restored.ended_uploads,
            missing=len(restored.missing),
        )
    else:
        ended = restored.ended_uploads
        click.echo(
            f"{plain(str(folder))} is as at {plain(restored.backup.manifest.time)}:"
            f" {several(restored.images, 'image')}"
            + (f"; uploads that were under way, and are expired: {ended}" if ended else "")
        )
    sys.exit(1 if restored.missing else 0)


def _list(dest: Path, *, as_json: bool) -> None:
    from conexiones.upkeep.repository import Repository

    with Repository(dest) as repository:
        for name in repository.names():
            found = repository.backup(name)
            if found is None:
                click.echo(f"{name}  its manifest is damaged, or its catalog is missing", err=as_json)
                continue
            manifest = found.manifest
            if as_json:
                line(
                    backup=name,
                    time=manifest.time,
                    images=manifest.images,
                    damaged=len(manifest.damaged),
                )
            else:
                lacking = _lacking(manifest.damaged)
                click.echo(f"{name}  {several(manifest.images, 'image')}, {bytes_(manifest.bytes)}{lacking}")


def _lacking(damaged: list[str]) -> str:
    return f"; not in it, as they were damaged: {several(len(damaged), 'content')}" if damaged else ""


def _folder(data_dir: str | None) -> Path:
    from conexiones.settings import Settings, SettingsError

    try:
        settings = Settings.load(flags={"data_dir": data_dir})
    except SettingsError as error:
        fail(str(error))
    if settings.database and data_dir is None:
        fail(
            "This is for a data folder, and the servers here share a database (CONEXIONES_DATABASE):"
            " docs/scale.md says how that is backed up. For a folder give --data-dir."
        )
    return settings.data_dir


def done(work: Callable[[], T], interrupted: str, where: str = "") -> T:
    """The result of the work. What it cannot do is said in one line, also that the folder `where`, to which
    it writes, is full. `interrupted` is said after Ctrl-C."""
    import sqlite3

    from conexiones.errors import ConexionesError
    from conexiones.upkeep.problem import Problem

    try:
        return work()
    except KeyboardInterrupt:
        if interrupted:
            with suppress(OSError):
                click.echo(f"conexiones: {interrupted}", err=True)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        raise
    except Problem as error:
        fail(str(error))
    except ConexionesError as error:
        fail(error.message)
    except OSError as error:
        named = str(error.filename or where)
        name = f"{plain(named)}: " if named else ""
        fail(f"{name}{error.strerror or error}.")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        fail(f"The catalog cannot be read: {error}.")
    except Exception:
        # A mistake of this program: a status of 1 would say something of the data.
        traceback.print_exc()
        sys.exit(COULD_NOT)


def fail(sentence: str) -> NoReturn:
    click.echo(f"conexiones: {plain(sentence)}", err=True)
    sys.exit(COULD_NOT)
