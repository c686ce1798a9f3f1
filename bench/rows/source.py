"""One large image, and the bodies that carry it, which are on disk before anything is timed."""

import hashlib
from pathlib import Path

from bench.images import Picture, framed, touch, write, write_fragments
from bench.load.http2 import DATA, HEAD, frame, frame_head
from bench.measures import Wrong
from bench.peers.server_process import ServerProcess
from conexiones.gen.user_pb2 import GetImage
from conexiones.sdk.blocking import Client

GET_STREAM_IMAGE = "/user.UsuarioServicio/GetStreamImage"


class Source:
    """An image of about `about` bytes, and another one for each number. Only its first bytes are
    rewritten."""

    def __init__(self, folder: Path, about: int) -> None:
        self._folder = folder
        self._about = about
        self.picture = Picture(about)

    @property
    def path(self) -> Path:
        """The image as a file."""
        path = self._folder / "image.bmp"
        if not path.exists():
            write(self.picture, path)
        return self._begin(path, self.picture.head)

    def body(self, fragment: int) -> Path:
        """The body of a GetStreamImage call in fragments of that many bytes."""
        path = self._folder / f"fragments-{fragment}"
        if not path.exists():
            write_fragments(self.picture, path, fragment=fragment)
        return self._begin(path, framed(GetImage(image=next(self.picture.pieces(fragment)))))

    def frames(self, fragment: int, size: int) -> Path:
        """The same body as DATA frames of HTTP/2 for stream 1, all of `size` bytes but the last."""
        path = self._folder / f"fragments-{fragment}-{size}"
        if not path.exists():
            with self.body(fragment).open("rb") as body, path.open("wb") as file:
                while data := body.read(size):
                    file.write(frame(DATA, 0, 1, data))
        first = framed(GetImage(image=next(self.picture.pieces(fragment))))[:size]
        length = min(size, path.stat().st_size - HEAD)
        return self._begin(path, frame_head(length, DATA, 0, 1) + first)

    def drop(self, fragment: int) -> None:
        """Removes the bodies in fragments of that many bytes."""
        name = f"fragments-{fragment}"
        for path in (self._folder / name, *self._folder.glob(f"{name}-*")):
            path.unlink()

    def number(self, number: int) -> Picture:
        """Makes it another image."""
        self.picture = Picture(self._about, (1, number + 1))
        return self.picture

    def _begin(self, path: Path, data: bytes) -> Path:
        with path.open("r+b") as file:
            file.write(data)
        touch(path)
        return path


def take_out(server: ServerProcess, picture: Picture, *, images: int = 1) -> None:
    """Downloads the image that a server of ours has stored, checks its hash, and deletes it. Raises Wrong."""
    with Client(server.address) as client:
        found = list(client.images())
        if [image.sha256 for image in found] != [picture.digest] * images:
            raise Wrong(f"{len(found)} images are stored, not {images}, or not these")
        target = server.data_dir.parent / "download"
        client.download(found[0].id, target)
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != picture.digest:
                raise Wrong("the stored bytes are not those that were sent")
        target.unlink()
        for image in found:
            client.delete(image.id)
