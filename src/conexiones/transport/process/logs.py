"""Where the log goes. A module of its own, so that the supervisor need not load the application."""

import logging
import sys


def configure(level: str) -> None:
    """To standard error, where Envoy's own lines go."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
