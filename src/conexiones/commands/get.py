"""`conexiones get`: downloads an image, or a rendition of one."""

import errno
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.bars import Bars
from conexiones.commands.client_command import command, interruptible
from conexiones.commands.descriptors import is_given, not_given
from conexiones.commands.places import target_refused
from conexiones.commands.recording import wire_option
from conexiones.commands.text import described, json_fields, line, plain
from conexiones.image_formats import extension, file_id

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image, Rendition, RenditionInfo

STANDARD_OUTPUT = "/dev/fd/1"


@command("get")
@click.argument("id")
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER",
    type=click.Path(allow_dash=True),
    help="Where to write to; - for standard output. By default a file in this folder, named by the id (for a"
    " rendition, also its size) and the format.",
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
@wire_option
async def get(
    client: "AsyncClient",
    id: str,
    output: str | None,
    quiet: bool,
    as_json: bool,
    wire: str | None,
    **asked: Any,
) -> int:
    """Download the image ID, checked by its SHA-256. The same command resumes an interrupted download.

    With any of the options --width to --keep-profile, a rendition of the image is downloaded.

    A file is replaced when the new one is complete; a link is followed to the file that it names. A device, a
    pipe or a socket is written to, and so is a descriptor that the shell opens, such as /dev/fd/9.
    """
    from conexiones.sdk import Rendition
    from conexiones.sdk.places import descriptor, is_regular

    rendition = Rendition(**asked) if any(asked.values()) else None
    target = Path(STANDARD_OUTPUT if output == "-" else output or ".")
    number = descriptor(target)
    if output == "" or (number == 1 and not is_given(1)):
        raise click.UsageError("There is nothing to write to: give -o FILE.")
    if refused := not_given(number, output or ""):
        raise refused
    _check(number, wire)

    def last_words() -> str:
        if quiet:
            return ""
        part = is_regular(target) or not target.exists()
        return f"Interrupted; the same command {'goes on' if part else 'begins anew'}."

    with interruptible(last_words), Bars(hidden=quiet or as_json or number == 1 or wire is not None) as bars:
        if number is None:
            target = await _file(client, id, output, rendition)
        bar = bars.add(target.name, None)
        received: Image | RenditionInfo
        if rendition is None:
            received = await client.download(id, target, progress=bar)
        else:
            received = await client.download(id, target, rendition=rendition, progress=bar)
        bar.close()
    if number == 1:
        return 0  # standard output is the image, and nothing else
    if as_json:
        line(**{"file": str(target), "id": id, **json_fields(received)})
    elif not quiet:
        name = getattr(received, "name", "")
        of = f" ({plain(name)})" if name and name != target.name else ""
        click.echo(f"{described(received, id)}  {plain(str(target))}{of}")
    return 0


def _check(number: int | None, wire: str | None) -> None:
    """Whether an image can be written to this descriptor, beside what is shown of the wire."""
    if number is not None and os.isatty(number):
        raise click.UsageError("An image is nothing for a terminal: redirect it, or give -o FILE.")
    if wire and number == 1:
        raise click.UsageError("--wire writes to standard output, too: give -o FILE.")


async def _file(client: "AsyncClient", id: str, output: str | None, rendition: "Rendition | None") -> Path:
    """The path to write to: what was asked for, or in that folder a file with the default name."""
    if output and (refused := target_refused(output)):
        raise refused
    target = Path(output or ".")
    if target.is_dir():  # noqa: ASYNC240 (nothing else waits yet)
        return target / await _name(client, id, rendition)
    if output and output.endswith(os.sep):  # only the text says that a folder is meant
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", output)
    return target


async def _name(client: "AsyncClient", id: str, rendition: "Rendition | None") -> str:
    """The default file name for an image, or for a rendition, whose name also has its size."""
    if rendition is None:
        found = await client.image(id)
        return f"{file_id(id)}.{extension(found.format)}"
    # Its size is known when its first byte is downloaded. The server caches the rendition for the rest.
    made = await client.download(id, io.BytesIO(), rendition=rendition, limit=1)
    return f"{file_id(id)}-{made.width}x{made.height}.{extension(made.format)}"
