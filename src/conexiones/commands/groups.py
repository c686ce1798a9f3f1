"""Commands that have commands."""

import click


class Commands(click.Group):
    """Lists the commands with whole sentences, however narrow the terminal is."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(1000)) for name, command in sorted(self.commands.items())]
            )
