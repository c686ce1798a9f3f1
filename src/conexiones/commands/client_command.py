"""What all client commands share: the options of the connection, running, error messages."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

import click

from conexiones.commands.text import plain

USAGE = 2
"""The exit status of a command that is wrong in itself."""
SETTINGS: dict[str, Any] = {"show_default": True}

Command = Callable[..., Coroutine[Any, Any, int]]

_SECURITY = (
    click.option(
        "--tls",
        envvar="CONEXIONES_TLS",
        show_envvar=True,
        is_flag=True,
        help="Encrypt; --ca and --cert imply it.",
    ),
    click.option(
        "--ca",
        envvar="CONEXIONES_CA",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        help="The CA to trust (PEM).",
    ),
    click.option(
        "--cert",
        envvar="CONEXIONES_CERT",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        help="Client certificate (PEM).",
    ),
    click.option(
        "--key",
        envvar="CONEXIONES_KEY",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        help="Key of --cert (PEM).",
    ),
)

_OPTIONS = (
    click.option(
        "--address",
        envvar="CONEXIONES_ADDRESS",
        show_envvar=True,
        default="localhost:50051",
        metavar="HOST:PORT",
        help="The server.",
    ),
    *_SECURITY,
    click.option(
        "--timeout",
        envvar="CONEXIONES_TIMEOUT",
        show_envvar=True,
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        default=30.0,
        help="How long a call may take, and a stream may be silent.",
    ),
)


def security(work: "click.decorators.FC") -> "click.decorators.FC":
    """Adds the options for the security of the connection."""
    for option in reversed(_SECURITY):
        work = option(work)
    return work


def command(name: str) -> Callable[[Command], click.Command]:
    """Makes a command of a coroutine that takes a client and returns the exit status."""

    def decorate(work: Command) -> click.Command:
        @wraps(work)
        def run(
            *,
            address: str,
            tls: bool,
            ca: str | None,
            cert: str | None,
            key: str | None,
            timeout: float,
            **rest: Any,
        ) -> None:
            if bool(cert) != bool(key):
                raise click.UsageError("--cert and --key go together.")
            # One sentence is printed for an error; gRPC's own log would only obscure it.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")

            async def with_client() -> int:
                # Imported here, so that Ctrl-C during the import is handled like any other.
                from conexiones.sdk import AsyncClient

                try:
                    made = AsyncClient(address, tls=tls, ca=ca, cert=cert, key=key, timeout=timeout)
                except ValueError as error:
                    click.echo(f"conexiones: {error}", err=True)
                    return USAGE
                async with made as client:
                    return await work(client, **rest)

            sys.exit(_status(with_client))

        wrapped: Any = run
        for option in reversed(_OPTIONS):
            wrapped = option(wrapped)
        return click.command(name, context_settings=SETTINGS)(wrapped)

    return decorate


def _status(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        status = asyncio.run(work())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
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
        # It is about standard output. What is still to be written there would fail again as Python ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    from conexiones.errors import ConexionesError
    from conexiones.sdk import Unreachable

    if isinstance(error, Unreachable):
        return f"{error.message} (conexiones doctor --server {error.facts['address']} says more.)"
    if isinstance(error, ConexionesError):
        return plain(error.message)
    if isinstance(error, OSError):
        name = f"{plain(str(error.filename))}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    raise error


@contextmanager
def interruptible(last_words: Callable[[], str]) -> Iterator[None]:
    """After Ctrl-C, says what has become of it, unless that is nothing."""
    try:
        yield
    except asyncio.CancelledError:
        if said := last_words():
            click.echo(f"conexiones: {said}", err=True)
        raise
