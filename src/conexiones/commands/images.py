"""`conexiones ls`, `rm`, `watch` and `hello`."""

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.client_command import command, described, failed, json_fields, line

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Image

_AGE = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601 (local time if it has no zone), or an age such as 90s, 15m, 12h, 7d or 2w."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if age := _AGE.fullmatch(value):
            return datetime.now().astimezone() - timedelta(**{_UNITS[age[2]]: int(age[1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a time such as 2026-01-31T12:00 nor an age such as 12h.", param, ctx
            )


@command("ls")
@click.option("--user", default="", show_default=False, help="Only this user's.")
@click.option(
    "--since", type=Moment(), help="Created at this time or later: 2026-01-31T12:00, or 12h for an age."
)
@click.option("--until", type=Moment(), help="Created before this time.")
@click.option("--limit", type=click.IntRange(min=1), help="The largest number of images.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each image, on a line.")
async def ls(
    client: "AsyncClient",
    user: str,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """List images, newest first."""
    count = 0
    size = min(limit or 200, 200)
    async for image in client.images(user=user, start=since, end=until, page_size=size):
        if as_json:
            line(**json_fields(image))
        else:
            created = image.create_time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            click.echo(f"{described(image, image.id)}  {created}  {image.user}".rstrip())
        count += 1
        if count == limit:
            break
    return 0


@command("rm")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
async def rm(client: "AsyncClient", ids: tuple[str, ...]) -> int:
    """Delete images."""
    status = 0
    for id in ids:
        try:
            await client.delete(id)
        except Exception as error:
            failed(error, id)
            status = 1
    return status


@command("watch")
@click.option("--user", default="", show_default=False, help="Only this user's.")
@click.option("--token", default="", show_default=False, help="Continue after the event with this token.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event, on a line.")
async def watch(client: "AsyncClient", user: str, token: str, as_json: bool) -> int:
    """Report images as they are stored, described and deleted, until interrupted."""
    from conexiones.sdk import Deleted, Described, Stored

    async for event in client.watch(token, user=user):
        if isinstance(event, Stored):
            if as_json:
                line(event="stored", token=event.token, image=json_fields(event.image))
            else:
                click.echo(
                    f"stored     {described(event.image, event.image.id)}  {event.image.user}".rstrip()
                )
        elif isinstance(event, Described):
            if as_json:
                line(event="described", token=event.token, image=json_fields(event.image))
            else:
                click.echo(f"described  {event.image.id}  {_shown(event.image)}")
        elif isinstance(event, Deleted):
            if as_json:
                line(event="deleted", token=event.token, id=event.id)
            else:
                click.echo(f"deleted    {event.id}")
        elif as_json:
            line(event="resync", token=event.token)
        else:
            click.echo("resync     events are missing here: list the images")
    return 0


def _shown(image: "Image") -> str:
    """The facts of an image, on one line."""
    if (facts := image.facts) is None:
        return ""
    if facts.problem:
        return f"cannot be decoded ({facts.problem})"
    alpha = ", alpha" if facts.has_alpha else ""
    return f"{facts.color_space}, {facts.bits_per_sample} bits{alpha}, {facts.dominant_color}"


@command("hello")
@click.argument("name")
@click.option("--pow", default=0, help="A number to remember and to square.")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A small image.")
@click.option("--json", "as_json", is_flag=True, help="The user as a JSON object, on a line.")
async def hello(client: "AsyncClient", name: str, pow: int, image: Path | None, as_json: bool) -> int:
    """Register or update the user NAME, and print the greeting (the tutorial's GetUser)."""
    data = await asyncio.to_thread(image.read_bytes) if image else b""
    greeting = await client.get_user(name, pow, data)
    if as_json and greeting.user:
        user = greeting.user
        line(
            message=greeting.message,
            name=user.name,
            pow=user.pow,
            pow_squared=user.pow_squared,
            image_id=user.image_id,
        )
    else:
        click.echo(greeting.message)
    return 0
