"""A client of all five calls, with the techniques of the tutorial: text, a whole image, fragments,
streams."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import conexion
import grpc

from conexiones.gen.user_pb2 import GetAllReply, GetImage, GetImageReply, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub

FRAGMENT_BYTES = 64 * 1024

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Usuario:
    """The five calls over one channel. `timeout` is the deadline of each call, in seconds.

    Every method raises grpc.RpcError; `conexion.fault_of` reads the service's error from it.
    """

    def __init__(self, channel: grpc.Channel, *, timeout: float) -> None:
        self._stub = UsuarioServicioStub(channel)
        self._timeout = timeout

    def get_user(self, name: str, pow: int = 0) -> GetUserReply:
        """Registers or updates a user by text alone."""
        return self._stub.GetUser(GetUserRequest(name=name, pow=pow), timeout=self._timeout)

    def process_image(self, name: str, image: bytes) -> GetUserReply:
        """Stores a whole image, which must fit into one message (64 MiB by default)."""
        return self._stub.ProcessImage(GetUserRequest(name=name, image=image), timeout=self._timeout)

    def get_stream_image(self, path: Path) -> GetUserReply:
        """Stores an image of any size, with only a few fragments in memory."""
        with path.open("rb") as file:
            pieces = iter(lambda: file.read(FRAGMENT_BYTES), b"")
            requests = (GetImage(image=piece) for piece in pieces)
            return self._stub.GetStreamImage(requests, timeout=self._timeout)

    def image_stream_reply(self, images: Iterable[GetImage]) -> Iterator[GetImageReply]:
        """Stores whole images, one reply each. The next image is sent when the reply to the last has come."""
        return _in_turns(self._stub.ImageStreamReply, images, self._timeout)

    def get_user_bidi_stream(self, users: Iterable[GetUserRequest]) -> Iterator[GetAllReply]:
        """Registers users, one reply each. The next user is sent when the reply to the last has come."""
        return _in_turns(self._stub.GetUserBidiStream, users, self._timeout)


def _in_turns(
    call: Callable[..., Iterable[Reply]], requests: Iterable[Request], timeout: float
) -> Iterator[Reply]:
    # gRPC reads requests in a thread of its own, where it waits for the next one, or for None as the end.
    upcoming, outbox = iter(requests), SimpleQueue()
    replies = call(iter(outbox.get, None), timeout=timeout)
    try:
        outbox.put(next(upcoming, None))
        for reply in replies:
            yield reply
            outbox.put(next(upcoming, None))
    finally:
        outbox.put(None)


def text(usuario: Usuario, options: Namespace) -> None:
    """Texto (GetUser)"""
    print("  ", usuario.get_user("Ada", pow=12).message)
    try:
        usuario.get_user("")
    except grpc.RpcError as error:
        print("   Error provocado:", conexion.fault_of(error))


def whole_image(usuario: Usuario, options: Namespace) -> None:
    """Imagen completa (ProcessImage)"""
    print("  ", usuario.process_image("Ada", options.image.read_bytes()).message)


def fragments(usuario: Usuario, options: Namespace) -> None:
    """Imagen por fragmentos (GetStreamImage)"""
    print("  ", usuario.get_stream_image(options.image).message)


def stream_of_images(usuario: Usuario, options: Namespace) -> None:
    """Flujo bidireccional: dos imágenes y entre ellas un texto (ImageStreamReply)"""

    def images() -> Iterator[GetImage]:
        # The text between the two images is refused in its reply, and the stream goes on.
        for path in (options.image, Path(__file__), options.image):
            print(f"   → {path.name}")
            yield GetImage(image=path.read_bytes())

    for reply in usuario.image_stream_reply(images()):
        print(f"   ← {reply.message}")
        if reply.HasField("error"):
            print("     Error:", conexion.fault_of(reply.error))


def stream_of_users(usuario: Usuario, options: Namespace) -> None:
    """Flujo bidireccional: tres usuarios, el último con un pow excesivo (GetUserBidiStream)"""

    def users() -> Iterator[GetUserRequest]:
        # The square of the last does not fit into the reply's 32 bits.
        image = options.image.read_bytes()
        for user in (
            GetUserRequest(name="Ada", pow=12, image=image),
            GetUserRequest(name="Luis", pow=-7),
            GetUserRequest(name="Eva", pow=50_000),
        ):
            print(f"   → {user.name}")
            yield user

    for reply in usuario.get_user_bidi_stream(users()):
        print(f"   ← {reply.name}: pow al cuadrado {reply.pow}, vista previa de {len(reply.image)} bytes")
        for error in reply.errors:
            print("     Error:", conexion.fault_of(error))


def main() -> int:
    options = conexion.arguments("Usa los cinco métodos de UsuarioServicio.")
    failed = 0
    with conexion.connect(options) as channel:
        usuario = Usuario(channel, timeout=options.timeout)
        techniques = (text, whole_image, fragments, stream_of_images, stream_of_users)
        for number, technique in enumerate(techniques, 1):
            print(f"{number}. {technique.__doc__}")
            try:
                technique(usuario, options)
            except grpc.RpcError as error:
                fault = conexion.fault_of(error)
                if not fault:
                    raise  # the server did not answer, so the remaining calls would fail too
                print(f"   Error: {fault}", file=sys.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
