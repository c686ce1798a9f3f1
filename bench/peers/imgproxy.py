"""imgproxy (https://github.com/imgproxy/imgproxy), which makes renditions of images that it fetches. Here it
reads them from a folder. It keeps none."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyvips

from bench.peers.http import free_port, wait_for
from bench.peers.server_process import ROOT, Failed
from bench.processes import processor_seconds


@dataclass(frozen=True, slots=True)
class ImgProxy:
    """One that runs."""

    address: str
    pid: int

    def target(self, name: str, width: int, format: str, quality: int) -> str:
        """The path of a rendition of the image of that name."""
        extension = {"JPEG": "jpg"}.get(format, format.lower())
        return f"/insecure/rs:fit:{width}:0/q:{quality}/plain/local:///{name}@{extension}"

    def cpu(self) -> float:
        """CPU seconds that it has used so far."""
        return processor_seconds(self.pid)


@contextmanager
def imgproxy(images: Path) -> Iterator[ImgProxy]:
    """Runs imgproxy for the images of a folder, with its defaults: it works at twice as many images at a time
    as there are processors. Raises Failed if it is not installed."""
    program = shutil.which(
        "imgproxy", path=f"{ROOT / 'build' / 'bench' / 'bin'}:{os.environ.get('PATH', '')}"
    )
    if program is None:
        raise Failed("imgproxy is left out: it needs Go, libvips-dev and its module (make bench-peers)")
    port = free_port()
    environ = {
        **os.environ,
        "IMGPROXY_BIND": f"127.0.0.1:{port}",
        "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(images),
        "IMGPROXY_LOG_LEVEL": "error",
    }
    process = subprocess.Popen([program], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield ImgProxy(f"127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def system_libvips() -> str:
    """The version of the system's libvips, with which imgproxy was built (make bench-peers)."""
    asked = subprocess.run(
        ["pkg-config", "--modversion", "vips"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "of a version that pkg-config does not tell"


def our_libvips() -> str:
    return ".".join(str(pyvips.version(part)) for part in range(3))
