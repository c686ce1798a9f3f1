"""`conexiones ls`, `rm`, `watch` and `health`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from conexiones.commands.client_command import command, failed, lets_nobody
from conexiones.commands.given import given
from conexiones.commands.kinds import Moment
from conexiones.commands.recording import wire_option
from conexiones.commands.text import described, json_fields, line, names, plain, row

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image


@command("ls")
@click.option("--user", default="", show_default=False, callback=given, help="Only this user's.")
@click.option(
    "--since", type=Moment(), help="Created at this time or later: 2026-01-31T12:00, or 12h for an age."
)
@click.option("--until", type=Moment(), help="Created before this time.")
@click.option(
    "--name",
    default="",
    show_default=False,
    callback=given,
    help="Only those whose name has this text in it.",
)
@click.option(
    "--owner",
    default="",
    show_default=False,
    callback=given,
    help="Only what belongs to it, such as token:shop.",
)
@click.option("--limit", type=click.IntRange(min=1), help="The largest number of images.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each image, on a line.")
@wire_option
async def ls(
    client: "AsyncClient",
    user: str,
    since: datetime | None,
    until: datetime | None,
    name: str,
    owner: str,
    limit: int | None,
    as_json: bool,
    wire: str | None,
) -> int:
    """List images, newest first.

    Each line has the id, the format, the size, the age, the name of the file and, after an @, the user. The
    last two are cut where the terminal ends (at 80 columns without one); programs take --json.
    """
    count = 0
    now = datetime.now(UTC)
    size = min(limit or 200, 200)
    found = client.images(user=user, start=since, end=until, name=name, owner=owner, page_size=size)
    async for image in found:
        if as_json:
            line(**json_fields(image))
        else:
            click.echo(row(image, now))
        count += 1
        if count == limit:
            break
    return 0


@command("rm")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
async def rm(client: "AsyncClient", ids: tuple[str, ...]) -> int:
    """Delete images."""
    status = 0
    for id in dict.fromkeys(ids):
        try:
            await client.delete(id)
        except Exception as error:
            failed(error, id)
            status = 1
            if lets_nobody(error):
                break
    return status


@command("watch")
@click.option("--user", default="", show_default=False, callback=given, help="Only this user's.")
@click.option(
    "--owner",
    default="",
    show_default=False,
    callback=given,
    help="Only what belongs to it, such as token:shop.",
)
@click.option(
    "--token",
    default="",
    show_default=False,
    callback=given,
    help="Continue after the event with this token.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event, on a line.")
@wire_option
async def watch(
    client: "AsyncClient", user: str, owner: str, token: str, as_json: bool, wire: str | None
) -> int:
    """Report images as they are stored, described and deleted, until interrupted."""
    from conexiones.sdk import Deleted, Described, Stored

    ready = None if as_json else _once_ready()
    async for event in client.watch(token, user=user, owner=owner, ready=ready):
        if isinstance(event, Stored):
            if as_json:
                line(event="stored", token=event.token, image=json_fields(event.image))
            else:
                click.echo(
                    f"stored     {described(event.image, event.image.id)}  {names(event.image)}".rstrip()
                )
        elif isinstance(event, Described):
            if as_json:
                line(event="described", token=event.token, image=json_fields(event.image))
            else:
                click.echo(f"described  {plain(event.image.id)}  {plain(_shown(event.image))}")
        elif isinstance(event, Deleted):
            if as_json:
                line(event="deleted", token=event.token, id=event.id)
            else:
                click.echo(f"deleted    {plain(event.id)}")
        elif as_json:
            line(event="resync", token=event.token)
        else:
            click.echo("resync     events are missing here: list the images")
    return 0


def _once_ready() -> Callable[[str], None]:
    """Says that it listens, when the server has said so for the first time."""
    said = False

    def ready(_: str) -> None:
        nonlocal said
        if not said:
            click.echo("conexiones: Listening; Ctrl-C ends it.", err=True)
        said = True

    return ready


def _shown(image: "Image") -> str:
    """The facts of an image, on one line."""
    if (facts := image.facts) is None:
        return ""
    if facts.problem:
        return f"cannot be decoded ({facts.problem})"
    alpha = ", alpha" if facts.has_alpha else ""
    return f"{facts.color_space}, {facts.bits_per_sample} bits{alpha}, {facts.dominant_color}"


@command("health")
@click.option(
    "--service",
    default="",
    show_default=False,
    callback=given,
    help="Ask for this service, such as user.UsuarioServicio, and not for the whole server.",
)
async def health(client: "AsyncClient", service: str) -> int:
    """Ask whether the server is healthy, as probes do.

    Prints SERVING, or NOT_SERVING while the server drains or cannot store anything. The exit status is 0 only
    for SERVING. It needs no token.
    """
    status = await client.health(service)
    click.echo(status)
    return 0 if status == "SERVING" else 1
