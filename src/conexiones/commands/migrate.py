"""`conexiones migrate`: all that servers keep, from one place to another."""

import asyncio
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from conexiones.commands.given import given
from conexiones.commands.shared_places import s3_options, shared_places, without_package
from conexiones.commands.text import bytes_, line, plain, several
from conexiones.commands.upkeep import COULD_NOT, done, fail
from conexiones.commands.work_bar import WorkBar

if TYPE_CHECKING:
    from conexiones.settings import Settings
    from conexiones.upkeep.house import NewHouse, OldHouse
    from conexiones.upkeep.migrate import Moved

_DATABASE, _BLOBS = re.compile("postgres(ql)?://"), re.compile("s3://")
_SIDES = ("--from", "--to")


class _Moving(click.Command):
    """Takes two places behind --from and --to where they are a database and a bucket."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        found: list[str] = []
        side = value = ""  # behind which option the next one may stand, and what stands there already
        for arg in args:
            name, _, text = arg.partition("=")
            if name in _SIDES:
                side, value = name, text
                found.append(arg)
            elif not _is_place(arg) or (side and not value and found[-1] == side):
                value = arg if found and found[-1] == side else ""
                found.append(arg)
            elif side and _is_place(value):
                found += [f"{side}-more", arg]
                value = ""
            else:
                # It is not shown, as it may have a password.
                raise click.UsageError(
                    "A URL stands where none belongs: give places behind --from and --to.", ctx
                )
        return super().parse_args(ctx, found)


def _is_place(arg: str) -> bool:
    return bool(_DATABASE.match(arg) or _BLOBS.match(arg))


@click.command("migrate", cls=_Moving, context_settings={"show_default": True})
@click.option(
    "--from",
    "old",
    metavar="PLACE",
    callback=given,
    help="What is left: a data folder, or postgresql://… s3://…; by default what the environment names.",
)
@click.option(
    "--to",
    "new",
    metavar="PLACE",
    callback=given,
    help="What is moved into: the same, where nothing is yet; by default what the environment names.",
)
@click.option("--from-more", "old_more", hidden=True)
@click.option("--to-more", "new_more", hidden=True)
@s3_options
@click.option(
    "--with-damaged",
    is_flag=True,
    help="Complete the move although images are damaged: they are there without their bytes.",
)
@click.option("--dry-run", is_flag=True, help="Only look whether it can be done, and how much it is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on each line.")
def migrate(
    *,
    old: str | None,
    new: str | None,
    old_more: str | None,
    new_more: str | None,
    s3_endpoint: str | None,
    s3_region: str | None,
    s3_path_style: str | None,
    with_damaged: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move all that servers keep from a data folder to a database and a bucket, or back.

    \b
    conexiones migrate --from DATA --to postgresql://… s3://…
    conexiones migrate --from postgresql://… s3://… --to DATA

    No server may run on either side, and nothing may be in the new place yet. The old place is left as it is.
    When it is interrupted, run it again: it goes on. No server starts in the new place before all is there.

    What is not given comes from the environment, where passwords belong: CONEXIONES_DATABASE and
    CONEXIONES_BLOBS, or CONEXIONES_DATA_DIR. The --s3 settings are for both sides.

    The exit status is 1 if images are in the new place without their bytes, since they were damaged, and 2 if
    the new place is not complete.
    """
    from conexiones.settings import SettingsError

    flags = {"s3_endpoint": s3_endpoint, "s3_region": s3_region, "s3_path_style": s3_path_style}
    if old is None and new is None:
        fail("Give --from or --to: the other one may come from the environment.")
    try:
        left = _settings("--from", [old, old_more], flags)
        entered = _settings("--to", [new, new_more], flags)
    except SettingsError as error:
        fail(str(error))
    if (left.places, left.s3_endpoint) == (entered.places, entered.s3_endpoint):
        fail("--from and --to are the same place.")
    begun = time.monotonic()
    with WorkBar(as_json=as_json) as bar:
        moved = done(
            lambda: asyncio.run(_run(left, entered, with_damaged=with_damaged, dry_run=dry_run, bar=bar)),
            "The new place is not complete: run it again, and it goes on.",
            str(entered.data_dir),
        )
    _say(moved, seconds=time.monotonic() - begun, dry_run=dry_run, as_json=as_json)
    if dry_run or (moved.complete and not moved.damaged):
        sys.exit(0)
    sys.exit(1 if moved.complete else COULD_NOT)


