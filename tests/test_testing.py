"""conexiones.testing, as docs/testing.md shows it to others."""

import re
import subprocess
import sys

import pytest

from conexiones import Client
from conexiones.errors import ConexionesError
from conexiones.testing import Server, ServerError, hostile_samples, samples, serve
from tests.support.paths import ROOT

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "get_user" in example:
        assert done.stdout == "¡Hola, Ada! Tu pow es 12 y su cuadrado es 144.\n"


def test_its_data_goes_with_it() -> None:
    with serve() as server:
        folder = server.data_dir
        assert (folder / "catalog.sqlite3").exists()
    assert not folder.exists()


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
