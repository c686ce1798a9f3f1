"""`conexiones doctor`: finds what is wrong with an installation or a connection, and how to fix it."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands import token_source
from conexiones.commands.client_command import security, sentence
from conexiones.commands.given import given
from conexiones.commands.text import line, plain

if TYPE_CHECKING:
    from conexiones.doctor.findings import Finding
    from conexiones.sdk.connection import Options

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


@click.command("doctor", context_settings={"show_default": True})
@click.option("--server", metavar="HOST:PORT", help="Also check the connection to this server.")
@click.option(
    "--data-dir",
    metavar="FOLDER",
    callback=given,
    help="Check this folder instead of the configured one.",
)
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
        from conexiones.errors import TokenMistyped

        try:
            options = _options(server, way)
        except ValueError as error:
            yield Finding("name", "FAIL", str(error), "Give --server HOST:PORT.")
        except (OSError, TokenMistyped) as error:
            yield Finding("access", "FAIL", sentence(error), "Give another token.")
        else:
            for address in options.addresses:
                yield from check_connection(replace(options, address=address))


def _options(server: str, way: dict[str, Any]) -> "Options":
    """Raises OSError, TokenMistyped, and ValueError if the server, or the way to it, cannot be meant."""
    from conexiones.sdk.connection import Options
    from conexiones.sdk.credentials import Secret, read

    encrypted = any(way[name] for name in ("tls", "ca", "cert"))
    place, shown = token_source.options(
        server, way.pop("token_file"), encrypted=encrypted, certified=bool(way["cert"])
    )
    token = Secret(shown["token"]) if "token" in shown else None
    if "token_file" in shown:
        token = read(shown["token_file"])
    return Options(address=place, retries=0, patience=way["timeout"], token=token, **way)
