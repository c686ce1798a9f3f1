"""`conexiones put`: uploads images, and skips those of folders that the server has already."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conexiones.commands.bars import Bars
from conexiones.commands.client_command import command, failure, interruptible, lets_nobody
from conexiones.commands.text import described, json_fields, line, plain

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image

OUR_SUFFIXES = (".conexiones-upload", ".part")
"""Endings of the files that transfers leave while they are incomplete."""
STANDARD_INPUT = "/dev/fd/0"

BATCH_FILES = 200
BATCH_BYTES = 256 << 20
"""Files of a folder are hashed, and asked for, so many at a time: the first is sent before all are hashed."""

_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A file to send. `text`: the path as it is shown. `there`: the image that the server has of it."""

    text: str
    path: Path
    there: "Image | None" = None


class Refused(OSError):
    """A path that is not sent. The `filename` is that path, `strerror` says why."""


def walk(folder: Path) -> Iterator[Path | OSError]:
    """All files below a folder, in order, except hidden ones and those of incomplete transfers; and the
    errors of folders that cannot be read."""
    errors: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        yield from errors
        errors.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and not name.endswith(OUR_SUFFIXES) and path.is_file():
                yield path
    yield from errors


class Search:
    """Finds the files of the command's paths, and which of those in folders the server has already."""

    def __init__(self, client: "AsyncClient", user: str, *, again: bool) -> None:
        self._client = client
        self._user = user
        self._again = again
        self.empty: list[str] = []
        """Folders in which there is nothing to send."""

    async def all(self, paths: tuple[str, ...]) -> AsyncIterator[Found | OSError]:
        seen: set[Path] = set()
        for text in paths:
            path = Path(STANDARD_INPUT if text == "-" else text)
            if _URL.match(text) and not path.exists():  # noqa: ASYNC240 (looking at a name is quick)
                yield Refused(0, "This is a URL. Send what it gives: curl -fL URL | conexiones put -", text)
            elif path.is_dir():  # noqa: ASYNC240
                async for found in self._below(path):
                    yield found
            elif path not in seen or text == "-":
                # The same file twice would be one upload with two writers.
                seen.add(path)
                yield Found(text, path)

    async def _below(self, folder: Path) -> AsyncIterator[Found | OSError]:
        nothing = True
        files = walk(folder)
        while batch := await asyncio.to_thread(_some, files):
            nothing = False
            paths = [one for one in batch if isinstance(one, Path)]
            there = {} if self._again else await self._there(paths)
            for one in batch:
                yield one if isinstance(one, OSError) else Found(str(one), one, there.get(one))
        if nothing:
            self.empty.append(str(folder))

    async def _there(self, paths: list[Path]) -> "dict[Path, Image]":
        """Those of the files that the server has. If it cannot be asked, none: the upload says why."""
        from conexiones.errors import ConexionesError
        from conexiones.sdk.threads import beside

        digests = {path: await beside(_digest, path) for path in paths}
        wanted = {digest for digest in digests.values() if digest is not None}
        images: dict[bytes, Image] = {}
        try:
            async for image in self._client.images(user=self._user, sha256=sorted(wanted)):
                if image.sha256 not in wanted:
                    return {}  # an older server, which does not know this question, lists all images
                images.setdefault(image.sha256, image)
                if len(images) == len(wanted):
                    break
        except ConexionesError:
            return {}
        return {path: images[digest] for path, digest in digests.items() if digest in images}


def _some(files: Iterator[Path | OSError]) -> list[Path | OSError]:
    """The next files: so many, or so many bytes."""
    batch: list[Path | OSError] = []
    size = 0
    for one in files:
        batch.append(one)
        size += (_size(one) or 0) if isinstance(one, Path) else 0
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            break
    return batch


def _digest(path: Path) -> bytes | None:
    """The SHA-256 of a file; None if it cannot be read, or if its upload has been begun and is to go on."""
    import hashlib

    from conexiones.sdk.resume import StateFile

    try:
        if StateFile.of(path, None).path.exists():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


def _size(path: Path) -> int | None:
    """None if the size is unknown. If the file cannot be read, the upload reports it."""
    try:
        return path.stat().st_size or None
    except OSError:
        return None


class _NotLet(Exception):
    """The server has refused whoever sends, not what is sent."""


