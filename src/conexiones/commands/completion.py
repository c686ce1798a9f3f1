"""`conexiones completion`: prints the script with which a shell completes commands."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the shell's completion script: source <(conexiones completion bash)."""
    kind = get_completion_class(shell)
    assert kind  # noqa: S101 (the choice above allows only the three shells that click knows)
    click.echo(kind(context.find_root().command, {}, "conexiones", "_CONEXIONES_COMPLETE").source())
