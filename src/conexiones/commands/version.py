"""`conexiones version` and `conexiones status`: which version it is, of this program and of a server."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from conexiones import __version__
from conexiones.commands import token_source
from conexiones.commands.client_command import command, failed, security
from conexiones.commands.text import age, bytes_, line, plain, several
from conexiones.commit import commit

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, ServerStatus, Verification


@click.command("version", context_settings={"show_default": True})
@click.option("--server", metavar="HOST:PORT", help="Ask this server, too.")
@security
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    metavar="SECONDS",
    default=10.0,
    help="How long the server may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each program, on a line.")
def version(*, server: str | None, as_json: bool, **way: Any) -> None:
    """Print the version of this program, the commit it was built from, and the schema of its catalog."""
    from conexiones.upkeep.data_folder import SCHEMA

    _print("program", __version__, commit(), SCHEMA, as_json=as_json)
    if server is None:
        return
    # One sentence is printed for an error; gRPC's own log would only obscure it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        status = asyncio.run(_ask(server, way))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except Exception as error:
        failed(error)
        sys.exit(1)
    _print("server", status.version, status.build, status.schema_version, as_json=as_json)


async def _ask(server: str, way: dict[str, Any]) -> "ServerStatus":
    """Raises ValueError if the server, or the way to it, cannot be meant."""
    from conexiones.sdk import AsyncClient

    encrypted = any(way[name] for name in ("tls", "ca", "cert"))
    place, token = token_source.options(
        server, way.pop("token_file"), encrypted=encrypted, certified=bool(way["cert"])
    )
    async with AsyncClient(place, retries=0, patience=way["timeout"], **way, **token) as client:
        return await client.status()


def _print(what: str, version: str, build: str, schema: int, *, as_json: bool) -> None:
    if as_json:
        line(what=what, version=version, build=build, schema=schema)
        return
    built = f", commit {plain(build)}" if build else ""
    catalog = f", schema {schema}" if schema else ""
    click.echo(f"{what:<7}  {plain(version)}{built}{catalog}")


@command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, on a line.")
async def status(client: "AsyncClient", as_json: bool) -> int:
    """Print which version the server is, what it holds, and whether that is whole.

    The exit status is 1 if images are known to be damaged.
    """
    from dataclasses import asdict

    found = await client.status()
    checked = found.verification
    if as_json:
        fields = asdict(found) | {"start_time": found.start_time.isoformat()}
        if checked:
            for name in ("begin_time", "last_finish_time"):
                moment = getattr(checked, name)
                fields["verification"][name] = moment and moment.isoformat()
        line(**fields)
    else:
        _print("server", found.version, found.build, found.schema_version, as_json=False)
        click.echo(
            f"started  {found.start_time.astimezone():%Y-%m-%d %H:%M:%S} ({age(found.start_time)} ago)"
        )
        images, users = several(found.images, "image"), several(found.users, "user")
        click.echo(f"stored   {images}, {bytes_(found.image_bytes)}; {users}")
        click.echo(f"uploads  {found.open_uploads} open")
        if checked:
            click.echo(f"checked  {_checked(checked)}")
    return 1 if checked and checked.damaged_images else 0


def _checked(found: "Verification") -> str:
    damaged = f"damaged images: {found.damaged_images}" if found.damaged_images else "nothing damaged"
    last = "not all read yet"
    if found.last_finish_time:
        last = (
            f"{several(found.last_images, 'image')}, {bytes_(found.last_bytes)}, all read"
            f" {age(found.last_finish_time)} ago"
        )
    now = (
        f"; {several(found.images, 'image')}, {bytes_(found.bytes)}, in this round"
        if found.begin_time
        else ""
    )
    return f"{damaged}; {last}{now}"
