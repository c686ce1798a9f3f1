"""`--wire`: what a command and the server say to each other, on the wire."""

import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    import ssl

    from conexiones.sdk import AsyncClient
    from conexiones.sdk.connection import Options
    from conexiones.wire.events import Event

FORMS = ("text", "json")

wire_option = click.option(
    "--wire",
    type=click.Choice(FORMS),
    metavar="[=json]",
    show_default=False,
    help="Show what goes over the wire: frames, headers, messages with their fields and bytes, and times;"
    " --wire=json as JSON, one object on a line. Secrets are hidden.",
)


class WithWire(click.Command):
    """A command whose option --wire takes a value only after an equals sign, so that what follows it is an
    argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(param.name == "wire" for param in self.params):
            end = args.index("--") if "--" in args else len(args)
            args = ["--wire=text" if one == "--wire" else one for one in args[:end]] + args[end:]
        return super().parse_args(ctx, args)


def colours() -> bool:
    """Whether standard output is a terminal that shows colours."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a command is to show of the wire. With `http1`, the client does not speak HTTP/2."""

    form: str | None
    http1: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """That of a command with these options. What else it prints is in the same form."""
        form = options.get("wire")
        if form == "json":
            options["as_json"] = True
        return cls(form, http1=options.get("protocol", "grpc") != "grpc")

    @asynccontextmanager
    async def of_client(self, client: "AsyncClient") -> AsyncIterator[None]:
        """Shows all that the client and the server send. Raises Unreachable."""
        if self.form is None and not self.http1:
            yield
        else:
            async with _recorded(client, self.form, http1=self.http1):
                yield


@asynccontextmanager
async def _recorded(client: "AsyncClient", form: str | None, *, http1: bool) -> AsyncIterator[None]:
    from conexiones.sdk import Unreachable
    from conexiones.wire.contract import Contract
    from conexiones.wire.proxy import Proxy
    from conexiones.wire.recorder import Recorder

    connection = client._connection
    options = connection.options
    host, port = options.endpoint(connection.address)
    proxy = Proxy(host, port, Recorder(Contract.ours(), _teller(form)), _security(options, http1=http1))
    try:
        await proxy.open()
    except (OSError, TimeoutError) as error:
        raise _unreachable(options, error) from error
    async with proxy:
        connection.through = proxy.path
        try:
            yield
        except Unreachable as error:
            if proxy.problem is None or not options.encrypted:
                raise
            raise _unreachable(options, proxy.problem) from error  # the client knows nothing of TLS


def _teller(form: str | None) -> "Callable[[Event], None]":
    """Writes events to standard output."""
    from conexiones.wire.json_lines import json_line
    from conexiones.wire.text import Timeline, coloured, uncoloured

    if form is None:
        return lambda event: None
    if form == "json":
        return lambda event: click.echo(json_line(event))
    timeline = Timeline(coloured if colours() else uncoloured)
    return lambda event: click.echo("\n".join(timeline.event(event)), color=True)


def _security(options: "Options", *, http1: bool) -> "ssl.SSLContext | None":
    """That of the way from the recorder to the server. Raises OSError and Unreachable."""
    import ssl

    if not options.encrypted:
        return None
    options.credentials()  # which names the file that cannot be read
    try:
        context = ssl.create_default_context(cafile=options.ca)
        # gRPC does not ask for it either, and older certificates lack what it wants.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if options.cert:
            context.load_cert_chain(options.cert, options.key, password=lambda: "")
    except ssl.SSLError as error:
        raise _unreachable(options, ValueError("security handshaker")) from error  # in gRPC's words
    context.set_alpn_protocols(["http/1.1" if http1 else "h2"])
    return context


def _unreachable(options: "Options", error: Exception) -> Exception:
    from socket import gaierror

    from conexiones.sdk import Unreachable
    from conexiones.sdk.reasons import plainly

    why = str(error)
    if isinstance(error, gaierror):
        why = "its host is not known"
    elif isinstance(error, TimeoutError):
        why = "nothing came"
    elif isinstance(error, BrokenPipeError | ConnectionResetError) and options.encrypted and not options.cert:
        why = "CERTIFICATE_REQUIRED"  # the server hung up before it was heard
    elif found := re.search(r"Errno (\d+)", why):
        why = os.strerror(int(found[1]))
    return Unreachable(address=options.address, why=plainly(why, options.cert, options.key))
