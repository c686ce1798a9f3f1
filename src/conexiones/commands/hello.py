"""`conexiones hello`: the tutorial's GetUser, in any of the protocols."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conexiones.commands.client_command import command
from conexiones.commands.descriptors import not_given
from conexiones.commands.given import given
from conexiones.commands.places import STANDARD_INPUT, Refused, refuse_terminal, url_refused
from conexiones.commands.recording import wire_option
from conexiones.commands.text import line, plain

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient

PROTOCOLS = ("grpc", "grpc-web", "grpc-web-text", "connect", "connect-proto")
MESSAGE_BYTES = 64 << 20
"""What a message may have by default, where the server is not asked."""


@command("hello")
@click.argument("name", default="Mundo")
@click.option(
    "--pow",
    type=click.IntRange(-(2**31), 2**31 - 1),
    metavar="NUMBER",
    default=0,
    help="A number to remember and to square.",
)
@click.option(
    "--image",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    callback=given,
    help="An image that fits into one message, usually of 64 MiB; - for standard input.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="grpc",
    metavar="PROTOCOL",
    help="grpc; grpc-web, as browsers call, or grpc-web-text, in base64; connect, with JSON, as curl calls,"
    " or connect-proto, with protobuf.",
)
@click.option("--json", "as_json", is_flag=True, help="The user as a JSON object, on a line.")
@wire_option
async def hello(
    client: "AsyncClient",
    name: str,
    pow: int,
    image: str | None,
    protocol: str,
    as_json: bool,
    wire: str | None,
) -> int:
    """Register or update the user NAME (Mundo without one), and print the greeting.

    This is the tutorial's GetUser. With --wire, it shows how the call looks on the wire; the
    course at /learn of the server explains what is seen there.
    """
    if protocol == "grpc":
        most = (await client.limits()).max_message_bytes if image else 0
        data = await _image(most, name, image) if image else None
        greeting = await client.get_user(name, pow, data)
    else:
        from conexiones.sdk.http1 import get_user

        data = await _image(MESSAGE_BYTES, name, image) if image else None
        greeting = await get_user(client._connection, protocol, name, pow, data)
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
        click.echo(plain(greeting.message))
    return 0


async def _image(most: int, user: str, text: str) -> bytes:
    """The bytes of an image that is sent in one message. Raises OSError, also for what is too large."""
    from conexiones.sdk.places import descriptor
    from conexiones.sdk.sources import open_source

    refuse_terminal(text)
    if text != "-" and (refused := url_refused(text, f"hello {shlex.quote(user)} --image -")):
        raise refused
    place = STANDARD_INPUT if text == "-" else text
    if wrong := not_given(descriptor(Path(place)), text):
        raise wrong
    source = open_source(place, hashing=False)
    try:
        data = (await source.chunk(0, most + 1)).data
    finally:
        source.close()
    if len(data) > most:
        why = f"It is larger than one message may be ({most} bytes). Send it with: conexiones put --user"
        raise Refused(0, f"{why} {shlex.quote(user)} {shlex.quote(text)}", text)
    return data
