"""`conexiones verify`: whether all that is stored is what was stored."""

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.given import given
from conexiones.commands.kinds import Size
from conexiones.commands.shared_places import s3_options, shared_places, without_package
from conexiones.commands.text import bytes_, line, plain, several
from conexiones.commands.upkeep import DATA_DIR, JSON, done, fail
from conexiones.commands.work_bar import WorkBar

if TYPE_CHECKING:
    from conexiones.settings import Settings
    from conexiones.upkeep.findings import Finding, Report, Verified


@click.command("verify", context_settings={"show_default": True})
@DATA_DIR
@click.option(
    "--backup",
    "dest",
    type=click.Path(file_okay=False),
    metavar="DEST",
    callback=given,
    help="Verify the newest backup in this folder, instead of what a server uses.",
)
@click.option(
    "--database",
    metavar="URL",
    callback=given,
    help="Verify what servers share: as of conexiones serve. A password belongs in CONEXIONES_DATABASE.",
)
@click.option("--blobs", metavar="URL", callback=given, help="With a database: as of conexiones serve.")
@s3_options
@click.option(
    "--rate", type=Size(least=1), metavar="SIZE", help="Read at most so many bytes a second, such as 20MB."
)
@JSON
def verify(
    *, data_dir: str | None, dest: str | None, rate: int | None, as_json: bool, **flags: str | None
) -> None:
    """Read every byte that is stored, while servers run or not, and say what is damaged.

    \b
    conexiones verify --data-dir FOLDER
    CONEXIONES_DATABASE=… CONEXIONES_BLOBS=… conexiones verify

    What is verified is what conexiones serve would use with the same settings: the data folder, or the
    database and the bucket that servers share. For these, a user who may only SELECT is enough.

    Prints a line for each fault: what is damaged or missing. What is left over takes space, and does no harm.
    It changes nothing. The exit status is 0 if there is no fault, 1 if there is one, and 2 if nothing could
    be said.
    """
    begun = time.monotonic()
    settings = None if dest is not None else _settings(data_dir, flags)
    if dest is not None and (data_dir is not None or any(flags.values())):
        fail("--backup DEST verifies a backup, and takes no place beside.")
    with WorkBar(as_json=as_json) as bar:

        def report(finding: "Finding") -> None:
            if as_json:
                line(kind=finding.kind, what=finding.what, says=finding.says)
            else:
                bar.say(f"{finding.kind:<9}  {plain(finding.what)}: {plain(finding.says)}")

        def run() -> "Verified":
            if settings is not None:
                return _verified(settings, report, rate=rate, progress=bar)
            from conexiones.upkeep.verify import verify_backup

            return verify_backup(Path(dest or ""), report, name=None, rate=rate, progress=bar)

        found = done(run, "Not all was verified.")
    if as_json:
        line(
            images=found.images,
            bytes=found.bytes,
            faults=found.faults,
            left_over=found.left_over,
            seconds=round(time.monotonic() - begun, 3),
        )
    else:
        click.echo(
            f"{several(found.images, 'image')}, {bytes_(found.bytes)} read:"
            f" {several(found.faults, 'fault') if found.faults else 'no faults'}"
            + (f", left over: {found.left_over}" if found.left_over else "")
        )
    sys.exit(1 if found.faults else 0)


def _settings(data_dir: str | None, flags: dict[str, str | None]) -> "Settings":
    """Those of servers, with what is given. Ends the program where that does not fit together."""
    from dataclasses import replace

    from conexiones.settings import Settings, SettingsError

    try:
        settings = Settings.load(flags={"data_dir": data_dir, **flags})
    except SettingsError as error:
        fail(str(error))
    if data_dir is not None:
        if any(flags.values()):
            fail("--data-dir is a folder of one server, and --database is what several share: give one.")
        return replace(settings, database=None, blobs=None)
    if settings.database and not settings.blobs:
        fail("A database needs --blobs s3://BUCKET/PREFIX, or CONEXIONES_BLOBS in the environment.")
    if (settings.blobs or any(flags.values())) and not settings.database:
        fail(
            "This needs a database, postgresql://…, by --database or CONEXIONES_DATABASE in the environment."
        )
    return settings


def _verified(settings: "Settings", report: "Report", *, rate: int | None, progress: Any) -> "Verified":
    """Raises what the work does."""
    if settings.database:
        try:
            from conexiones.upkeep.verify_shared import verify_shared

            places = shared_places(settings)
        except ModuleNotFoundError as error:
            fail(without_package(error))
        return asyncio.run(verify_shared(places, report, rate=rate, progress=progress))
    from conexiones.upkeep.verify import verify as work

    return work(settings.data_dir, report, rate=rate, progress=progress)
