"""Python programs of ours in processes of their own."""

import os
import sys
from pathlib import Path


def interpreter() -> tuple[Path, dict[str, str]]:
    """The Python to start with -I, and the environment that it needs.

    sys.executable is Envoy where the server runs embedded in it. -I ignores the PYTHON* variables that the
    embedding sets, and its LD_PRELOAD would bring a second libpython.
    """
    environment = {"LC_ALL": "C.UTF-8"}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons find their own library only with it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    folder = Path(sys.prefix) / "bin"
    # python3 may be another version, where there are several.
    ours = folder / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return ours if ours.exists() else folder / "python3", environment
