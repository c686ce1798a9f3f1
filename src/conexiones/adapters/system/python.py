"""Programs of this package in processes of their own."""

import os
import sys
from pathlib import Path


def interpreter() -> tuple[Path, dict[str, str]]:
    """The Python to start with -I, and the environment that it needs.

    Where the server runs embedded in Envoy, sys.executable is Envoy. -I ignores the PYTHON* variables that
    the embedding sets. Its LD_PRELOAD is left out, as it would bring a second libpython.
    """
    environment = {"LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons find their own library only with it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    folder = Path(sys.prefix) / "bin"
    # Where there are several, python3 may be another version.
    same = folder / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return same if same.exists() else folder / "python3", environment
