"""Uploads from every kind of source; servers that die, cancellation, refusals."""

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from conexiones import AsyncClient, errors
from conexiones.sdk import NoProgress, SourceChanged, Unreachable
from conexiones.sdk.connection import Connection, Options
from conexiones.sdk.resume import StateFile
from conexiones.sdk.sources import open_source
from conexiones.sdk.uploads import WINDOW_BYTES, Uploader
from conexiones.testing import Server
from tests.support.addresses import ask
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE, until


async def pieces(data: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]


class Unseekable(io.RawIOBase):
    """A file that behaves like a pipe: it cannot seek, and returns less than it is asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data.read(min(len(buffer), 70_001))
        buffer[: len(piece)] = piece
        return len(piece)


def opened_in_the_middle(data: bytes, folder: Path) -> Any:
    path = folder / "prefixed"
    path.write_bytes(b"something else" + data)
    file = path.open("rb")
    file.seek(14)
    return file


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": lambda data, _: data,
    "bytearray": lambda data, _: bytearray(data),
    "memoryview": lambda data, _: memoryview(data),
    "path": lambda data, folder: written(folder, data),
    "text path": lambda data, folder: str(written(folder, data)),
    "bytes file": lambda data, _: io.BytesIO(data),
    "file from where it stands": opened_in_the_middle,
    "unseekable file": lambda data, _: Unseekable(data),
    "iterator of small pieces": lambda data, _: (data[at : at + 999] for at in range(0, len(data), 999)),
    "list": lambda data, _: [data[:1], data[1:]],
    "async iterator": lambda data, _: pieces(data, 1_234_567),
}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "scan.bmp"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", SOURCES)
async def test_every_kind_of_source(
    client: AsyncClient, scan: bytes, photograph: bytes, kind: str, tmp_path: Path
) -> None:
    data = photograph if kind == "iterator of small pieces" else scan
    source = SOURCES[kind](data, tmp_path)
    seen: list[tuple[int, int | None]] = []
    image = await client.upload(source, user="Ana", progress=lambda *state: seen.append(state))
    if hasattr(source, "close"):
        source.close()
    assert image.sha256 == hashlib.sha256(data).digest()
    assert (image.user, image.size_bytes, image.create_time.tzinfo) == ("Ana", len(data), UTC)
    assert seen == sorted(seen, key=lambda state: state[0])
    assert seen[-1][0] == len(data)
    assert {total for _, total in seen} <= {None, len(data)}
    assert await client.download(image.id) == data


@pytest.mark.parametrize("once", [False, True], ids=["bytes", "a stream, from memory"])
async def test_the_server_is_killed_in_the_middle(server: Server, scan: bytes, once: bool) -> None:
    async with AsyncClient(server.address) as client:
        killed = asyncio.Event()

        def kill(done: int, total: int | None) -> None:
            if done > 6_000_000 and not killed.is_set():
                killed.set()
                server.kill()

        async def restart() -> None:
            await killed.wait()
            await asyncio.to_thread(server.start)

        source = pieces(scan, 300_000) if once else scan
        image, _ = await asyncio.gather(client.upload(source, progress=kill), restart())
        assert await client.download(image.id) == scan


async def test_a_stream_keeps_no_more_than_the_window(client: AsyncClient) -> None:
    """The source is never read further ahead of the durable bytes than the window."""
    size, durable, given = 40 << 20, 0, 0

    def source() -> Any:
        nonlocal given
        for piece in bitmap(5000, size // 15000):
            given += len(piece)
            assert given - durable <= WINDOW_BYTES + (2 << 20)
            yield piece

    def progress(done: int, total: int | None) -> None:
        nonlocal durable
        durable = done

    await client.upload(source(), progress=progress)
    assert given == durable


async def test_cancelled_it_ends_at_once_and_can_be_resumed(
    client: AsyncClient, scan: bytes, tmp_path: Path
) -> None:
    path = written(tmp_path, scan)
    begun = asyncio.Event()
    done: list[int] = []

    def progress(bytes_: int, total: int | None) -> None:
        done.append(bytes_)
        begun.set()

    task = asyncio.create_task(client.upload(path, resume=True, progress=progress, chunk_size=65536))
    await begun.wait()
    task.cancel()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert path.with_name("scan.bmp.conexiones-upload").exists()
    durable, first = done[-1], len(done)
    image = await client.upload(path, resume=True, progress=progress)
    assert done[first] >= durable
    assert image.sha256 == hashlib.sha256(scan).digest()
    assert not path.with_name("scan.bmp.conexiones-upload").exists()
    assert os.listdir(tmp_path) == ["scan.bmp"]  # noqa: PTH208


async def test_asyncio_timeout_and_deadline(client: AsyncClient, photograph: bytes) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield photograph[:100]
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.upload(never())
    with pytest.raises(errors.DeadlineExceeded):
        await client.upload(never(), deadline=0.2)


async def test_what_the_source_raises_is_raised(client: AsyncClient, photograph: bytes) -> None:
    def failing() -> Any:
        yield photograph[:1000]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.upload(failing())
    with pytest.raises(TypeError, match="gives bytes"):
        await client.upload(["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="source is a path"):
        await client.upload(7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await client.upload("/nowhere/at/all.jpg")
    with pytest.raises(ValueError, match="of a path"):
        await client.upload(photograph, resume=True)


async def test_refusals_carry_their_facts(
    start: Callable[..., Server], scan: bytes, photograph: bytes
) -> None:
    server = start(max_pixels="1000", max_image_bytes="1MiB")
    async with AsyncClient(server.address) as client:
        with pytest.raises(errors.NotAnImage):
            await client.upload(b"no image at all" * 60_000)
        with pytest.raises(errors.TooManyPixels) as pixels:
            await client.upload(photograph)
        assert (pixels.value.facts["limit"], pixels.value.facts["actual"]) == (1000, 1280 * 853)
        with pytest.raises(errors.ImageTooLarge) as large:
            await client.upload(scan)
        assert large.value.facts["limit"] == 1 << 20
        with pytest.raises(errors.TooManyPixels):
            await client.upload(pieces(scan, 100_000))
        with pytest.raises(errors.ImageError):
            await client.upload(b"")
        with pytest.raises(errors.ImageError):
            await client.upload(photograph[:5000])


async def test_a_wrong_sha256_is_refused(client: AsyncClient, photograph: bytes) -> None:
    with pytest.raises(errors.ChecksumMismatch) as wrong:
        await client.upload(photograph, sha256="00" * 32)
    assert wrong.value.facts["actual"] == hashlib.sha256(photograph).hexdigest()
    right = await client.upload(photograph, sha256=hashlib.sha256(photograph).hexdigest())
    assert right.sha256 == hashlib.sha256(photograph).digest()


async def test_a_server_with_small_messages_gets_small_chunks(
    start: Callable[..., Server], photograph: bytes
) -> None:
    async with AsyncClient(start(max_message_bytes="64KiB").address) as client:
        assert (await client.upload(photograph)).size_bytes == len(photograph)


async def test_the_newest_writer_wins(
    client: AsyncClient, serving: Server, scan: bytes, tmp_path: Path
) -> None:
    path = written(tmp_path, scan)
    begun, go_on = asyncio.Event(), threading.Event()

    def slowly(done: int, total: int | None) -> None:
        begun.set()

    class Slow(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 8_000_000:
                go_on.wait(DEADLINE)
            return super().read(size)

    # A client would take its lock of the state file, and so would not be a second writer.
    state = StateFile.of(path, None).begin(path, address=serving.address, user="", name=path.name)
    blank: dict[str, Any] = {"tls": False, "ca": None, "cert": None, "key": None}
    connection = Connection(Options(address=serving.address, timeout=20, retries=3, patience=20, **blank))
    with Slow(path) as file:
        older = Uploader(
            connection,
            open_source(file, hashing=True),
            user="",
            name=path.name,
            request_id=state.request_id,
            progress=slowly,
        )
        task = asyncio.create_task(older.run())
        await begun.wait()
        # The newer writer has finished, or the older one has been refused, before that one reads on.
        newer = asyncio.create_task(client.upload(path, resume=True))
        await asyncio.wait({newer, task}, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        assert (await newer).sha256 == hashlib.sha256(scan).digest()
        with pytest.raises(errors.WriterFenced):
            await task
    await connection.close()


async def test_a_file_that_shrinks(client: AsyncClient, scan: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, scan)

    def shrink(done: int, total: int | None) -> None:
        if path.stat().st_size > 20_000_000:
            os.truncate(path, 20_000_000)

    with pytest.raises(SourceChanged, match="ends at 20000000 bytes, not at 24000054"):
        await client.upload(path, progress=shrink)


async def test_nobody_there(photograph: bytes, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr("conexiones.sdk.backoff.FIRST_ANSWER_SECONDS", 0.5)
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(Unreachable, match=r"No server answers at 127\.0\.0\.1:1: .*refused"):
            await client.upload(photograph)
        with pytest.raises(errors.Unavailable):
            await client.limits()
    async with AsyncClient(server.address, patience=0.5) as client:
        await client.limits()
        server.kill()
        with pytest.raises(NoProgress, match=r"without progress\. The connection to the server was lost"):
            await client.upload(photograph)


async def another_upload(server: Server) -> None:
    """Has another client create an upload, as soon as the server has room for it."""
    create = "conexiones.v1.UploadService/CreateUpload"
    await until(lambda: "upload" in ask(server.address, create, {"requestId": "x"}, source="127.0.0.2"))


async def test_an_upload_that_expired_is_begun_anew(
    start: Callable[..., Server], photograph: bytes, tmp_path: Path
) -> None:
    """Another client needs the only place, and the upload has been idle meanwhile."""
    server = start(max_open_uploads="1", upload_idle_seconds="0.1")
    path = written(tmp_path, photograph)
    begun, go_on = asyncio.Event(), threading.Event()
    sizes: list[int] = []

    class Slow(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() and not go_on.is_set():
                go_on.wait(DEADLINE)
            return super().read(size)

    def progress(done: int, total: int | None) -> None:
        sizes.append(done)
        begun.set()

    async with AsyncClient(server.address) as client:
        with Slow(path) as file:
            task = asyncio.create_task(client.upload(file, chunk_size=50_000, progress=progress))
            await begun.wait()
            await another_upload(server)
            go_on.set()
            assert (await task).sha256 == hashlib.sha256(photograph).digest()
        assert sizes[0] == 50_000, "it had bytes when it expired"


async def test_an_upload_that_expired_with_bytes_of_a_stream_has_ended(
    start: Callable[..., Server], photograph: bytes
) -> None:
    server = start(max_open_uploads="1", upload_idle_seconds="0.1")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield photograph[:50_000]
        await go_on.wait()
        yield photograph[50_000:]

    async with AsyncClient(server.address) as client:
        upload = client.upload(source(), chunk_size=50_000, progress=lambda *_: begun.set())
        task = asyncio.create_task(upload)
        await begun.wait()
        await another_upload(server)
        go_on.set()
        with pytest.raises(errors.UploadEnded, match="EXPIRED"):
            await task
