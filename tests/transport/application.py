"""Servers whose application is a module of the tests: Envoy loads it as it loads the product's."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conexiones.settings import Settings
from conexiones.testing import Server
from conexiones.transport.process.supervisor import Supervisor
from tests.support.paths import ROOT


@contextmanager
def serving(module: str, data: Path, **settings: str) -> Iterator[Server]:
    """The module's server, as long as the block lasts. It imports this checkout, whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
        with Server(data, settings, ["-m", module]) as server:
            server.start()
            yield server


def supervise(app: str) -> int:
    """What the module does as a program: supervises its server, by the settings in the environment. `app` is
    the application as module:name."""
    supervisor = Supervisor(Settings.load(), app=app)
    return asyncio.run(supervisor.run(lambda address: print(f" listens on {address} ", flush=True)))
