"""Fails if this Python lacks its shared library, which the server needs. It needs no packages itself."""

import ctypes
import sys
import sysconfig
from pathlib import Path

NAMES = ("INSTSONAME", "LDLIBRARY")
"""Variables with the name of the library, if there is one: libpython3.11.so.1.0."""


def loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


names = [name for name in map(sysconfig.get_config_var, NAMES) if name and ".so" in name]
folder = Path(sysconfig.get_config_var("LIBDIR") or sys.base_prefix)
sys.exit(not any(loads(path) for name in names for path in (name, str(folder / name))))
