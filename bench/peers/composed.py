"""Our server with another store, for comparison: `python -m bench.peers.composed storeless|one_file`.

Everything else is the program that users run: Envoy loads `app` from the module of that name.
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

import conexiones.app
from conexiones.settings import Settings


def compose(**parts: type) -> Any:
    """The application, with parts in place of those of conexiones.app that have their names."""
    for name, part in parts.items():
        setattr(conexiones.app, name, part)
    return import_module("conexiones.asgi").app


def main() -> int:
    from conexiones.transport.process.supervisor import Supervisor

    module = f"bench.peers.{sys.argv[1]}"
    import_module(module)  # a mistake in it shows here, not inside Envoy
    supervisor = Supervisor(Settings.load(), app=f"{module}:app")
    return asyncio.run(supervisor.run(lambda address: print(f"{module} listens on {address} ", flush=True)))


if __name__ == "__main__":
    sys.exit(main())
