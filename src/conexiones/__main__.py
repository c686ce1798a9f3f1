"""The command `conexiones`, and python -m conexiones."""

import sys


def main() -> None:
    # The commands are imported here, so that Ctrl-C in the first moments ends them like later.
    try:
        from conexiones.commands.descriptors import discard_output, fill

        fill()
        from conexiones.cli import main as commands

        commands(prog_name="conexiones")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.filename:
            raise
        # It is about standard output, which cannot take what the command prints.
        discard_output()
        sys.exit(f"conexiones: {error.strerror or error}.")


if __name__ == "__main__":
    main()
