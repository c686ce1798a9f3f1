"""`conexiones doctor`: finds what is wrong with an installation or a connection, and how to fix it."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.client_command import security
from conexiones.commands.text import line, plain

if TYPE_CHECKING:
    from conexiones.doctor.findings import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


@click.command("doctor", context_settings={"show_default": True})
@click.option("--server", metavar="HOST:PORT", help="Also check the connection to this server.")
@click.option("--data-dir", metavar="FOLDER", help="Check this folder instead of the configured one.")
@security
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=3600, min_open=True),
    metavar="SECONDS",
    default=5.0,
    help="How long one step to the server may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each check, on a line.")
def doctor(*, server: str | None, data_dir: str | None, as_json: bool, **way: Any) -> None:
    """Find what is wrong with this installation, or with the connection to a server.

    Prints one line for each check: ok, warn or FAIL, and how to fix it. The exit status is 1 if any check
    failed.
    """
    # gRPC's own log would only obscure the findings.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    failed = False
    for finding in _findings(server, data_dir, way):
        failed |= finding.state == "FAIL"
        if as_json:
            line(**asdict(finding))
            continue
        state = click.style(f"{finding.state:<4}", fg=_COLOURS[finding.state])
        click.echo(f"{state}  {finding.check:<11}  {plain(finding.says)}")
        if finding.mend:
            click.echo(f"{'':<19}{plain(finding.mend)}")
    sys.exit(1 if failed else 0)


def _findings(server: str | None, data_dir: str | None, way: dict[str, Any]) -> "Iterator[Finding]":
    from conexiones.doctor.findings import Finding
    from conexiones.doctor.installation import check_installation
    from conexiones.settings import Settings, SettingsError

    settings: Settings | SettingsError
    try:
        settings = Settings.load(flags={"data_dir": data_dir})
    except SettingsError as error:
        settings = error
    loads = True
    for finding in check_installation(settings):
        loads &= (finding.check, finding.state) != ("client", "FAIL")
        yield finding
    if server is not None and loads:
        from conexiones.doctor.connection import check_connection
        from conexiones.sdk.connection import Options

        try:
            options = Options(address=server, retries=0, patience=way["timeout"], **way)
        except ValueError as error:
            yield Finding("name", "FAIL", str(error), "Give --server HOST:PORT.")
        else:
            yield from check_connection(options)
