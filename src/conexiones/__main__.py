"""The command `conexiones`, and python -m conexiones."""

import sys


def main() -> None:
    # The commands are imported here, so that Ctrl-C in the first moments ends them like later.
    try:
        from conexiones.cli import main as commands

        commands(prog_name="conexiones")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
