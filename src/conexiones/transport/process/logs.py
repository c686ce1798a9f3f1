"""Where the log goes. A module of its own, so that the supervisor need not load the application."""

import logging
import sys


def configure(level: str) -> None:
    """To standard error, where Envoy's own lines go. `trace` makes a difference to those alone."""
    level = "DEBUG" if level == "trace" else level.upper()
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
