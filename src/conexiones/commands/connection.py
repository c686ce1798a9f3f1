"""What all commands of the client share: where the server is, how they run, fail and end."""

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
        "--ca", envvar="CONEXIONES_CA", type=click.Path(dir_okay=False), help="Whom to trust (PEM)."
    ),
    click.option("--cert", envvar="CONEXIONES_CERT", type=click.Path(dir_okay=False), help="Ours (PEM)."),
    click.option("--key", envvar="CONEXIONES_KEY", type=click.Path(dir_okay=False), help="Its key (PEM)."),
)

_OPTIONS = (
    click.option("--address", envvar="CONEXIONES_ADDRESS", default="localhost:50051", help="HOST:PORT."),
    *_SECURITY,
    click.option(
        "--timeout",
        envvar="CONEXIONES_TIMEOUT",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        help="Seconds that a call may take, and that a connection may bring nothing.",
    ),
)


def security(work: "click.decorators.FC") -> "click.decorators.FC":
    """The options that say how a connection is secured."""
    for option in reversed(_SECURITY):
        work = option(work)
    return work


def command(name: str) -> Callable[[Command], click.Command]:
    """A command made of a coroutine, which is given a client and gives the exit status."""

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
            # The sentence that is printed says it all; gRPC's own log would stand around it.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")

            async def with_client() -> int:
                # Here, so that Ctrl-C while it loads is a Ctrl-C like any other.
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
        # `… | head`: nobody reads on, which is no failure of ours.
        sys.stderr.close()
        return 1
    except Exception as error:
        failed(error)
        return 1


def failed(error: Exception, what: str = "") -> None:
    """One line on standard error. What is neither ours nor the system's is a defect: it is raised."""
    click.echo(failure(error, what), err=True)


def failure(error: Exception, what: str = "") -> str:
    """The line for `failed`."""
    return f"conexiones: {f'{what}: ' if what else ''}{sentence(error)}"


def sentence(error: Exception) -> str:
    from conexiones.errors import ConexionesError, InvalidField
    from conexiones.sdk import Unreachable

    if isinstance(error, Unreachable):
        return f"{error.message} (conexiones doctor --server {error.facts['address']} says more.)"
    if isinstance(error, InvalidField):
        return f"{error.field}: {error.message}"
    if isinstance(error, ConexionesError):
        return error.message
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    raise error


def facts(image: "Image | RenditionInfo") -> dict[str, Any]:
    """An image, or a rendition of one, as JSON."""
    from dataclasses import asdict

    found = asdict(image) | {"sha256": image.sha256.hex()}
    if "create_time" in found:
        found["create_time"] = found["create_time"].isoformat()
    return found


def line(**values: Any) -> None:
    """One JSON object on one line."""
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
