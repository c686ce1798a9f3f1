"""`conexiones put` and `get`: upload and download images of any size, resumable after an interruption."""

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.client_command import command, described, failure, json_fields, line, sentence
from conexiones.image_formats import extension

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image, Rendition, RenditionInfo

OUR_SUFFIXES = (".conexiones-upload", ".part")
"""Endings of the files that transfers leave while they are incomplete."""

REFRESH_SECONDS = 0.1
"""Time between two redraws of the progress bars."""


class Bars:
    """A progress bar for each transfer, on standard error. Shows none if `hidden` or if that is no terminal.

    The event loop redraws them. rich's own thread would leave stray bars behind when it redraws while a line
    is printed.
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

        # Names are shortened first, so that the bar stays visible with a long name or a narrow terminal.
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
        self._later = asyncio.get_running_loop().call_later(REFRESH_SECONDS, self._refresh)

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._later.cancel()
            self._progress.stop()

    def add(self, name: str, total: int | None) -> "Bar":
        return Bar(self._progress, name, total)

    def say(self, text: str, *, err: bool = False) -> None:
        """Prints a line on standard output or error, above the bars if they share the terminal."""
        if self._progress and (err or sys.stdout.isatty()):
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            click.echo(text, err=err)


class Bar:
    """The bar of one transfer. It is called as the SDK calls `progress`."""

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
    """The files, and all files below the folders except hidden ones and those of incomplete transfers."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.is_file() and not hidden and not found.name.endswith(OUR_SUFFIXES):
                yield found


@contextmanager
def _interrupted(quiet: bool) -> Iterator[None]:
    """After Ctrl-C, says how to resume."""
    try:
        yield
    except asyncio.CancelledError:
        if not quiet:
            click.echo("conexiones: Interrupted; the same command again goes on.", err=True)
        raise


def _size(path: Path) -> int | None:
    """None if the size is unknown. If the file cannot be read, the upload reports it."""
    try:
        return path.stat().st_size
    except OSError:
        return None


@command("put")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(path_type=Path, allow_dash=True)
)
@click.option("--user", default="", show_default=False, help="The user to whom the images will belong.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, help="How many images to send at the same time."
)
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, on a line.")
async def put(
    client: "AsyncClient", paths: tuple[Path, ...], user: str, concurrency: int, quiet: bool, as_json: bool
) -> int:
    """Upload images: files, folders and all files below them, or - for standard input.

    After an interruption, the same command resumes the uploads. For this, an upload is recorded in a file
    beside the image, "<name>.conexiones-upload", until it is done.
    """
    failures = 0

    async def one(path: Path) -> None:
        nonlocal failures
        standard = str(path) == "-"
        bar = bars.add("stdin" if standard else path.name, _size(path))
        try:
            # If the folder is not writable, no state can be kept, but the image can still be sent.
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
            line(file=str(path), **json_fields(image))
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
    help="The file or folder to write to; - for standard output. By default a file in this folder, named by"
    " the id (for a rendition, also its size) and the format.",
)
@click.option("--width", type=click.IntRange(min=1), help="Width of the rendition, in pixels.")
@click.option("--height", type=click.IntRange(min=1), help="Height of the rendition, in pixels.")
@click.option(
    "--fit",
    type=click.Choice(("inside", "cover", "contain")),
    help="inside (the default): the whole image, at most this large. cover: exactly this large, cropped."
    " contain: exactly this large, with bars.",
)
@click.option(
    "--format",
    type=click.Choice(("jpeg", "png", "webp", "avif")),
    help="Format of the rendition; by default that of the image, or a similar one.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="Quality of the rendition.")
@click.option("--animated", is_flag=True, help="Keep the animation in the rendition, as WebP.")
@click.option("--keep-profile", is_flag=True, help="Keep the colour profile of the image in the rendition.")
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
async def get(
    client: "AsyncClient", id: str, output: Path | None, quiet: bool, as_json: bool, **asked: Any
) -> int:
    """Download the image ID, checked by its SHA-256. The same command resumes an interrupted download.

    With any of the options --width to --keep-profile, a rendition of the image is downloaded.
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
        line(**{"file": str(output), "id": id, **json_fields(received)})
    elif not quiet:
        click.echo(f"{described(received, id)}  {output}")
    return 0


async def _name(client: "AsyncClient", id: str, rendition: "Rendition | None") -> str:
    """The default file name for an image, or for a rendition, whose name also has its size."""
    if rendition is None:
        found = await client.image(id)
        return f"{id}.{extension(found.format)}"
    # Its size is known when its first byte is downloaded. The server caches the rendition for the rest.
    made = await client.download(id, io.BytesIO(), rendition=rendition, limit=1)
    return f"{id}-{made.width}x{made.height}.{extension(made.format)}"
