"""`conexiones login`, `logout` and `whoami`."""

import os
import sys
from typing import TYPE_CHECKING

import click

from conexiones.commands.client_command import SCOPES, SETTINGS, USAGE, command, failed
from conexiones.commands.text import bytes_, line, plain, record_fields

if TYPE_CHECKING:
    from conexiones.sdk import Access, AsyncClient, Quota
    from conexiones.sdk.credentials import Secret


@command("login", server=True)
async def login(client: "AsyncClient", server: str, secret: "Secret") -> int:
    """Keep a token for SERVER (HOST:PORT), for all commands that call it.

    Asks for the token without showing it, or reads it from standard input, or from --token-file. It is kept
    if the server knows it, in a file that only you can read (~/.config/conexiones/tokens/HOST:PORT).
    """
    from conexiones.sdk.logins import Logins

    access = await client.access()
    if access is None or not access.subject:
        click.echo(f"conexiones: {plain(server)} asks for no token, so that none is kept.", err=True)
        return 1
    path = Logins(os.environ).keep(server, secret)
    click.echo(f"{plain(access.subject)} may {_scopes(access)}. The token is kept in {plain(str(path))}.")
    return 0


@click.command("logout", context_settings=SETTINGS)
@click.argument("server", metavar="SERVER")
def logout(server: str) -> None:
    """Forget the token that is kept for SERVER (HOST:PORT). It goes on working elsewhere: `conexiones token
    revoke` ends it."""
    from conexiones.sdk.logins import Logins

    try:
        there = Logins(os.environ).forget(server)
    except ValueError as error:
        click.echo(f"conexiones: {error}", err=True)
        sys.exit(USAGE)
    except OSError as error:
        failed(error)
        sys.exit(1)
    if not there:
        click.echo(f"conexiones: No token is kept for {plain(server)}.", err=True)
        sys.exit(1)


@command("whoami")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, on a line.")
async def whoami(client: "AsyncClient", as_json: bool) -> int:
    """Say who you are for the server, what you may do, and how much of it you have used."""
    access = await client.access()
    if access is None:
        click.echo("conexiones: The server is too old to say it.", err=True)
        return 1
    if as_json:
        line(**record_fields(access, SCOPES))
        return 0
    mine = ", and sees only what is its own" if access.own else ""
    click.echo(f"{plain(access.subject) or 'Everybody'} may {_scopes(access)}{mine}.")
    if access.owner:
        click.echo(f"What is stored belongs to {plain(access.owner)}.")
    if access.expire_time:
        click.echo(f"The credential expires {access.expire_time.astimezone():%Y-%m-%d %H:%M:%S}.")
    quota, usage = access.quota, access.usage
    for used, most, what, shown in (
        (usage.stored_bytes, quota.stored_bytes, "stored", bytes_),
        (usage.stored_images, quota.stored_images, "images", str),
        (usage.open_uploads, quota.open_uploads, "open uploads", str),
    ):
        of = "" if most is None else f" of {shown(most)}"
        click.echo(f"{shown(used)}{of} {what.removesuffix('s') if (most or used) == 1 else what}")
    if rates := _rates(quota):
        click.echo(rates)
    return 0


def _scopes(access: "Access") -> str:
    names = [scope for scope in SCOPES if scope in access.scopes]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "do nothing"


def _rates(quota: "Quota") -> str:
    rates = []
    if quota.calls_per_second is not None:
        rates.append(f"{quota.calls_per_second:g} calls")
    if quota.bytes_per_second is not None:
        rates.append(bytes_(quota.bytes_per_second))
    return f"At most {' and '.join(rates)} in a second." if rates else ""
