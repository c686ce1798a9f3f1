"""Where the log goes. Apart from the application, so that the supervisor need not load that."""

import logging
import sys


def configure(level: str) -> None:
    """To standard error, where Envoy's own lines go."""
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
