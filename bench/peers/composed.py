"""Our server with another store, for comparison: `python -m bench.peers.composed
storeless|one_file|append_only`.

Everything else is the program that users run. Envoy loads `app` from the named module.
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

import conexiones.app
from conexiones.settings import Settings
from conexiones.stores import embedded


def compose(**parts: type) -> Any:
    """The application with these parts, each of which replaces the class of its name where it is made."""
    for name, part in parts.items():
        setattr(embedded if hasattr(embedded, name) else conexiones.app, name, part)
    return import_module("conexiones.asgi").app


def main() -> int:
    from conexiones.transport.process.supervisor import Supervisor

    module = f"bench.peers.{sys.argv[1]}"
    import_module(module)  # so that an error in the module shows here, and not inside Envoy
    supervisor = Supervisor(Settings.load(), app=f"{module}:app")
    return asyncio.run(supervisor.run(lambda address: print(f"{module} listens on {address} ", flush=True)))


if __name__ == "__main__":
    sys.exit(main())
