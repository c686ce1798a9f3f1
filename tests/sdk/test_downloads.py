"""Downloads to every kind of target; ranges, servers that die, and parts that were left behind."""

import asyncio
import fcntl
import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conexiones import AsyncClient, Client, errors
from conexiones.samples import samples
from conexiones.sdk import Rendition, RenditionInfo
from conexiones.testing import Server
from tests.sdk.proxy import Fault, Proxy
from tests.support import corpus
from tests.support.waiting import DEADLINE

ANIMATED = next(sample.data for sample in samples() if sample.name == "animated.gif")
LARGE = Rendition(format="jpeg", quality=100)
"""Of `noise` this is larger than what is in flight at a time."""


@pytest.fixture(scope="module")
def noise() -> bytes:
    """A BMP whose renditions are large."""
    grey = Image.effect_noise((3000, 2000), 100)
    turned = grey.transpose(Image.Transpose.ROTATE_180)
    return corpus.encoded(Image.merge("RGB", (grey, turned, grey)), "BMP")


async def test_to_bytes_a_file_and_a_path(client: AsyncClient, scan: bytes, tmp_path: Path) -> None:
    image = await client.upload(scan)
    seen: list[tuple[int, int | None]] = []
    assert await client.download(image.id, progress=lambda *state: seen.append(state)) == scan
    assert seen[-1] == (len(scan), len(scan))
    file = io.BytesIO()
    assert await client.download(image.id, file) == image
    assert file.getvalue() == scan
    for target in (tmp_path / "a.bmp", str(tmp_path / "b.bmp")):
        assert await client.download(image.id, target) == image
    assert {name: (tmp_path / name).read_bytes() == scan for name in os.listdir(tmp_path)} == {  # noqa: PTH208
        "a.bmp": True,
        "b.bmp": True,
    }


async def test_a_target_that_does_not_count_its_bytes_gets_each_once(
    client: AsyncClient, photograph: bytes
) -> None:
    """As shutil.copyfileobj writes to it: the responses of some web servers are like this."""
    content = bytearray()

    class Response:
        def write(self, data: bytes) -> None:
            content.extend(data)
            assert len(content) <= len(photograph)

    image = await client.upload(photograph)
    response: Any = Response()
    assert await client.download(image.id, response) == image
    assert content == photograph


async def test_a_pipe_that_does_not_block_is_waited_for(client: AsyncClient, photograph: bytes) -> None:
    tries, full = 0, threading.Event()

    class Pipe(io.FileIO):
        def write(self, data: Any, /) -> Any:
            nonlocal tries
            tries += 1
            written = super().write(data)
            if written is None:
                full.set()
            return written

    def read() -> bytes:
        assert full.wait(DEADLINE)
        with io.FileIO(end) as out:
            return out.readall()

    image = await client.upload(photograph)
    end, begin = os.pipe()
    os.set_blocking(begin, False)
    reading = asyncio.create_task(asyncio.to_thread(read))
    with Pipe(begin, "wb") as pipe:
        target: Any = pipe
        await client.download(image.id, target)
    assert await reading == photograph
    assert tries < 1000


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 10), (100, 3_000_000), (-1000, 0), (-1000, 10), (23_999_999, 0)]
)
async def test_ranges(client: AsyncClient, scan: bytes, tmp_path: Path, offset: int, limit: int) -> None:
    image = await client.upload(scan)
    wanted = scan[offset:][: limit or None]
    assert await client.download(image.id, offset=offset, limit=limit) == wanted
    path = tmp_path / "range"
    path.with_name("range.part").write_bytes(b"left by another")
    await client.download(image.id, path, offset=offset, limit=limit)
    assert path.read_bytes() == wanted


