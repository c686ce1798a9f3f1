"""`conexiones put` and `get`: images of any size, both ways, gone on with after an interruption."""

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.connection import command, described, facts, failure, line, sentence
from conexiones.image_formats import extension

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image, Rendition, RenditionInfo

STATE = ".conexiones-upload"
OURS = (STATE, ".part")

REFRESH = 0.1
"""Seconds between looks at the bars."""


class Bars:
    """A bar for each transfer, on standard error; nothing where that is no terminal, or on demand.

    They are drawn by the event loop: a thread of rich's own, at the same time as a line is said, leaves bars
    behind.
    """

    def __init__(self, *, hidden: bool) -> None:
        self._progress: Any = None
        if hidden or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        # Names give way first, so that a long one, or a narrow terminal, leaves a bar to see.
        name = Column(ratio=2, no_wrap=True, overflow="ellipsis")
        numbers = [Column(no_wrap=True, justify="right") for _ in range(3)]
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            DownloadColumn(table_column=numbers[0]),
            TransferSpeedColumn(table_column=numbers[1]),
            TimeRemainingColumn(table_column=numbers[2]),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            auto_refresh=False,
        )

    def __enter__(self) -> "Bars":
        if self._progress:
            self._progress.start()
            self._refresh()
        return self

    def _refresh(self) -> None:
        self._progress.refresh()
        self._later = asyncio.get_running_loop().call_later(REFRESH, self._refresh)

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._later.cancel()
            self._progress.stop()

    def add(self, name: str, total: int | None) -> "Bar":
        return Bar(self._progress, name, total)

    def say(self, text: str, *, err: bool = False) -> None:
        """A line on standard output, or error; above the bars where they share the terminal."""
        if self._progress and (err or sys.stdout.isatty()):
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            click.echo(text, err=err)


class Bar:
    """Called with progress, as the client calls it."""

    def __init__(self, progress: Any, name: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total) if progress else None

    def __call__(self, done: int, total: int | None) -> None:
        if self._progress:
            self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        if self._progress:
            self._progress.remove_task(self._task)


def files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files, and those in the folders and below; hidden ones and our own leftovers are passed over."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.is_file() and not hidden and not found.name.endswith(OURS):
                yield found


@contextmanager
def _interrupted(quiet: bool) -> Iterator[None]:
    """After Ctrl-C, says what that means."""
    try:
        yield
    except asyncio.CancelledError:
        if not quiet:
            click.echo("conexiones: Interrupted; the same command again goes on.", err=True)
        raise


def _size(path: Path) -> int | None:
    """None where that is not known; what is wrong with a file, the upload will say."""
    try:
        return path.stat().st_size
    except OSError:
        return None


@command("put")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(path_type=Path, allow_dash=True)
)
@click.option("--user", default="", show_default=False, help="Whose the images are to be.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, help="How many are sent at the same time."
)
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, on a line.")
async def put(
    client: "AsyncClient", paths: tuple[Path, ...], user: str, concurrency: int, quiet: bool, as_json: bool
) -> int:
    """Upload images: files, folders and all below them, or - for standard input.

    What was interrupted is gone on with by the same command again: until an upload is done, it is
    remembered in a file beside the image, "<name>.conexiones-upload".
    """
    failures = 0

    async def one(path: Path) -> None:
        nonlocal failures
        standard = str(path) == "-"
        bar = bars.add("stdin" if standard else path.name, _size(path))
        try:
            # Where no state can be kept, the image still can be sent.
            resume = not standard and os.access(path.parent, os.W_OK)
            source = sys.stdin.buffer if standard else path
            image = await client.upload(source, user=user, resume=resume, progress=bar)
        except Exception as error:
            failures += 1
            if as_json:
                line(
                    file=str(path), error={"reason": getattr(error, "reason", ""), "message": sentence(error)}
                )
            bars.say(failure(error, str(path)), err=True)
            return
        finally:
            bar.close()
        if as_json:
            line(file=str(path), **facts(image))
        elif not quiet:
            bars.say(f"{described(image, image.id)}  {path}")

    queue = iter(files(paths))

    async def worker() -> None:
        for path in queue:
            await one(path)

    with _interrupted(quiet), Bars(hidden=quiet or as_json) as bars:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    return 1 if failures else 0


@command("get")
@click.argument("id")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Where to; - for standard output. By default the id, of a rendition its size too, and the format's"
    " extension, in this folder.",
)
@click.option("--width", type=click.IntRange(min=1), help="Of a rendition, in pixels.")
@click.option("--height", type=click.IntRange(min=1), help="Of a rendition, in pixels.")
@click.option(
    "--fit",
    type=click.Choice(("inside", "cover", "contain")),
    help="Of a rendition: the whole, at most so large (the default); or exactly so large, cut or with bars.",
)
@click.option(
    "--format",
    type=click.Choice(("jpeg", "png", "webp", "avif")),
    help="Of a rendition; by default much as the image.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="Of a rendition.")
@click.option("--animated", is_flag=True, help="A rendition that keeps the animation, as WebP.")
@click.option("--keep-profile", is_flag=True, help="A rendition with the colour profile of the image.")
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
async def get(
    client: "AsyncClient", id: str, output: Path | None, quiet: bool, as_json: bool, **asked: Any
) -> int:
    """Download the image ID, checked by its SHA-256. What was interrupted is gone on with.

    With one of the options of a rendition, the image in that form.
    """
    from conexiones.sdk import Rendition

    if str(output) == "-" and sys.stdout.isatty():
        raise click.UsageError("An image is nothing for a terminal: redirect it, or give -o FILE.")
    rendition = Rendition(**asked) if any(asked.values()) else None
    received: Image | RenditionInfo
    with Bars(hidden=quiet or as_json) as bars:
        if str(output) == "-":
            if rendition is None:
                await client.download(id, sys.stdout.buffer)
            else:
                await client.download(id, sys.stdout.buffer, rendition=rendition)
            sys.stdout.buffer.flush()
            return 0
        if output is None or output.is_dir():  # noqa: ASYNC240 (nothing else waits yet)
            output = (output or Path()) / await _name(client, id, rendition)
        bar = bars.add(output.name, None)
        if rendition is None:
            received = await client.download(id, output, progress=bar)
        else:
            received = await client.download(id, output, rendition=rendition, progress=bar)
        bar.close()
    if as_json:
        line(**{"file": str(output), "id": id, **facts(received)})
    elif not quiet:
        click.echo(f"{described(received, id)}  {output}")
    return 0


async def _name(client: "AsyncClient", id: str, rendition: "Rendition | None") -> str:
    """The name of the file for it: that of a rendition is not that of its image."""
    if rendition is None:
        found = await client.image(id)
        return f"{id}.{extension(found.format)}"
    # What the server makes of it shows with its first byte, and is kept there for the rest.
    made = await client.download(id, io.BytesIO(), rendition=rendition, limit=1)
    return f"{id}-{made.width}x{made.height}.{extension(made.format)}"