class Sending:
    """Sends the files, several at a time, and reports on each."""

    def __init__(self, client: "AsyncClient", user: str, *, quiet: bool, as_json: bool) -> None:
        self.failures = 0
        self.bars = Bars(hidden=quiet or as_json)
        self._client = client
        self._user = user
        self._quiet = quiet
        self._as_json = as_json
        self._under_way: set[Path] = set()

    async def run(self, search: Search, paths: tuple[str, ...], concurrency: int) -> None:
        queue: asyncio.Queue[Found | OSError | None] = asyncio.Queue(concurrency)

        async def find() -> None:
            async for one in search.all(paths):
                await queue.put(one)
            for _ in range(concurrency):
                await queue.put(None)

        async def send() -> None:
            while (one := await queue.get()) is not None:
                await self._one(one)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(find())
                for _ in range(concurrency):
                    group.create_task(send())
        except* _NotLet:
            pass

    async def _one(self, one: Found | OSError) -> None:
        if isinstance(one, OSError):
            self._fail(one, str(one.filename))
        elif one.there is not None:
            self._say(one, one.there, " (there already)", skipped=True)
        else:
            await self._send(one)

    async def _send(self, one: Found) -> None:
        standard = one.text == "-"
        bar = self.bars.add("stdin" if standard else plain(one.path.name), _size(one.path))
        self._under_way.add(one.path)
        try:
            image = await self._client.upload(one.path, user=self._user, resume=True, progress=bar)
        except Exception as error:
            self._fail(error, one.text, one.path)
            if lets_nobody(error):
                raise _NotLet from error
            return
        finally:
            bar.close()
        self._under_way.discard(one.path)
        self._say(one, image, "", skipped=False)

    def _say(self, one: Found, image: "Image", remark: str, *, skipped: bool) -> None:
        if self._as_json:
            line(file=one.text, **json_fields(image), skipped=skipped)
        elif not self._quiet:
            self.bars.say(f"{described(image, image.id)}  {plain(one.text)}{remark}")

    def _fail(self, error: Exception, what: str, path: Path | None = None) -> None:
        from conexiones.sdk import ConnectionLost, NoProgress
        from conexiones.sdk.resume import why_not

        self.failures += 1
        self._under_way.discard(path or Path())
        said = failure(error, what)
        if path is not None and isinstance(error, NoProgress | ConnectionLost) and (why := why_not(path)):
            said += f" {why}, so that nothing of it can be resumed."
        if self._as_json:
            message = said.removeprefix(f"conexiones: {plain(what)}: ")
            line(file=what, error={"reason": getattr(error, "reason", ""), "message": message})
        self.bars.say(said, err=True)

    def last_words(self) -> str:
        """What is said after Ctrl-C."""
        from conexiones.sdk.resume import why_not

        if self._quiet:
            return ""
        for path in sorted(self._under_way):
            if why := why_not(path):
                shown = "standard input" if str(path) == STANDARD_INPUT else plain(str(path))
                return f"Interrupted. {why}, so {shown} has to be sent again from its beginning."
        return "Interrupted; the same command again goes on."


@command("put")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(allow_dash=True))
@click.option("--user", default="", show_default=False, help="The user to whom the images will belong.")
@click.option("--again", is_flag=True, help="Also send files of folders that the server has already.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, help="How many images to send at the same time."
)
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, on a line.")
async def put(
    client: "AsyncClient",
    paths: tuple[str, ...],
    user: str,
    again: bool,
    concurrency: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Upload images: files, all files in folders, or - for standard input.

    Each image keeps the name of its file. Hidden files in folders are left out, and so are files in folders
    that the server has already, by their SHA-256 (with --user, those of that user); --again sends them too.

    After an interruption, the same command resumes the uploads. For this, an upload is recorded in a file
    beside the image, "<name>.conexiones-upload", until it is done. What can be read only once, such as a
    pipe, is sent without it, and so is a file in a folder that cannot be written to.
    """
    if "-" in paths and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("There is no image in what is typed: redirect a file or a pipe to -.")
    search = Search(client, user, again=again)
    sending = Sending(client, user, quiet=quiet, as_json=as_json)
    with interruptible(sending.last_words), sending.bars:
        await sending.run(search, paths, concurrency)
    if not quiet:
        for folder in search.empty:
            click.echo(f"conexiones: {plain(folder)}: There is no file to send in this folder.", err=True)
    return 1 if sending.failures else 0
