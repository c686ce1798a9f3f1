"""What all client commands share: the options of the connection, running, error messages."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands import token_source
from conexiones.commands.descriptors import discard_output
from conexiones.commands.given import given, in_options
from conexiones.commands.recording import Recording, WithWire
from conexiones.commands.text import plain

if TYPE_CHECKING:
    from conexiones.errors import ConexionesError
    from conexiones.sdk import AsyncClient

USAGE = 2
"""The exit status of a command that is wrong in itself."""
SCOPES = ("read", "write", "delete", "admin")
SETTINGS: dict[str, Any] = {"show_default": True}

Command = Callable[..., Coroutine[Any, Any, int]]

_SECURITY = (
    click.option(
        "--tls/--no-tls",
        envvar="CONEXIONES_TLS",
        show_envvar=True,
        help="Encrypt; --ca and --cert imply it.",
    ),
    click.option(
        "--ca",
        envvar="CONEXIONES_CA",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        callback=given,
        help="The CA to trust (PEM).",
    ),
    click.option(
        "--cert",
        envvar="CONEXIONES_CERT",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        callback=given,
        help="Client certificate (PEM).",
    ),
    click.option(
        "--key",
        envvar="CONEXIONES_KEY",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        callback=given,
        help="Key of --cert (PEM).",
    ),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, allow_dash=True),
        callback=given,
        help="A file that has the token; - for standard input. Otherwise the token in CONEXIONES_TOKEN, that"
        " in the file CONEXIONES_TOKEN_FILE, that of `conexiones login`, or, if a server of this user on this"
        " machine is called, its first token.",
    ),
    click.option(
        "--insecure-token",
        envvar="CONEXIONES_INSECURE_TOKEN",
        show_envvar=True,
        is_flag=True,
        help="Send the token without TLS, where others can read it.",
    ),
)

_TIMEOUT = click.option(
    "--timeout",
    envvar="CONEXIONES_TIMEOUT",
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=30.0,
    help="How long a call may take, and a stream may be silent.",
)

_OPTIONS = (
    click.option(
        "--address",
        envvar="CONEXIONES_ADDRESS",
        show_envvar=True,
        default="localhost:50051",
        metavar="HOST:PORT",
        help="The server, or several that share their data, with commas between them.",
    ),
    *_SECURITY,
    _TIMEOUT,
)
_OF_SERVER = (*_SECURITY, _TIMEOUT)


def security(work: "click.decorators.FC") -> "click.decorators.FC":
    """Adds the options for the security of the connection."""
    for option in reversed(_SECURITY):
        work = option(work)
    return work


def command(name: str, *, server: bool = False) -> Callable[[Command], click.Command]:
    """Makes a command of a coroutine that takes a client and returns the exit status. With `server`, the
    server is an argument, which the coroutine takes, too, with the token that is given for it."""

    def decorate(work: Command) -> click.Command:
        @wraps(work)
        def run(*, address: str, cert: str | None, key: str | None, timeout: float, **rest: Any) -> None:
            if bool(cert) != bool(key):
                raise click.UsageError("--cert and --key go together.")
            # One sentence is printed for an error; gRPC's own log would only obscure it.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            way = {name: rest.pop(name) for name in ("tls", "ca", "insecure_token")}
            way |= {"cert": cert, "key": key, "timeout": timeout}
            token_file = rest.pop("token_file")
            recording = Recording.of(rest)

            def begin() -> Coroutine[Any, Any, int]:
                # Imported here, so that Ctrl-C during the import is handled like any other.
                from conexiones.sdk import AsyncClient

                try:
                    if server:
                        rest["server"], rest["secret"] = address, token_source.given(token_file or "-")
                        return with_client(AsyncClient(address, **way, token=rest["secret"].reveal()))
                    encrypted = bool(way["tls"] or way["ca"] or cert)
                    place, token = token_source.options(
                        address, token_file, encrypted=encrypted, certified=bool(cert)
                    )
                    return with_client(AsyncClient(place, **way, **token))
                except ValueError as error:
                    raise _Wrong(str(error)) from error

            async def with_client(made: "AsyncClient") -> int:
                async with recording.of_client(made), made as client:
                    return await work(client, **rest)

            sys.exit(_status(begin))

        wrapped: Any = run
        for option in reversed(_OF_SERVER if server else _OPTIONS):
            wrapped = option(wrapped)
        if server:
            wrapped = click.argument("address", metavar="SERVER")(wrapped)
        return click.command(name, cls=WithWire, context_settings=SETTINGS)(wrapped)

    return decorate


class _Wrong(Exception):
    """An option cannot be what it is. The text says why."""


def _status(begin: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        status = asyncio.run(begin())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except _Wrong as error:
        click.echo(f"conexiones: {error}", err=True)
        return USAGE
    except click.UsageError:
        raise  # click shows it, with the command's usage
    except Exception as error:
        return _failed(_first(error))
    return status


def _first(error: Exception) -> Exception:
    """The error itself, or the first of a group: what fails first ends the tasks beside it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _failed(error: Exception) -> int:
    if isinstance(error, OSError) and not error.filename:
        discard_output()  # the error is about standard output
    # If the reader has gone away, as in `conexiones ls | head`, nobody needs to be told.
    if not isinstance(error, BrokenPipeError):
        failed(error)
    return 1


def failed(error: Exception, what: str = "") -> None:
    """Prints one line on standard error. Raises an error that is neither ours nor an OSError: it is a
    defect."""
    click.echo(failure(error, what), err=True)


def failure(error: Exception, what: str = "") -> str:
    """The line that `failed` prints. `what` is the file or the image that it is about."""
    said = f"{plain(what)}: " if what else ""
    if isinstance(error, OSError) and str(error.filename or "") == what:
        return f"conexiones: {said}{error.strerror}."
    return f"conexiones: {said}{sentence(error)}"


def sentence(error: Exception) -> str:
    from conexiones.errors import ConexionesError, NoCredentials, Unauthenticated
    from conexiones.sdk import Unreachable

    if isinstance(error, Unreachable):
        says = f"{error.message} (conexiones doctor --server {error.facts['address']} says more.)"
        return plain(says)  # a server's own words may be among them
    if isinstance(error, NoCredentials):
        return "The server wants a token: conexiones login, --token-file or CONEXIONES_TOKEN gives it one."
    if isinstance(error, Unauthenticated) and (source := token_source.source()):
        return plain(f"{error.message} (It is that of {source}.)")
    if isinstance(error, ConexionesError):
        return plain(in_options(error) + _to_quote(error))
    if isinstance(error, OSError):
        name = f"{plain(str(error.filename))}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    raise error


def _to_quote(error: "ConexionesError") -> str:
    """The id of the request, where whoever runs the server has to look for the cause."""
    from conexiones.errors import Code

    faults = (Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS)
    return f" (Request {error.request_id}.)" if error.request_id and error.code in faults else ""


def lets_nobody(error: Exception) -> bool:
    """Whether the server refuses who calls, and not what is asked for: nothing else would succeed either."""
    from conexiones.errors import ScopeMissing, Unauthenticated

    return isinstance(error, Unauthenticated | ScopeMissing)


@contextmanager
def interruptible(last_words: Callable[[], str]) -> Iterator[None]:
    """After Ctrl-C, says what has become of it, unless that is nothing."""
    try:
        yield
    except asyncio.CancelledError:
        if said := last_words():
            click.echo(f"conexiones: {said}", err=True)
        raise
