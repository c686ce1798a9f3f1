"""What all client commands share: the options of the connection, running, error messages and output."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from conexiones.sdk import Image, RenditionInfo

Command = Callable[..., Coroutine[Any, Any, int]]

_SECURITY = (
    click.option("--tls", envvar="CONEXIONES_TLS", is_flag=True, help="Encrypt; --ca and --cert imply it."),
    click.option(
        "--ca", envvar="CONEXIONES_CA", type=click.Path(dir_okay=False), help="The CA to trust (PEM)."
    ),
    click.option(
        "--cert", envvar="CONEXIONES_CERT", type=click.Path(dir_okay=False), help="Client certificate (PEM)."
    ),
    click.option(
        "--key", envvar="CONEXIONES_KEY", type=click.Path(dir_okay=False), help="Key of --cert (PEM)."
    ),
)

_OPTIONS = (
    click.option(
        "--address", envvar="CONEXIONES_ADDRESS", default="localhost:50051", help="The server, HOST:PORT."
    ),
    *_SECURITY,
    click.option(
        "--timeout",
        envvar="CONEXIONES_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        help="Seconds that a call may take, and that a stream may be silent.",
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

                async with AsyncClient(
                    address, tls=tls, ca=ca, cert=cert, key=key, timeout=timeout
                ) as client:
                    return await work(client, **rest)

            sys.exit(_status(with_client))

        wrapped: Any = run
        for option in reversed(_OPTIONS):
            wrapped = option(wrapped)
        return click.command(name, context_settings={"show_default": True})(wrapped)

    return decorate


def _status(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except click.UsageError:
        raise  # click shows it, with the command's usage
    except BrokenPipeError:
        # The reader went away, as in `conexiones ls | head`. Closing stderr suppresses Python's own message.
        sys.stderr.close()
        return 1
    except Exception as error:
        failed(error)
        return 1


def failed(error: Exception, what: str = "") -> None:
    """Prints one line on standard error. Raises an error that is neither ours nor an OSError: it is a
    defect."""
    click.echo(failure(error, what), err=True)


def failure(error: Exception, what: str = "") -> str:
    """The line that `failed` prints."""
    return f"conexiones: {f'{what}: ' if what else ''}{sentence(error)}"


def sentence(error: Exception) -> str:
    from conexiones.errors import ConexionesError
    from conexiones.sdk import Unreachable

    if isinstance(error, Unreachable):
        return f"{error.message} (conexiones doctor --server {error.facts['address']} says more.)"
    if isinstance(error, ConexionesError):
        return error.message
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    raise error


def json_fields(image: "Image | RenditionInfo") -> dict[str, Any]:
    """An image, or a rendition of one, as fields of a JSON object."""
    from dataclasses import asdict

    found = asdict(image) | {"sha256": image.sha256.hex()}
    if "create_time" in found:
        found["create_time"] = found["create_time"].isoformat()
    return found


def line(**values: Any) -> None:
    """Prints one JSON object on one line."""
    click.echo(json.dumps(values, ensure_ascii=False))


def described(image: "Image | RenditionInfo", id: str) -> str:
    """An image, or a rendition of one, on one line, for people."""
    frames = f" × {image.frames}" if image.frames > 1 else ""
    shape = f"{image.width} × {image.height}{frames}"
    return f"{id}  {image.format:<5} {shape:>15}  {bytes_(image.size_bytes):>9}"


def bytes_(count: float) -> str:
    """A size for people, in decimal units."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"
