"""`conexiones token`, `ticket`, `link` and `link-key`."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.client_command import SCOPES, command, failed, lets_nobody
from conexiones.commands.given import given
from conexiones.commands.groups import Commands
from conexiones.commands.kinds import Size, Span, Words
from conexiones.commands.text import age, line, plain, record_fields
from conexiones.image_formats import IMAGE_FORMATS

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Token


@click.group("token", cls=Commands)
def token() -> None:
    """Make, list and revoke tokens. All of it but `first` needs a token with the scope admin."""


@command("create")
@click.argument("name")
@click.option(
    "--scopes",
    type=Words(*SCOPES),
    required=True,
    help="What it may do, separated by commas: read, write, delete, admin.",
)
@click.option("--own", is_flag=True, help="It sees and touches only what tokens of this name stored.")
@click.option("--expires", type=Span(), help="How long it works, such as 12h or 90d; by default for ever.")
@click.option("--quota-bytes", type=Size(), help="The bytes of all its images, such as 10GB.")
@click.option("--quota-images", type=click.IntRange(min=0), help="How many images it may have.")
@click.option("--quota-uploads", type=click.IntRange(min=0), help="How many uploads it may have open.")
@click.option("--rate-calls", type=click.FloatRange(min=0), help="How many calls it may make in a second.")
@click.option("--rate-bytes", type=Size(), help="How many bytes it may move in a second, such as 10MB.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
async def create(
    client: "AsyncClient",
    name: str,
    scopes: tuple[Any, ...],
    own: bool,
    expires: timedelta | None,
    quota_bytes: int | None,
    quota_images: int | None,
    quota_uploads: int | None,
    rate_calls: float | None,
    rate_bytes: int | None,
    as_json: bool,
) -> int:
    """Make a token, and print it. It is shown only now.

    NAME says whose it is: 1 to 64 letters, digits, and any of . _ - @ and /. What is stored belongs to the
    name, so that a new token of the same name can replace an old one.
    """
    from conexiones.sdk import Quota

    made = await client.create_token(
        name,
        scopes,
        own=own,
        expires=expires,
        quota=Quota(
            stored_bytes=quota_bytes,
            stored_images=quota_images,
            open_uploads=quota_uploads,
            calls_per_second=rate_calls,
            bytes_per_second=rate_bytes,
        ),
    )
    if as_json:
        line(**record_fields(made.token, SCOPES), secret=made.secret)
        return 0
    click.echo(made.secret)
    click.echo(f"conexiones: Keep it: it is not shown again. Its id is {made.token.id}.", err=True)
    return 0


@command("ls")
@click.option("--all", "ended", is_flag=True, help="Also those that were revoked or have expired (30 days).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each token, on a line.")
async def ls(client: "AsyncClient", ended: bool, as_json: bool) -> int:
    """List tokens, newest first: id, name, scopes, age, last use (by the hour), and when they end."""
    now = datetime.now(UTC)
    async for one in client.tokens(ended=ended):
        if as_json:
            line(**record_fields(one, SCOPES))
        else:
            click.echo(_row(one, now))
    return 0


@command("revoke")
@click.argument("tokens", nargs=-1, required=True, metavar="ID|NAME…")
async def revoke(client: "AsyncClient", tokens: tuple[str, ...]) -> int:
    """End tokens, and all tickets, sessions and links that were made with them.

    A NAME is enough where one token has it. The id of a ticket ends that ticket.
    """
    status = 0
    for asked in tokens:
        try:
            status |= await _revoke(client, asked)
        except Exception as error:
            failed(error, asked)
            status = 1
            if lets_nobody(error):
                break
    return status


async def _revoke(client: "AsyncClient", asked: str) -> int:
    """Raises TokenNotFound."""
    named = [one async for one in client.tokens(name=asked)] if asked else []
    if len(named) > 1:
        ids = ", ".join(one.id for one in named)
        click.echo(f"conexiones: {plain(asked)}: Several tokens have this name; give an id: {ids}.", err=True)
        return 1
    await client.revoke_token(named[0].id if named else asked)
    return 0


@click.group("ticket", cls=Commands)
def ticket() -> None:
    """Make upload tickets, with which somebody else may store images."""


@command("create")
@click.option(
    "--max-bytes", type=Size(), default=0, help="Of all images together; by default, the largest image."
)
@click.option("--max-images", type=click.IntRange(min=1), default=1, help="How many images.")
@click.option("--formats", type=Words(*IMAGE_FORMATS), help="Separated by commas; by default all.")
@click.option("--expires", type=Span(), help="How long it works, at most 24h; by default 1h.")
@click.option("--owner", default="", show_default=False, help="To whom the images belong; by default to you.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
async def create_ticket(
    client: "AsyncClient",
    max_bytes: int,
    max_images: int,
    formats: tuple[str, ...] | None,
    expires: timedelta | None,
    owner: str,
    as_json: bool,
) -> int:
    """Make an upload ticket, and print it. Whoever has it may store images, and do nothing else."""
    made = await client.create_ticket(
        max_bytes=max_bytes, max_images=max_images, formats=formats or (), expires=expires, owner=owner
    )
    if as_json:
        line(id=made.id, secret=made.secret, expire_time=made.expire_time.isoformat())
        return 0
    click.echo(made.secret)
    until = f"{made.expire_time.astimezone():%Y-%m-%d %H:%M:%S}"
    click.echo(f"conexiones: It works until {until}. Its id is {made.id}.", err=True)
    return 0


@command("link")
@click.argument("id")
@click.option("--width", type=click.IntRange(min=1), help="Width of the rendition, in pixels.")
@click.option("--height", type=click.IntRange(min=1), help="Height of the rendition, in pixels.")
@click.option("--fit", type=click.Choice(("inside", "cover", "contain")), help="As of conexiones get.")
@click.option("--format", type=click.Choice(("jpeg", "png", "webp", "avif")), help="Format of the rendition.")
@click.option("--quality", type=click.IntRange(1, 100), help="Quality of the rendition.")
@click.option("--animated", is_flag=True, help="Keep the animation in the rendition, as WebP.")
@click.option("--keep-profile", is_flag=True, help="Keep the colour profile of the image in the rendition.")
@click.option("--download", is_flag=True, help="Browsers save the image instead of showing it.")
@click.option("--expires", type=Span(), help="How long it works, at most 7d; by default 1h.")
@click.option("--base", help="What stands before /images/; by default the server's address.")
async def link(client: "AsyncClient", id: str, **asked: Any) -> int:
    """Print a link that opens the image ID, or a rendition of it, without a token.

    It works until it expires, or until the token ends with which it was signed.
    """
    click.echo(await client.image_link(id, **asked))
    return 0


@click.group("link-key", cls=Commands)
def link_key() -> None:
    """Replace the key that signs links. It needs a token with the scope admin."""


@command("rotate")
@click.option("--end-links", is_flag=True, help="End all links that were signed before, and their calls.")
async def rotate(client: "AsyncClient", end_links: bool) -> int:
    """Make a key that signs links from now on, and print its id.

    Links that were signed before work on until they expire, unless --end-links ends them now. The server
    makes another key every 30 days by itself.
    """
    click.echo(await client.rotate_link_key(end_links=end_links))
    return 0


def _row(token: "Token", now: datetime) -> str:
    scopes = ",".join(scope for scope in SCOPES if scope in token.scopes) + (" own" if token.own else "")
    used = _used(token.use_time, now) if token.use_time else "never"
    if token.revoke_time:
        ends = f"revoked {age(token.revoke_time, now)} ago"
    elif token.expire_time is None:
        ends = ""
    elif token.expire_time <= now:
        ends = "expired"
    else:
        ends = f"until {token.expire_time.astimezone():%Y-%m-%d %H:%M}"
    told = (
        f"{token.id}  {plain(token.name):<16}  {scopes:<24}  {age(token.create_time, now):>6}  used {used:>6}"
    )
    return f"{told}  {ends}".rstrip()


def _used(hour: datetime, now: datetime) -> str:
    """When a token was used, of which the hour is known: that may have begun before the token was made."""
    return "< 1 h" if now - hour < timedelta(hours=1) else age(hour, now)


@click.command("first")
@click.option(
    "--database",
    metavar="URL",
    callback=given,
    help="The servers' database. By default that of the environment (CONEXIONES_DATABASE).",
)
@click.option("--again", is_flag=True, help="Also if there is a token with the scope admin.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
def first(*, database: str | None, again: bool, as_json: bool) -> None:
    """Make the first token of the administrator of servers that share a database, and print it.

    It is written to the database itself: no server has to run, and those that run know it at once. A server
    with a data folder needs no such command: it leaves the token in the folder's file admin-token.
    """
    try:
        id, secret = asyncio.run(_first(database, again=again))
    except Exception as error:
        click.echo(f"conexiones: {plain(_why(error))}", err=True)
        sys.exit(1)
    if as_json:
        line(id=id, secret=secret)
        return
    click.echo(secret)
    click.echo(f"conexiones: Keep it: it is not shown again. Its id is {id}.", err=True)


async def _first(database: str | None, *, again: bool) -> tuple[str, str]:
    """The id and the secret."""
    from conexiones.settings import Settings
    from conexiones.upkeep.problem import Problem

    settings = Settings.load(flags={"database": database})
    if not settings.database:
        raise Problem("Give --database, or set CONEXIONES_DATABASE.")
    from conexiones.upkeep.first_token import first_token

    # Another database than that of the environment has a pooler of its own, or none.
    direct = None if database else settings.database_direct
    return await first_token(settings.database, direct=direct, again=again)


def _why(error: Exception) -> str:
    """A sentence for the user. Raises the error again if it is a defect."""
    from conexiones.errors import ConexionesError
    from conexiones.settings import SettingsError
    from conexiones.upkeep.problem import Problem

    if isinstance(error, ModuleNotFoundError):
        return f"This needs the package {error.name}. In a clone of the project: pip install '.[postgres]'."
    if isinstance(error, ConexionesError):
        return error.message
    if isinstance(error, Problem | SettingsError):
        return str(error)
    raise error


for one in (create, ls, revoke, first):
    token.add_command(one)
ticket.add_command(create_ticket)
link_key.add_command(rotate)
