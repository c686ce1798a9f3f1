"""The command `conexiones`."""

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from conexiones import __version__
from conexiones.commands.given import given
from conexiones.commands.groups import Commands
from conexiones.commands.text import lenient_output, plain
from conexiones.settings import Settings, SettingsError, flag, misspelt, table, variable

if TYPE_CHECKING:
    from conexiones.transport.process.supervisor import Supervisor

# No index has the project, so its name would find nothing there.
_SERVER_EXTRA = "In a clone of the project: pip install '.[server]'."

_ELSEWHERE = {
    name: f"conexiones.commands.{module}"
    for module, names in {
        "completion": ("completion",),
        "doctor": ("doctor",),
        "get": ("get",),
        "hello": ("hello",),
        "images": ("health", "ls", "rm", "watch"),
        "login": ("login", "logout", "whoami"),
        "migrate": ("migrate",),
        "put": ("put",),
        "tokens": ("link", "link-key", "ticket", "token"),
        "upkeep": ("backup", "restore"),
        "verify": ("verify",),
        "version": ("status", "version"),
        "wire": ("wire",),
    }.items()
    for name in names
}
"""The module of each command that is not here."""


@click.group(
    cls=Commands,
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="conexiones")
def main() -> None:
    """Users and images of any size, over gRPC.

    Every server has a course for those who are new to gRPC, in English and Spanish, at /learn, such as
    http://localhost:50051/learn; in a clone of the project, `make learn` opens it.
    """
    lenient_output()


def _settings_flags(command: "click.decorators.FC") -> "click.decorators.FC":
    """Adds a flag for every row of the table of settings."""
    for row in reversed(table()):
        default = row.metadata["text"]
        either = default in ("true", "false")
        says = row.metadata["says"].replace("`", "")
        # A setting that is true or false may be given without a value, which then is true.
        kind: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if either else {}
        click.option(
            flag(row),
            row.name,
            **kind,
            metavar="[VALUE]" if either else "VALUE",
            callback=given,
            help=f"{says} [{variable(row)}{f'; default {default}' if default else ''}]",
        )(command)
    return command


@main.command()
@_settings_flags
def serve(**flags: str | None) -> None:
    """Start the server. Flags take precedence over the environment variables in brackets."""
    # Until the supervisor has a handler of its own. Without one, the kernel ignores the signal for the first
    # process of a container.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        from conexiones.transport.process import logs
        from conexiones.transport.process.start_error import StartError
        from conexiones.transport.process.supervisor import Supervisor
    except ModuleNotFoundError as error:
        _fail(f"The server needs the package {error.name}. {_SERVER_EXTRA}")
    try:
        settings = Settings.load(flags=flags)
        logs.configure(settings.log_level, settings.log_format)
        for wrong, right in misspelt().items():
            logging.getLogger("conexiones").warning("%s is no setting: is %s meant?", plain(wrong), right)
        supervisor = Supervisor(settings, app="conexiones.asgi:app")
        status = asyncio.run(supervisor.run(lambda address: _ready(supervisor, str(address))))
    except SettingsError as error:
        _fail(str(error))
    except StartError as error:
        if settings.log_format == "json":
            logs.fail(str(error))
        _fail(str(error))
    sys.exit(status)


def _ready(supervisor: "Supervisor", address: str) -> None:
    from conexiones.transport.process.access_mode import says

    settings = supervisor.settings
    security = "mTLS" if settings.tls_client_ca else "TLS" if settings.tls_cert else "plaintext"
    with suppress(OSError):  # on a full disk, or where nobody reads it, the server serves all the same
        click.echo(
            f"Conexiones gRPC {__version__} listens on {address} ({security};"
            f" gRPC, gRPC-Web, Connect), data in {settings.places}; {says(settings)}"
            + (f"; /metrics, /livez and /readyz at {supervisor.admin.place}" if supervisor.admin else "")
        )


@main.command()
@click.argument("folder", type=click.Path(file_okay=False), callback=given)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    default=("localhost", "127.0.0.1", "::1"),
    show_default=True,
    help="A name or IP address of the server; may be given several times.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the files of an earlier run. What trusts its CA will not trust the new one.",
)
def certs(folder: str, hosts: tuple[str, ...], replace: bool) -> None:
    """Make a development CA, and certificates for a server and a client, in FOLDER.

    The files of an earlier run are replaced only with --replace.
    """
    try:
        from conexiones.certificates import make
    except ModuleNotFoundError as error:
        _fail(f"This needs the package {error.name}. {_SERVER_EXTRA}")
    try:
        made = make(Path(folder), hosts, replace=replace)
    except FileExistsError as error:
        _fail(
            f"{error.filename} is there already: give another folder, or --replace for new certificates that"
            " need the new CA."
        )
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"Cannot write to {folder}: {error.strerror}.")
    for path, purpose in made.items():
        click.echo(f"{path}  {purpose}")


def _fail(sentence: str) -> NoReturn:
    click.echo(f"conexiones: {sentence}", err=True)
    sys.exit(1)
