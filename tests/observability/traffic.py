"""Traffic of all kinds, so that every figure of a server has something to say."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from typing import Any

import grpc
import psutil

from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest, GetImageRequest, WatchImagesRequest
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    FinishUploadRequest,
    UploadImageRequest,
    WriteChunkRequest,
)
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.callers import Caller, picture
from tests.support.processes import decoders, suspend
from tests.support.scrapes import scraped, value
from tests.support.waiting import DEADLINE, until

SIDES = (16, 24, 32, 40, 48, 56)


class Traffic:
    """Callers of a server that asks for credentials and has one decoder. `more` makes some of everything."""

    def __init__(self, server: Server, channel: grpc.Channel) -> None:
        self._server = server
        admin = Caller(server, channel, server.token)
        quota = {"stored_images": 1000, "stored_bytes": 1 << 30}
        self.owner = admin.token("owner", own=True, quota=quota)
        self._small = admin.token("small", own=True, quota={"stored_images": 1})
        self._seed = 0

    def more(self, photograph: bytes) -> None:
        owner = self.owner
        with self._watched():
            image = self._stored(photograph)
        self._uploaded()
        self._refused()
        owner.call(owner.status.GetStatus, GetStatusRequest())
        owner.call(owner.images.GetImage, GetImageRequest(id=image))
        self._made(image)
        self._shown(image)
        self._killed(image)
        self._shown(image)
        owner.call(owner.images.DeleteImage, DeleteImageRequest(id=image))

    def _picture(self) -> bytes:
        self._seed += 1
        return picture(self._seed)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Somebody watches, from the first heartbeat on."""
        owner = self.owner
        events = owner.images.WatchImages(WatchImagesRequest(), metadata=owner.metadata, timeout=DEADLINE)
        next(iter(events))
        try:
            yield
        finally:
            events.cancel()
            with suppress(grpc.RpcError):
                list(events)

    def _stored(self, photograph: bytes) -> str:
        """In every way. Gives the id of the photograph, which differs each time."""
        owner = self.owner
        owner.call(owner.users.GetUser, GetUserRequest(name="Ana", image=self._picture()))
        owner.stores(self._seed)
        owner.call(owner.users.ImageStreamReply, iter([GetImage(image=self._picture())]))
        owner.call(owner.users.GetStreamImage, iter([GetImage(image=self._picture())]))
        request = UploadImageRequest(image=photograph + bytes(self._seed))
        return str(owner.call(owner.uploads.UploadImage, request).image.id)

    def _uploaded(self) -> None:
        """Resumable uploads: one that was resumed and finished, one that lost its writer and was cancelled;
        a large one."""
        owner = self.owner
        data = self._picture()
        upload = owner.begins(data[:100])
        rest = WriteChunkRequest(upload_id=upload, offset=100, data=data[100:])
        epoch = owner.call(owner.uploads.WriteChunk, rest).writer_epoch
        owner.call(owner.uploads.FinishUpload, FinishUploadRequest(id=upload, size_bytes=len(data)))
        upload = owner.begins(data[:100])
        again = WriteChunkRequest(upload_id=upload, offset=100, data=data[100:110])
        owner.call(owner.uploads.WriteChunk, again)
        late = WriteChunkRequest(upload_id=upload, offset=110, data=data[110:], writer_epoch=epoch - 1)
        owner.refused(owner.uploads.WriteChunk, late)
        owner.call(owner.uploads.CancelUpload, CancelUploadRequest(id=upload))
        large = b"".join(bitmap(400, 400, seed=self._seed))
        upload = owner.begins(large)
        owner.call(owner.uploads.FinishUpload, FinishUploadRequest(id=upload, size_bytes=len(large)))

    def _refused(self) -> None:
        """A file that is no image, one more than the quota has, and a method that there is not."""
        owner, small = self.owner, self._small
        owner.refused(owner.users.ProcessImage, GetUserRequest(image=b"no image"))
        with suppress(grpc.RpcError):
            small.stores()
        small.refused(small.users.ProcessImage, GetUserRequest(image=picture(1)))
        call: Any = owner.channel.unary_unary("/UsuarioServicio/Nothing")
        with suppress(grpc.RpcError):
            call(b"", timeout=DEADLINE)

    def _made(self, image: str) -> None:
        """Renditions, some of which wait for the decoder."""
        held = decoders(self._server.pid)
        with ThreadPoolExecutor(len(SIDES)) as pool:
            try:
                suspend(*held)
                answers = pool.map(self.owner.fetched, _paths(image))
                asyncio.run(until(self._waits))
            finally:
                for process in held:
                    process.resume()
            assert {status for status, _ in answers} == {200}

    def _waits(self) -> bool:
        return value(scraped(self._server), "conexiones_decoder_waiting") > 0

    def _shown(self, image: str) -> None:
        """Renditions from the caches; the original, and its answer to who has it already."""
        assert {status for status, _ in map(self.owner.fetched, _paths(image))} == {200}
        host, _, port = self._server.address.rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=DEADLINE)
        headers: dict[str, Any] = dict(self.owner.metadata)
        connection.request("GET", f"/images/{image}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.request(
            "GET", f"/images/{image}", headers={**headers, "if-none-match": answer.headers["etag"]}
        )
        assert connection.getresponse().status == 304
        connection.close()

    def _killed(self, image: str) -> None:
        """All decoders die, and renditions that nobody has asked for are made all the same."""
        for process in decoders(self._server.pid):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        status, _ = self.owner.fetched(f"/images/{image}?width=100&format=webp")
        assert status == 200


def _paths(image: str) -> list[str]:
    return [f"/images/{image}?width={side}&format=jpeg" for side in SIDES]
