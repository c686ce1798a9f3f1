"""`conexiones wire decode`: bytes of one's own, decoded."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from conexiones.commands.given import given
from conexiones.commands.groups import Commands
from conexiones.commands.recording import colours
from conexiones.commands.text import plain

if TYPE_CHECKING:
    from conexiones.wire.events import Part

PROTOCOLS = ("grpc", "grpc-web", "connect", "http2", "http1", "protobuf")
ENCODINGS = ("auto", "hex", "base64", "raw")
MAX_FILE_BYTES = 64 << 20


@click.group("wire", cls=Commands)
def wire() -> None:
    """Look at bytes as they go over the wire."""


@wire.command("decode")
@click.argument("data", metavar="[BYTES|FILE]", default="-")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    metavar="PROTOCOL",
    help="What the bytes are; without it, what they look like: grpc, grpc-web or connect is the body of a"
    " request or a reply; http2 or http1, what one side sends on a connection; protobuf, one message.",
)
@click.option(
    "--message",
    metavar="NAME",
    callback=given,
    help="The type of the messages, such as GetUserRequest. Without it, fields have no names.",
)
@click.option(
    "--proto",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    callback=given,
    help="The contract: a .proto file, or a descriptor set of protoc. By default, that of this project.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    metavar="ENCODING",
    default="auto",
    show_default=True,
    help="How the bytes are written: hex, base64, raw, or auto for what they look like.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, one object on a line.")
def decode(
    data: str, protocol: str | None, message: str | None, proto: str | None, encoding: str, as_json: bool
) -> None:
    """Decode bytes of gRPC, gRPC-Web or Connect.

    BYTES are in hexadecimal (also as xxd and hexdump -C write them), base64, or JSON. A FILE, and standard
    input (-, or no argument), may also have the bytes themselves. Secrets are hidden. The exit status is 1 if
    something cannot be decoded; what comes before it is shown.
    """
    from conexiones.wire.contract import Contract
    from conexiones.wire.decode import decoded, guessed
    from conexiones.wire.events import Undecodable
    from conexiones.wire.typed import data_of

    try:
        contract = Contract.of(Path(proto)) if proto else Contract.ours()
        kind = contract.message(message) if message else None
        text, typed = _read(data)
        content = data_of(text, encoding, typed=typed)
        parts = decoded(content, protocol or guessed(content), contract, kind)
        problem = _show(parts, as_json=as_json)
    except Undecodable as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if not error.filename:
            raise  # it is about standard output
        _fail(f"{error.filename}: {error.strerror or error}.")
    else:
        if problem:
            _fail(problem)


def _read(data: str) -> tuple[bytes, bool]:
    """What is given, and whether it was typed as the argument."""
    try:
        return _given(data)
    except OSError as error:
        _fail(f"{error.filename or data}: {error.strerror or error}.")


def _given(data: str) -> tuple[bytes, bool]:
    """What is given, and whether it was typed as the argument. Raises OSError."""
    if data == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("Give BYTES, a FILE, or redirect a pipe to standard input.")
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1), False
    path = Path(data)
    if not _exists(path):
        return data.encode(errors="replace"), True
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1), False


def _exists(path: Path) -> bool:
    """A pipe and a device are files, too; that a folder is none is said when it is opened."""
    try:
        return path.exists()
    except (OSError, ValueError):  # what is too long for a name, or cannot be one
        return False


def _show(parts: "Iterable[tuple[int, Part]]", *, as_json: bool) -> str:
    """Prints the parts. Gives what is wrong with the first that is wrong."""
    from conexiones.wire.events import problem_of
    from conexiones.wire.json_lines import one_line, part_object
    from conexiones.wire.text import Timeline, coloured, uncoloured

    timeline = Timeline(coloured if colours() else uncoloured)
    problem = ""
    for stream, part in parts:
        problem = problem or problem_of(part)
        if as_json:
            found = {"wire": part.kind} | ({"stream": stream} if stream else {}) | part_object(part)
            click.echo(one_line(found))
        else:
            click.echo("\n".join(timeline.part(part, stream)), color=True)
    return problem


def _fail(sentence: str) -> NoReturn:
    click.echo(f"conexiones: {plain(sentence)}", err=True)
    sys.exit(1)