def _settings(side: str, given: Sequence[str | None], flags: Mapping[str, str | None]) -> "Settings":
    """The settings of servers at a place: those of the environment, with what is given. Raises SettingsError,
    which names the option."""
    from conexiones.settings import Settings, SettingsError

    found: dict[str, str | None] = dict(flags)
    for text in filter(None, given):
        kind = "database" if _DATABASE.match(text) else "blobs" if _BLOBS.match(text) else "data_dir"
        if kind in found:
            raise SettingsError(
                f"{side} takes a data folder, or postgresql://… s3://…, and not two of a kind."
            )
        found[kind] = text
    try:
        settings = Settings.load(flags=found)
    except SettingsError as error:
        raise SettingsError(re.sub("^--(database|blobs|data-dir)", side, str(error))) from None
    if "data_dir" in found:
        return replace(settings, database=None, blobs=None)
    if not settings.database and ("blobs" in found or side == "--to"):
        raise SettingsError(
            f"{side} needs a database, postgresql://…, or CONEXIONES_DATABASE in the environment."
            if "blobs" in found
            else "Give --to, or set CONEXIONES_DATABASE and CONEXIONES_BLOBS."
        )
    if settings.database and not settings.blobs:
        raise SettingsError(
            f"{side} needs s3://BUCKET/PREFIX behind the database, or CONEXIONES_BLOBS in the environment."
        )
    return settings


async def _run(
    left: "Settings", entered: "Settings", *, with_damaged: bool, dry_run: bool, bar: WorkBar
) -> "Moved":
    from conexiones.upkeep.data_folder import check_apart
    from conexiones.upkeep.house_folder import FolderNew, FolderOld
    from conexiones.upkeep.migrate import migrate as work
    from conexiones.upkeep.problem import Problem

    old: OldHouse
    new: NewHouse
    try:
        if left.database:
            from conexiones.upkeep.house_shared import SharedOld

            old = SharedOld(shared_places(left))
        else:
            old = FolderOld(left.data_dir)
        if entered.database:
            from conexiones.upkeep.house_shared import SharedNew

            new = SharedNew(shared_places(entered))
        else:
            new = FolderNew(entered.data_dir)
    except ModuleNotFoundError as error:
        raise Problem(without_package(error)) from error
    if not left.database and not entered.database:
        check_apart(entered.data_dir, left.data_dir)
    return await work(old, new, with_damaged=with_damaged, dry_run=dry_run, progress=bar)


def _say(moved: "Moved", *, seconds: float, dry_run: bool, as_json: bool) -> None:
    for one in moved.damaged:
        if as_json:
            line(damaged=one.what, images=one.images, upload=one.upload)
            continue
        images = f", of {', '.join(map(plain, one.images))}" if one.images else ""
        click.echo(f"conexiones: {plain(one.what)}{images}, is damaged or missing.", err=True)
    if as_json:
        line(
            complete=moved.complete,
            images=moved.images,
            contents=moved.contents,
            bytes=moved.bytes,
            new_contents=moved.new_contents,
            new_bytes=moved.new_bytes,
            uploads=moved.uploads,
            damaged=len(moved.damaged),
            seconds=round(seconds, 3),
        )
        return
    what = f"{several(moved.images, 'image')}, {bytes_(moved.bytes)}; uploads under way: {moved.uploads}"
    if dry_run:
        click.echo(f"It can be moved: {what}")
    elif moved.complete:
        rate = moved.new_contents / seconds if seconds else 0.0
        click.echo(
            f"All is there: {what}; moved by this run: {several(moved.new_contents, 'content')},"
            f" {bytes_(moved.new_bytes)}" + (f", {rate:.0f} a second" if rate >= 1 else "")
        )
    else:
        click.echo(
            "conexiones: The new place is not complete, but all else is there. Restore what is damaged or"
            " delete it, and run this again; or move without it by --with-damaged.",
            err=True,
        )