async def test_the_server_is_killed_in_the_middle(server: Server, scan: bytes, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        image = await client.upload(scan)
        killed = asyncio.Event()

        def kill(done: int, total: int | None) -> None:
            if done > 4_000_000 and not killed.is_set():
                killed.set()
                server.kill()

        async def restart() -> None:
            await killed.wait()
            await asyncio.to_thread(server.start)

        path = tmp_path / "scan.bmp"
        got, _ = await asyncio.gather(client.download(image.id, path, progress=kill), restart())
        assert got == image
        assert path.read_bytes() == scan


@pytest.mark.parametrize("left", [1, 20_000_000, 24_000_054])
async def test_a_part_that_was_left_is_gone_on_with(
    client: AsyncClient, scan: bytes, tmp_path: Path, left: int
) -> None:
    image = await client.upload(scan)
    path, part = tmp_path / "scan.bmp", tmp_path / "scan.bmp.part"
    part.write_bytes(scan[:left])
    seen: list[int] = []
    assert await client.download(image.id, path, progress=lambda done, _: seen.append(done)) == image
    assert seen[0] >= left
    assert path.read_bytes() == scan
    assert not part.exists()


@pytest.mark.parametrize("left", [b"of another image", b"longer" * 5_000_000, bytes(24_000_054)])
async def test_a_part_of_something_else_is_written_anew(
    client: AsyncClient, scan: bytes, tmp_path: Path, left: bytes
) -> None:
    image = await client.upload(scan)
    path = tmp_path / "scan.bmp"
    path.with_name("scan.bmp.part").write_bytes(left)
    await client.download(image.id, path)
    assert hashlib.sha256(path.read_bytes()).digest() == image.sha256


async def test_two_writers_of_one_part(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    image = await client.upload(photograph)
    with (tmp_path / "a.jpg.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            await client.download(image.id, tmp_path / "a.jpg")


async def test_no_such_image(client: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(errors.ImageNotFound):
        await client.download("00000000-0000-7000-8000-000000000000")
    with pytest.raises(errors.ImageNotFound):
        await client.download("00000000-0000-7000-8000-000000000000", tmp_path / "none")
    assert not (tmp_path / "none").exists()


async def test_cancelled_it_leaves_a_part(client: AsyncClient, scan: bytes, tmp_path: Path) -> None:
    image = await client.upload(scan)
    begun = asyncio.Event()
    path = tmp_path / "scan.bmp"
    task = asyncio.create_task(client.download(image.id, path, progress=lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not path.exists()
    assert path.with_name("scan.bmp.part").exists()
    await client.download(image.id, path)
    assert path.read_bytes() == scan


async def test_renditions_to_every_target(
    client: AsyncClient, blocking: Client, photograph: bytes, tmp_path: Path
) -> None:
    image = await client.upload(photograph)
    wanted = Rendition(width=200, height=100, fit="cover", format="webp", quality=70)
    small = await client.download(image.id, rendition=wanted)
    shown = Image.open(io.BytesIO(small))
    assert (shown.format, shown.size) == ("WEBP", (200, 100))
    made = RenditionInfo(
        format="WEBP",
        width=200,
        height=100,
        frames=1,
        size_bytes=len(small),
        sha256=hashlib.sha256(small).digest(),
        etag=f'"{hashlib.sha256(small).hexdigest()}"',
        content_type="image/webp",
    )
    file = io.BytesIO()
    assert await client.download(image.id, file, rendition=wanted) == made
    assert file.getvalue() == small
    path = tmp_path / "small.webp"
    seen: list[tuple[int, int | None]] = []
    info = await client.download(image.id, path, rendition=wanted, progress=lambda *state: seen.append(state))
    assert (info, path.read_bytes(), seen) == (made, small, [(len(small), len(small))])
    assert await client.download(image.id, rendition=wanted, offset=-100, limit=30) == small[-100:-70]
    assert await asyncio.to_thread(blocking.download, image.id, rendition=wanted) == small
    # Fields that are not set are as in the original, and nothing is enlarged.
    info = await client.download(image.id, file, rendition=Rendition(width=5000))
    assert (info.format, info.width, info.height) == ("JPEG", 1280, 853)
    moving = await client.upload(ANIMATED)
    info = await client.download(moving.id, file, rendition=Rendition(width=16, animated=True))
    assert (info.format, info.width, info.frames) == ("WEBP", 16, moving.frames)


async def test_what_no_rendition_can_be(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    image = await client.upload(photograph)
    path = tmp_path / "none"
    for field, wanted in {
        "width": Rendition(width=-1),
        "height": Rendition(height=2**40),
        "fit": Rendition(fit="stretch"),  # type: ignore[arg-type]
        "format": Rendition(format="gif"),  # type: ignore[arg-type]
        "quality": Rendition(format="png", quality=50),
        "animated": Rendition(format="jpeg", animated=True),
    }.items():
        with pytest.raises(errors.InvalidField) as bad:
            await client.download(image.id, path, rendition=wanted)
        assert bad.value.field == f"rendition.{field}"
    huge = await client.upload(corpus.bombs()["WEBP"])
    with pytest.raises(errors.NoRendition) as refused:
        await client.download(huge.id, path, rendition=Rendition(width=10))
    assert (refused.value.facts["cause"], refused.value.facts["actual"]) == ("PIXELS", 16383**2)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_rendition_over_connections_that_break(
    client: AsyncClient, shared: Server, noise: bytes, tmp_path: Path
) -> None:
    image = await client.upload(noise)
    whole = await client.download(image.id, rendition=LARGE)
    assert len(whole) > 8_000_000
    path = tmp_path / "large.jpg"
    seen: list[int] = []
    async with Proxy(shared.address, 0, most_bytes=1, faulty=0) as proxy, AsyncClient(proxy.address) as away:

        def cut(done: int, total: int | None) -> None:
            assert total == len(whole)
            seen.append(done)
            if len(proxy.happened) < 2:  # what had come is still read after a cut, so calls are not counted
                proxy.cut()

        info = await away.download(image.id, path, rendition=LARGE, progress=cut)
        assert proxy.happened == [Fault.CUT, Fault.CUT]
    assert seen == sorted(seen)
    assert (path.read_bytes(), info.sha256) == (whole, hashlib.sha256(whole).digest())
    # A part of the same rendition that an earlier process left is completed; any other is replaced.
    for left, goes_on in ((whole[:5_000_000], True), (whole, True), (whole[1:], False), (noise, False)):
        path.with_name("large.jpg.part").write_bytes(left)
        seen.clear()
        await client.download(image.id, path, rendition=LARGE, progress=lambda done, _: seen.append(done))
        assert path.read_bytes() == whole
        assert (min(seen) >= 5_000_000) == goes_on


def rewind(target: Path | io.BytesIO) -> None:
    if isinstance(target, io.BytesIO):
        target.seek(0)


def written(target: Path | io.BytesIO) -> bytes:
    return target.read_bytes() if isinstance(target, Path) else target.getvalue()


async def test_a_rendition_that_becomes_other_bytes_begins_again(
    client: AsyncClient, shared: Server, noise: bytes, tmp_path: Path
) -> None:
    """A newer server may render differently. The bytes of the two renditions are never mixed."""
    image = await client.upload(noise)
    kept = shared.data_dir / "renditions" / image.sha256.hex()[:2]

    async def made(wanted: Rendition) -> tuple[bytes, Path]:
        before = set(kept.iterdir())
        data = await client.download(image.id, rendition=wanted)
        (file,) = set(kept.iterdir()) - before
        return data, file

    wanted = Rendition(format="jpeg", quality=98)
    (old, file), (new, other) = await made(wanted), await made(Rendition(format="jpeg", quality=97))
    forms = file.read_bytes(), other.read_bytes()
    path, draft = tmp_path / "large.jpg", tmp_path / "draft"

    def become(form: bytes) -> None:
        draft.write_bytes(form)
        draft.replace(file)

    async with Proxy(shared.address, 0, most_bytes=1, faulty=0) as proxy, AsyncClient(proxy.address) as away:

        async def download(target: Path | io.BytesIO) -> bytes:
            become(forms[0])
            rewind(target)
            begun = False

            def change(done: int, total: int | None) -> None:
                nonlocal begun
                if not begun:
                    begun = True
                    become(forms[1])
                    proxy.cut()

            await away.download(image.id, target, rendition=wanted, progress=change)
            return written(target)

        async def changed(target: Path | io.BytesIO) -> bytes:
            # Until the server notices that the connection is lost, it serves the file that it had opened.
            while (data := await download(target)) == old:
                pass
            return data

        assert await changed(path) == new
        # What is already in a file of the caller's cannot be taken back.
        with pytest.raises(errors.EtagMismatch):
            await changed(io.BytesIO())
