"""The database and the bucket of servers, for the commands that work on both themselves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from conexiones.commands.given import given

if TYPE_CHECKING:
    from conexiones.settings import Settings
    from conexiones.upkeep.house_shared import SharedPlaces


def s3_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that say where an object store is."""
    for name, metavar in (("path-style", "VALUE"), ("region", "REGION"), ("endpoint", "URL")):
        option = click.option(f"--s3-{name}", metavar=metavar, callback=given, help="As of conexiones serve.")
        command = option(command)
    return command


def shared_places(settings: "Settings") -> "SharedPlaces":
    """Where servers with these settings keep everything. ModuleNotFoundError where that cannot be used."""
    from conexiones.upkeep.house_shared import SharedPlaces

    return SharedPlaces(
        database=settings.database or "",
        blobs=settings.blobs or "",
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        path_style=settings.s3_path_style,
    )


def without_package(error: ModuleNotFoundError) -> str:
    """One line that says how the package is installed."""
    return f"This needs the package {error.name}. In a clone of the project: pip install '.[postgres,s3]'."
