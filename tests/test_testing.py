"""conexiones.testing, as docs/testing.md shows it to others."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conexiones import Client
from conexiones.errors import ConexionesError
from conexiones.testing import Server, ServerError, hostile_samples, samples, serve
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "get_user" in example:
        assert done.stdout == "¡Hola, Ada! Tu pow es 12 y su cuadrado es 144.\n"


def test_a_start_that_fails_is_an_error_and_data_goes_with_the_server() -> None:
    with serve() as server:
        folder = server.data_dir
        assert (folder / "catalog.sqlite3").exists()
        server.kill()
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(ServerError) as failed:
            server.start()
        # What it says is about this start alone, and short.
        assert str(server.port) in str(failed.value)
        assert " listens on " not in str(failed.value)
    assert not folder.exists()


OWNER = """
import os, signal, sys
from conexiones.testing import serve
with serve() as server:
    if sys.argv[1] == "and a child":
        os.fork() or signal.pause()  # what it forked lives on, with all descriptors of its parent
    print(server.pid, server.data_dir, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("way", ["alone", "and a child"])
def test_a_server_ends_with_its_owner_whatever_kills_that(way: str) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, way], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        family = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
        children = psutil.Process(owner.pid).children()
        assert len(family) > 2
        owner.kill()
        owner.wait()
        try:
            assert psutil.wait_procs(family, timeout=DEADLINE)[1] == []
        finally:
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
    shutil.rmtree(Path(folder).parent)


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerError, match="TLS needs both"), serve(tls_cert="/nowhere"):
        pass
    with pytest.raises(TypeError, match="no such setting: colour"), serve(colour="blue"):
        pass


def test_the_samples_are_what_they_say(shared: Server) -> None:
    assert {sample.format for sample in samples()} == {
        *("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF")
    }
    with Client(shared.address) as client:
        for sample in samples():
            image = client.upload(sample.data)
            assert image.format == sample.format, sample.name
            assert (image.width, image.height, image.frames) == (
                sample.width,
                sample.height,
                sample.frames,
            ), sample.name


def test_the_hostile_samples_are_refused_as_they_say(shared: Server) -> None:
    with Client(shared.address) as client:
        for sample in hostile_samples():
            with pytest.raises(ConexionesError) as caught:
                client.upload(sample.data)
            assert caught.value.reason == sample.reason, sample.name


def test_the_samples_are_small_and_need_nothing_else() -> None:
    assert sum(len(sample.data) for sample in samples()) < 50_000
    assert all(len(sample.data) < 20_000 for sample in hostile_samples())
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from conexiones.samples import samples; samples()\n"
            "print([name for name in ('grpc', 'PIL', 'pyvips', 'pyvoy') if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"
