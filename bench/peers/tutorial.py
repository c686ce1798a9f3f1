"""A peer: a server in the manner of the tutorial, with threads, bytes that are concatenated, a file for each
image, and no fsync.

Run it by `python -m bench.peers.tutorial`, with the server's settings.
"""

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from conexiones.gen.user_pb2 import GetImage, GetImageReply, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioServicer, add_UsuarioServicioServicer_to_server
from conexiones.settings import Settings


class Servicer(UsuarioServicioServicer):
    """The calls that are compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._users: dict[str, int] = {}

    def GetUser(self, request: GetUserRequest, context: Any) -> GetUserReply:  # noqa: N802
        self._users[request.name] = request.pow
        return GetUserReply(message=f"¡Hola, {request.name}! Tu pow al cuadrado es {request.pow**2}.")

    def GetStreamImage(self, requests: Iterator[GetImage], context: Any) -> GetUserReply:  # noqa: N802
        data = b""
        for request in requests:
            data += request.image
        self._save(data)
        return GetUserReply(message="Imagen recibida.")

    def ImageStreamReply(self, requests: Iterator[GetImage], context: Any) -> Iterator[GetImageReply]:  # noqa: N802
        for request in requests:
            self._save(request.image)
            yield GetImageReply(message="Imagen recibida.")

    def _save(self, data: bytes) -> None:
        (self._folder / f"{next(self._numbers)}.bmp").write_bytes(data)


def main() -> None:
    settings = Settings.load()
    settings.data_dir.mkdir(parents=True)
    server = grpc.server(ThreadPoolExecutor(max_workers=64))
    add_UsuarioServicioServicer_to_server(Servicer(settings.data_dir), server)
    port = server.add_insecure_port(settings.address)
    server.start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if stop.is_set() else stop.set())
    print(f"The tutorial's server listens on 127.0.0.1:{port} ", flush=True)
    stop.wait()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
