"""`conexiones put`: uploads images, and skips those of folders that the server has already."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conexiones.commands.bars import Bar, Bars
from conexiones.commands.client_command import command, failure, interruptible
from conexiones.commands.descriptors import not_given
from conexiones.commands.given import given
from conexiones.commands.places import STANDARD_INPUT, refuse_terminal, url_refused
from conexiones.commands.recording import wire_option
from conexiones.commands.text import described, json_fields, json_line, plain

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image, NewImage, Uploaded

OUR_SUFFIXES = (".conexiones-upload", ".part")
"""Endings of the files that transfers leave while they are incomplete."""

PIECE_BYTES = 256 << 10
"""Bytes of a file that are hashed at a time."""

BATCH_FILES = 200
BATCH_BYTES = 256 << 20
"""Files of a folder are hashed, and asked for, so many at a time: the first is sent before all are hashed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to send. `text`: the path as it is shown. `there`: the image that the server has of it."""

    text: str
    path: Path
    there: "Image | None" = None


def walk(folder: Path) -> Iterator[Path | OSError]:
    """All files below a folder, in order, except hidden ones and those of incomplete transfers; and the
    errors of what cannot be read, such as links that lead nowhere."""
    errors: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        yield from errors
        errors.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or name.endswith(OUR_SUFFIXES):
                continue
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except FileNotFoundError as error:
                if path.is_symlink():  # otherwise, it has gone since its folder was read
                    yield error
            except OSError as error:
                yield error
    yield from errors


class Search:
    """Finds the files of the command's paths, and which of those in folders the server has already."""

    def __init__(self, client: "AsyncClient", user: str, *, again: bool) -> None:
        self._client = client
        self._user = user
        self._again = again
        self._seen: set[tuple[int, int] | Path] = set()
        self.empty: list[str] = []
        """Folders in which there is nothing to send."""

    async def all(self, paths: tuple[str, ...]) -> AsyncIterator[Found | OSError]:
        from conexiones.sdk.places import descriptor

        for text in paths:
            path = Path(STANDARD_INPUT if text == "-" else text)
            if refused := url_refused(text, "put -") or not_given(descriptor(path), text):
                yield refused
            elif path.is_dir():  # noqa: ASYNC240 (looking at a name is quick)
                async for found in self._below(path):
                    yield found
            elif text == "-" or self._is_new(path):
                yield Found(text, path)

    def _is_new(self, path: Path) -> bool:
        """Whether it is not a file that was found before, under whatever path: the same file twice would be
        one upload with two writers, or be stored twice."""
        which: tuple[int, int] | Path = path
        with suppress(OSError):
            found = path.stat()
            # The same pipe or device may give other bytes each time.
            which = (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else path
        new = which not in self._seen
        self._seen.add(which)
        return new

    async def _below(self, folder: Path) -> AsyncIterator[Found | OSError]:
        from conexiones.sdk.threads import seen

        nothing = True
        files = walk(folder)
        coming = asyncio.ensure_future(self._batch(files))
        try:
            while (batch := await coming) is not None:
                nothing = False
                # While one batch is sent, the next is hashed and asked for.
                coming = asyncio.ensure_future(self._batch(files))
                coming.add_done_callback(seen)  # nobody awaits it if nobody wants more
                for one in batch:
                    yield one
        finally:
            coming.cancel()
        if nothing:
            self.empty.append(str(folder))

    async def _batch(self, files: Iterator[Path | OSError]) -> list[Found | OSError] | None:
        """The next files, without those that were found before. None after the last."""
        batch = await asyncio.to_thread(_some, files)
        news = [one for one in batch if isinstance(one, OSError) or self._is_new(one)]
        paths = [one for one in news if isinstance(one, Path)]
        there = {} if self._again or not paths else await self._there(paths)
        found = [one if isinstance(one, OSError) else Found(str(one), one, there.get(one)) for one in news]
        return found if batch else None

    async def _there(self, paths: list[Path]) -> "dict[Path, Image]":
        """Those of the files that the server has. If it cannot be asked, none: the upload says why."""
        from conexiones.errors import ConexionesError
        from conexiones.sdk.threads import beside

        digests = dict(zip(paths, await beside(_digests, paths), strict=True))
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


def _digests(paths: list[Path]) -> list[bytes | None]:
    return [_digest(path) for path in paths]


def _digest(path: Path) -> bytes | None:
    """The SHA-256 of a file; None if it cannot be read, or if its upload has been begun and is to go on."""
    import hashlib

    from conexiones.sdk.resume import StateFile

    try:
        if StateFile.of(path, None).path.exists():
            return None
        with path.open("rb", buffering=0) as file:
            digest = hashlib.sha256(file.read(PIECE_BYTES))
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
            return digest.digest()
    except OSError:
        return None


def _size(path: Path) -> int | None:
    """None if the size is unknown. If the file cannot be read, the upload reports it."""
    try:
        return path.stat().st_size or None
    except OSError:
        return None


class SmallBar:
    """The one bar of all small images."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bar: Bar | None = None
        self._done = self._total = 0

    def given(self, one: Found) -> None:
        self._count(one, total=1)

    def large(self, one: Found) -> None:
        """It has a bar of its own."""
        self._count(one, total=-1)

    def done(self, one: Found) -> None:
        self._count(one, done=1)

    def _count(self, one: Found, *, done: int = 0, total: int = 0) -> None:
        if self._bars.hidden:
            return
        size = _size(one.path) or 0
        self._done += done * size
        self._total += total * size
        if self._bar is None:
            self._bar = self._bars.add("small images", None)
        self._bar(self._done, self._total)


class Sending:
    """Sends the files, and reports on each."""

    def __init__(
        self, client: "AsyncClient", user: str, *, quiet: bool, as_json: bool, bars: bool = True
    ) -> None:
        self.failures = 0
        self.bars = Bars(hidden=quiet or as_json or not bars)
        self._small = SmallBar(self.bars)
        self._client = client
        self._user = user
        self._quiet = quiet
        self._as_json = as_json
        self._given = 0
        self._said: list[tuple[bool, str]] = []
        """Lines that are not printed yet; whether on standard error."""
        # By their place among those that are given to the client.
        self._under_way: dict[int, Found] = {}
        self._bars: dict[int, Bar] = {}
        """Those of large images."""

    async def run(self, search: Search, paths: tuple[str, ...], concurrency: int) -> None:
        from conexiones.errors import ConexionesError

        # In batches, so that there is one write for all that is said of one.
        batches = self._client._upload_batches(
            self._images(search, paths), concurrency=concurrency, resume=True, progress=self._progress
        )
        try:
            async with aclosing(batches):
                async for batch in batches:
                    for outcome in batch:
                        self._report(outcome)
                    self._print()
        except ConexionesError as error:
            # It concerns all files, and is said once.
            first = min(self._under_way, default=None)
            if first is None:
                raise
            one = self._under_way.pop(first)
            self._fail(error, one.text, one.path)
        finally:
            self._print()

    def _report(self, outcome: "Uploaded") -> None:
        one = self._under_way.pop(outcome.index)
        if outcome.index in self._bars:
            self._bars.pop(outcome.index).close()
        else:
            self._small.done(one)
        if outcome.image is not None:
            self._say(one, outcome.image, "", skipped=False)
        elif outcome.error is not None:
            self._fail(outcome.error, one.text, one.path)

    def _print(self) -> None:
        said, self._said = self._said, []
        for err, lines in groupby(said, key=lambda one: one[0]):
            self.bars.say("\n".join(text for _, text in lines), err=err)

    async def _images(self, search: Search, paths: tuple[str, ...]) -> "AsyncIterator[NewImage]":
        """What is to be sent. Says what is not."""
        from conexiones.sdk import NewImage

        async for one in search.all(paths):
            if isinstance(one, OSError):
                self._fail(one, str(one.filename))
                self._print()
            elif one.there is not None:
                self._say(one, one.there, " (there already)", skipped=True)
                self._print()
            else:
                self._under_way[self._given] = one
                self._given += 1
                self._small.given(one)
                yield NewImage(source=one.path, user=self._user)

    def _progress(self, index: int, done: int, total: int | None) -> None:
        if index not in self._bars:
            one = self._under_way[index]
            self._small.large(one)
            name = "stdin" if one.text == "-" else plain(one.path.name)
            self._bars[index] = self.bars.add(name, _size(one.path))
        if done:
            self._bars[index](done, total)

    def _say(self, one: Found, image: "Image", remark: str, *, skipped: bool) -> None:
        if self._as_json:
            text = json_line(file=one.text, **json_fields(image), skipped=skipped)
            self._said.append((False, text))
        elif not self._quiet:
            self._said.append((False, f"{described(image, image.id)}  {plain(one.text)}{remark}"))

    def _fail(self, error: Exception, what: str, path: Path | None = None) -> None:
        from conexiones.sdk import ConnectionLost, NoProgress
        from conexiones.sdk.resume import why_not

        self.failures += 1
        said = failure(error, what)
        if path is not None and isinstance(error, NoProgress | ConnectionLost) and (why := why_not(path)):
            said += f" {why}, so that nothing of it can be resumed."
        if self._as_json:
            message = said.removeprefix(f"conexiones: {plain(what)}: ")
            reason = getattr(error, "reason", "")
            told = {"reason": reason, "message": message}
            if request_id := getattr(error, "request_id", ""):
                told["request_id"] = request_id
            self._said.append((False, json_line(file=what, error=told)))
        self._said.append((True, said))

    def last_words(self) -> str:
        """What is said after Ctrl-C."""
        from conexiones.sdk.resume import why_not

        if self._quiet:
            return ""
        for path in sorted(self._under_way[index].path for index in self._bars):
            if why := why_not(path):
                shown = "standard input" if str(path) == STANDARD_INPUT else plain(str(path))
                return f"Interrupted. {why}, so {shown} has to be sent again from its beginning."
        return "Interrupted; the same command again goes on."


@command("put")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="FILE|FOLDER…",
    type=click.Path(allow_dash=True),
    callback=given,
)
@click.option(
    "--user",
    default="",
    show_default=False,
    callback=given,
    help="The user to whom the images will belong.",
)
@click.option("--again", is_flag=True, help="Also send files of folders that the server has already.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=4,
    help="How many large images to send at the same time.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but what fails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, on a line.")
@wire_option
async def put(
    client: "AsyncClient",
    paths: tuple[str, ...],
    user: str,
    again: bool,
    concurrency: int,
    quiet: bool,
    as_json: bool,
    wire: str | None,
) -> int:
    """Upload images: files, all files in folders, or - for standard input.

    Each image keeps the name of its file. Hidden files in folders are left out, and so are files in folders
    that the server has already, by their SHA-256 (with --user, those of that user); --again sends them too.
    Links in folders are followed to files, and not to folders. A file that several of the arguments name is
    sent once.

    Small images share a few streams. After an interruption, the same command resumes the uploads of large
    ones. For this, an upload is recorded in a file beside the image, "<name>.conexiones-upload", until it is
    done. What can be read only once, such as a pipe, is sent without it, and so is a file in a folder that
    cannot be written to.

    What is refused or cannot be read is named, and the others are sent. The exit status is 0 only if all are
    stored.
    """
    for text in paths:
        refuse_terminal(text)
    search = Search(client, user, again=again)
    sending = Sending(client, user, quiet=quiet, as_json=as_json, bars=wire is None)
    with interruptible(sending.last_words), sending.bars:
        await sending.run(search, paths, concurrency)
    if not quiet:
        for folder in search.empty:
            click.echo(f"conexiones: {plain(folder)}: There is no file to send in this folder.", err=True)
    return 1 if sending.failures else 0
