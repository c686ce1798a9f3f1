"""What is given on the command line: that it is not empty, and how errors name it."""

from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from conexiones.errors import ConexionesError

T = TypeVar("T")


def given(ctx: click.Context, param: click.Parameter, value: T) -> T:
    """A callback of parameters: refuses an empty text. It is usually that of a variable which is not set, and
    would mean this folder, everybody's images, or no certificate at all."""
    empty = value == "" or (isinstance(value, tuple) and "" in value)
    if empty and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
        raise click.BadParameter("It is empty.", ctx, param)
    return value


_OPTIONS = {"resume_token": "token", "start_time": "since", "end_time": "until", "ttl": "expires"}
"""Fields of requests, and the options that they come from under another name."""


def in_options(error: "ConexionesError") -> str:
    """The sentence of an error, which names the option of this command rather than the field of a request."""
    field = error.field.rpartition(".")[2]
    name = _OPTIONS.get(field, field)
    context = click.get_current_context(silent=True)
    for param in context.command.params if context and name else ():
        if param.name == name and isinstance(param, click.Option):
            return error.message.replace(f"`{error.field}`", max(param.opts, key=len))
    return error.message
