"""Downloads to, and uploads from, whatever a path can name."""

import asyncio
import io
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conexiones import AsyncClient, Client, errors
from conexiones.sdk import Rendition, SourceChanged
from conexiones.sdk.places import MAX_NAME_BYTES, Sink
from conexiones.sdk.sources import Chunk, Seekable
from conexiones.testing import Server

NOBODY = "00000000-0000-7000-8000-000000000000"
LONG = "ñ" * (MAX_NAME_BYTES // 2)


def names(folder: str | Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 (of a path or a text)


def device(folder: Path, name: str, minor: int) -> Path:
    """A device like that of /dev. For root it is another node, so that a mistake replaces that one."""
    if os.geteuid():
        return Path("/dev") / name
    try:
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (folder / name).open("wb").close()
    except PermissionError:
        pytest.skip("there can be no devices here")
    return folder / name


@pytest.fixture
async def stored(client: AsyncClient, photograph: bytes) -> str:
    return (await client.upload(photograph)).id


@contextmanager
def drained(open_it: Callable[[], int]) -> Iterator[list[bytes]]:
    """Reads all of a pipe in a thread; the bytes are there when the block has ended."""
    got: list[bytes] = []

    def drain() -> None:
        with os.fdopen(open_it(), "rb") as file:
            got.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    yield got
    thread.join()


@pytest.mark.parametrize("form", ["a link", "a link to a link", "a link from elsewhere", "a dangling link"])
async def test_a_link_is_followed(
    client: AsyncClient, stored: str, photograph: bytes, tmp_path: Path, form: str
) -> None:
    real, link = tmp_path / "real" / "a.jpg", tmp_path / "link"
    real.parent.mkdir()
    if form != "a dangling link":
        real.write_bytes(b"before")
        real.chmod(0o640)
    if form == "a link to a link":
        (tmp_path / "other").symlink_to("real/a.jpg")
        link.symlink_to("other")
    elif form == "a link from elsewhere":
        (tmp_path / "folder").symlink_to("real", target_is_directory=True)
        link.symlink_to("folder/a.jpg")
    else:
        link.symlink_to("real/a.jpg")
    await client.download(stored, link)
    assert link.is_symlink()
    assert real.read_bytes() == photograph
    assert not real.is_symlink()
    assert names(real.parent) == ["a.jpg"]
    if form != "a dangling link":
        assert stat.S_IMODE(real.stat().st_mode) == 0o640


async def test_a_file_is_replaced_whole(
    client: AsyncClient, stored: str, photograph: bytes, tmp_path: Path
) -> None:
    path, other = tmp_path / "a.jpg", tmp_path / "other name of it"
    path.write_bytes(b"before")
    other.hardlink_to(path)
    with pytest.raises(errors.ImageNotFound):
        await client.download(NOBODY, path)
    assert path.read_bytes() == b"before"
    await client.download(stored, path)
    assert (path.read_bytes(), other.read_bytes()) == (photograph, b"before")


@pytest.mark.parametrize("linked", [False, True], ids=["named", "linked"])
async def test_a_pipe_is_written_to(
    client: AsyncClient, stored: str, photograph: bytes, tmp_path: Path, linked: bool
) -> None:
    pipe = target = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        target = tmp_path / "link"
        target.symlink_to(pipe)
    # Nothing waits for a reader of what is not there.
    with pytest.raises(errors.ImageNotFound):
        await client.download(NOBODY, target)
    with drained(lambda: os.open(pipe, os.O_RDONLY)) as got:
        await client.download(stored, target)
    assert got == [photograph]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert set(names(tmp_path)) <= {"pipe", "link"}


async def test_nobody_waits_for_a_pipe_that_nobody_reads(
    client: AsyncClient, stored: str, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.download(stored, pipe)
    # What still waits in its thread is let go.
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))


async def test_a_socket_is_written_to(
    client: AsyncClient, stored: str, photograph: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with drained(lambda: listening.accept()[0].detach()) as got:
            await client.download(stored, path)
    assert got == [photograph]
    assert stat.S_ISSOCK(path.stat().st_mode)
    with pytest.raises(ConnectionRefusedError) as refused:
        await client.download(stored, path)
    assert refused.value.filename == str(path)


async def test_devices_are_written_to(client: AsyncClient, stored: str, tmp_path: Path) -> None:
    null, full, link = device(tmp_path, "null", 3), device(tmp_path, "full", 7), tmp_path / "link"
    link.symlink_to(null)
    before, around = names(null.parent), names(tmp_path)
    for target in (null, link):
        await client.download(stored, target)
        await client.download(stored, target, rendition=Rendition(width=10))
    assert null.is_char_device()
    assert link.is_symlink()
    with pytest.raises(OSError, match="No space") as no_space:
        await client.download(stored, full)
    assert no_space.value.filename == str(full)
    assert full.is_char_device()
    assert (names(null.parent), names(tmp_path)) == (before, around)


async def test_a_descriptor_is_written_to_from_where_it_stands(
    client: AsyncClient, stored: str, photograph: bytes, tmp_path: Path
) -> None:
    with (tmp_path / "a").open("w+b") as file:
        file.write(b"head")
        file.flush()
        link = tmp_path / "link"
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        for target in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}", link):
            await client.download(stored, target)
        file.seek(0)
        assert file.read() == b"head" + 3 * photograph
    with pytest.raises(OSError, match="descriptor"):
        await client.download(stored, "/dev/fd/987654")


async def test_what_takes_no_file_is_named(client: AsyncClient, stored: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "none" / "a")
    for target, kind, named in (
        ("folder", IsADirectoryError, "folder"),
        ("none/a.jpg", FileNotFoundError, "none"),
        ("link", FileNotFoundError, "none"),
        ("file/a.jpg", NotADirectoryError, "file/a.jpg"),
        ("loop", OSError, "loop"),
        ("x" * 256, OSError, "x" * 256),
    ):
        with pytest.raises(kind) as caught:
            await client.download(stored, tmp_path / target)
        assert caught.value.filename == str(tmp_path / named), target
    assert names(tmp_path) == ["file", "folder", "link", "loop"]


async def test_a_part_is_never_anything_but_a_file(client: AsyncClient, stored: str, tmp_path: Path) -> None:
    part, secret = tmp_path / "a.jpg.part", tmp_path / "secret"
    secret.write_bytes(b"secret")
    for make in (lambda: part.symlink_to(secret), lambda: os.mkfifo(part), part.mkdir):
        make()
        with pytest.raises(FileExistsError, match="in the way"):
            await client.download(stored, tmp_path / "a.jpg")
        part.rmdir() if part.is_dir() else part.unlink()
    assert secret.read_bytes() == b"secret"


async def test_names_that_are_no_utf_8(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.jpg")
    path.write_bytes(photograph)
    image = await client.upload(path, resume=True)
    assert image.name == "\ufffd\ufffd.jpg"
    await client.download(image.id, path)
    assert names(tmp_path) == [path.name]
    for name in ("\udcff.jpg", "a\ud83e"):
        with pytest.raises(errors.InvalidField) as refused:
            await client.upload(path, name=name)
        assert refused.value.field == "name"


async def test_long_names(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    path = tmp_path / LONG
    path.write_bytes(photograph)
    image = await client.upload(path, resume=True)
    begun = asyncio.Event()
    path.unlink()
    await client.download(image.id, path, progress=lambda *_: begun.set())
    assert (names(tmp_path), path.read_bytes()) == ([LONG], photograph)


# Sources


@pytest.mark.parametrize("resume", [None, True, "states"])
async def test_a_pipe_is_read(
    client: AsyncClient, photograph: bytes, tmp_path: Path, resume: str | bool | None
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeding = threading.Thread(target=pipe.write_bytes, args=(photograph,))
    feeding.start()
    assert (await client.upload(pipe, resume=resume)).size_bytes == len(photograph)
    feeding.join()
    assert names(tmp_path) == ["pipe"]


async def test_nobody_waits_for_a_pipe_that_nobody_writes_to(client: AsyncClient, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(errors.DeadlineExceeded):
        await client.upload(pipe, deadline=0.2)
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


async def test_a_descriptor_is_read_from_where_it_stands(
    client: AsyncClient, photograph: bytes, tmp_path: Path
) -> None:
    around = names("/dev")
    with (tmp_path / "a").open("w+b", buffering=0) as file:
        file.write(b"head" + photograph)
        file.seek(4)
        image = await client.upload(f"/dev/fd/{file.fileno()}", resume=True)
        assert image.size_bytes == len(photograph)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(photograph)

    feeding = threading.Thread(target=feed)
    feeding.start()
    image = await client.upload(f"/dev/fd/{reading}", resume=True)
    assert image.size_bytes == len(photograph)
    feeding.join()
    os.close(reading)
    assert names("/dev") == around
    assert names(tmp_path) == ["a"]


async def test_devices_are_read(client: AsyncClient) -> None:
    around = names("/dev")
    with pytest.raises(errors.ImageError):
        await client.upload("/dev/null", resume=True)
    with pytest.raises(errors.NotAnImage):
        await client.upload("/dev/zero", resume=True)
    assert names("/dev") == around


async def test_a_socket_is_read(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def feed() -> None:
            with listening.accept()[0] as peer:
                peer.sendall(photograph)

        feeding = threading.Thread(target=feed)
        feeding.start()
        assert (await client.upload(path, resume=True)).size_bytes == len(photograph)
        feeding.join()


async def test_what_is_no_source_is_said(client: AsyncClient, tmp_path: Path) -> None:
    for url in (
        "http://host/a.jpg",
        "HTTPS://host/a.jpg",
        "file:///a.jpg",
        "file:a.jpg",
        "data:,a",
        "ftp://h/a",
    ):
        with pytest.raises(ValueError, match=f"{url} is a URL, and a source is a path or bytes"):
            await client.upload(url)
        with pytest.raises(ValueError, match=f"{url} is a URL, and a source is a path or bytes"):
            await client.stream_image(url)
    with pytest.raises(ValueError, match="decode it, and give the bytes"):
        await client.upload("data:image/png;base64," + "A" * 9000)
    for url in ("http://host/a.jpg", f"file://{tmp_path}/a.jpg"):
        with pytest.raises(ValueError, match=f"{url} is a URL, and a target is a path or a binary file"):
            await client.download("id", url)
    for text in (io.StringIO("text"), (tmp_path / "text").open("w")):
        with text, pytest.raises(TypeError, match="source is a file that is open as text"):
            await client.upload(text)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="source is a path, bytes"):
        await client.upload(None)  # type: ignore[arg-type]
    with pytest.raises(IsADirectoryError):
        await client.upload(tmp_path, resume=True)
    (tmp_path / "link").symlink_to("none")
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "link", resume=True)
    with pytest.raises(FileNotFoundError):
        await client.upload(__file__, resume=tmp_path / "none")


async def test_a_file_that_grows_is_not_half_an_image(
    client: AsyncClient, scan: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "scan.bmp"
    path.write_bytes(scan)

    def grow(done: int, total: int | None) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(SourceChanged, match="written to while it was read"):
        await client.upload(path, progress=grow)


def test_a_write_that_blocks_goes_nowhere_else_after_the_sink_was_closed(tmp_path: Path) -> None:
    end, begin = os.pipe()
    sink = Sink(Path(f"/dev/fd/{begin}"))
    full = b"x" * (1 << 20)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            sink.write(full)
            sink.write(full)
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    got = os.read(end, 1)  # the thread has begun, and waits for room
    sink.close()
    with (tmp_path / "another").open("wb") as another:
        os.dup2(another.fileno(), begin)
        while len(got) < len(full):
            got += os.read(end, len(full))
        thread.join()
    os.close(begin)
    assert os.read(end, 1) == b"", "nobody has the pipe any more"
    os.close(end)
    assert failed
    assert not (tmp_path / "another").read_bytes()


async def test_fragments_are_not_of_a_file_that_grows(
    client: AsyncClient, photograph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photograph.jpg"
    path.write_bytes(photograph)
    chunk = Seekable.chunk

    async def grown(self: Seekable, offset: int, size: int) -> Chunk:
        with path.open("ab") as file:
            file.write(b"more")
        return await chunk(self, offset, size)

    monkeypatch.setattr(Seekable, "chunk", grown)
    with pytest.raises(SourceChanged, match="written to while it was read"):
        await client.stream_image(path)


async def test_a_folder_that_takes_no_state_is_none_that_gives_no_image(
    serving: Server, photograph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere, so the file system is made to refuse. What is sent in several chunks is no
    small image, which needs no state."""
    chunk = 65_536
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photograph)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("conexiones.sdk.resume.tempfile.mkstemp", refuse)
    with Client(serving.address) as client:
        assert client.upload(folder / "a.jpg", resume=True, chunk_size=chunk).size_bytes == len(photograph)
        with pytest.raises(PermissionError):
            client.upload(folder / "a.jpg", resume=tmp_path, chunk_size=chunk)
