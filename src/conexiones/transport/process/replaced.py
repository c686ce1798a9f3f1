"""Files that Envoy watches, in the private folder of a server."""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Replaces a file as a whole, since Envoy sees only renames. Raises OSError."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
