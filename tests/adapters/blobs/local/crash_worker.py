"""A process to be killed, which test_crash.py starts.

    … flood ROOT SEED LARGEST     uploads images of at most LARGEST bytes until it is killed
    … resume ROOT SEED            begins resumable uploads and goes on with them until it is killed
    … steps ROOT FIRST BY         does the same few uploads in ROOT/0, ROOT/1 and so on. Each time it dies
                                  one change to the folders of the blobs later, or in the middle of that
                                  change if it is a write, until it is not killed any more. Then it does
                                  the same with the changes of its writing process, which kills it too.
                                  Of the changes it takes the one with the number FIRST, and then each
                                  that is BY further
    … uploads ROOT FIRST BY       the same with one resumable upload, which is resumed in between

Acknowledges each image that is stored with a line: its id and its digest. Contents repeat, so that equal
bytes come in at once; some uploads are discarded after publish, as if the catalog had failed. For resumable
uploads a line acknowledges what is committed (`+ NAME SIZE`) or the end (`= NAME`); their bytes are
`bytes_of(NAME)`.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.writer import process as writer_process
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import counted, tell_nobody
from tests.adapters.blobs.local.dying import die_before_change

SOURCES = Path(__file__).parents[4]

DYING = """
sys.path.append({sources!r})
from tests.adapters.blobs.local.dying import die_before_change
die_before_change({nth}, {folder!r}, with_parent=True)
"""


def with_code(code: str) -> str:
    """The program of the writing process, which runs some code first."""
    return writer_process.PROGRAM.replace("main()\n", f"{code}\nmain()\n")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write: never half a line


def record_of(image_id: str, digest: bytes, size: int) -> ImageRecord:
    return ImageRecord(
        id=image_id,
        digest=digest,
        size=size,
        format="PNG",
        width=1,
        height=1,
        frames=1,
        user=None,
        create_time=1,
    )


def new_upload(name: str) -> UploadRecord:
    return UploadRecord(
        id=name,
        request_id=name,
        state="OPEN",
        committed_size=0,
        declared_size=None,
        writer_epoch=0,
        client="",
        user=None,
        image_id=None,
        failure=None,
        create_time=1,
        update_time=1,
    )


class Uploads:
    def __init__(self, root: Path) -> None:
        self.catalog = SqliteCatalog(root / "catalog.db")
        self.store = LocalStore(root, self.catalog, writer=self.catalog.writer)

    async def open(self) -> None:
        await self.catalog.open()
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()
        await self.catalog.close()

    async def upload(self, name: str, data: bytes, *, keep: bool = True) -> None:
        staged = self.store.staging.stage()
        for start in range(0, len(data), 150_000):
            await staged.write(data[start : start + 150_000])
        if keep:
            digest = await staged.publish(lambda digest: self.add(name, digest, len(data)))
            await staged.settle()
            say(f"{name} {digest.hex()}")
        else:
            await staged.publish(tell_nobody)
            await staged.discard()

    async def add(self, name: str, digest: bytes, size: int) -> bytes:
        await self.catalog.add_image(record_of(name, digest, size))
        return digest


async def flood(root: Path, seed: int, largest: int) -> None:
    say("opening")
    uploads = Uploads(root)
    await uploads.open()
    say("open")

    async def client(i: int) -> None:
        rng = random.Random(f"{seed} {i}")
        for n in range(1_000_000):
            shared = random.Random(rng.randrange(4)) if rng.random() < 0.3 else rng
            data = shared.randbytes(shared.randint(1, largest))
            await uploads.upload(f"{seed}.{i}.{n}", data, keep=rng.random() < 0.8)

    await asyncio.gather(*(client(i) for i in range(8)))


def bytes_of(name: str) -> bytes:
    """The bytes of an upload. For two names in three, other names have the same bytes."""
    _, _, number = name.split("-")
    rng = random.Random(name if int(number) % 3 == 0 else int(number) % 5)
    return rng.randbytes(rng.choice([5_000, 200_000, 2_500_000]))


async def resume(root: Path, seed: int) -> None:
    say("opening")
    uploads = Uploads(root)
    await uploads.open()
    left = open_uploads(root)
    say("open")

    async def client(i: int) -> None:
        rng = random.Random(f"{seed} {i}")
        for name in left[i::6]:
            await go_on(uploads, name, rng)
        for n in range(1_000_000):
            name = f"{seed}-{i}-{n}"
            await uploads.catalog.create_upload(new_upload(name))
            say(f"+ {name} 0")
            await go_on(uploads, name, rng)

    await asyncio.gather(*(client(i) for i in range(6)))


def open_uploads(root: Path) -> list[str]:
    with closing(sqlite3.connect(root / "catalog.db")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM uploads WHERE state = 'OPEN'")]


async def go_on(uploads: Uploads, name: str, rng: random.Random) -> None:
    """Claims, resumes and finishes an upload. Now and then it is cancelled, or released in between, even
    after publish, as if the catalog had failed."""
    catalog, data = uploads.catalog, bytes_of(name)
    while True:
        upload = await catalog.claim_upload(name, now=1)
        assert upload
        staged = await uploads.store.staging.resume(name, upload.committed_size)
        while staged.size < len(data):
            for _ in range(rng.randint(1, 3)):
                await staged.write(data[staged.size : staged.size + rng.choice([3_000, 100_000, 1_200_000])])
            size = await staged.commit(counted)
            await catalog.advance_upload(name, epoch=upload.writer_epoch, size=size, now=1)
            say(f"+ {name} {size}")
            if rng.random() < 0.1:
                break
        else:
            if rng.random() < 0.1:
                # In this order: an open upload has its bytes.
                await catalog.end_upload(name, state="CANCELLED", image=None, failure=None, now=1)
                await staged.discard()
                say(f"x {name}")
                return
            digest = await staged.publish(tell_nobody)
            if rng.random() < 0.8:
                image = record_of(f"image of {name}", digest, len(data))
                await catalog.end_upload(name, state="READY", image=image, failure=None, now=1)
                if rng.random() < 0.8:
                    say(f"= {name}")
                await staged.settle()
                if rng.random() < 0.3:
                    say(f"- {name}")  # before it is: it may be gone from now on
                    async with uploads.store.blobs.removing(digest):
                        await catalog.delete_image(image.id, now=1)
                return
        await staged.release()


async def few(root: Path) -> None:
    uploads = Uploads(root)
    await uploads.open()
    data = random.Random(0).randbytes(1_500_000)
    await uploads.upload("small", b"1" * 3000)
    await uploads.upload("large", data)
    await uploads.upload("small again", b"1" * 3000)
    await uploads.upload("dropped", b"2" * 3000, keep=False)
    await uploads.upload("dropped twin", data, keep=False)
    twins = (uploads.upload(f"twin {i}", b"3" * 3000, keep=i != 1) for i in range(3))
    await asyncio.gather(*twins)
    # Last, what is left for the next start: one that has begun, and one of which the catalog was not told.
    begun, published = uploads.store.staging.stage(), uploads.store.staging.stage()
    await begun.write(data)
    await published.write(b"4" * 3000)
    await published.publish(tell_nobody)
    await uploads.close()


RESUMED = random.Random(3).randbytes(2_500_000)
PARTS = (900_000, 900_005, 2_100_000, len(RESUMED))
"""The sizes that the upload `resumed` has one after the other: the bytes, and what is committed."""


async def resumed(root: Path) -> None:
    uploads = Uploads(root)
    await uploads.open()
    catalog = uploads.catalog
    await catalog.create_upload(new_upload("resumed"))
    say("+ resumed 0")
    staged = await uploads.store.staging.resume("resumed", 0)
    for size in PARTS:
        if size == PARTS[2]:
            await staged.release()
            staged = await uploads.store.staging.resume("resumed", staged.size)
        await staged.write(RESUMED[staged.size : size])
        await staged.commit(counted)
        await catalog.advance_upload("resumed", epoch=0, size=size, now=1)
        say(f"+ resumed {size}")
    digest = await staged.publish(tell_nobody)
    image = record_of("image", digest, len(RESUMED))
    await catalog.end_upload("resumed", state="READY", image=image, failure=None, now=1)
    say("= resumed")
    await staged.settle()
    await uploads.close()


def upload_steps(root: Path, first: int, by: int) -> None:
    """As `steps`, with `resumed`."""
    step = 0
    while killed_at(root / str(step), "server", first + step * by, "uploads", do=resumed):
        step += 1


def steps(root: Path, first: int, by: int) -> None:
    """Each step in a fork, which saves the start of Python. No thread is there when it is made."""
    step = 0
    for who in ("server", "writer"):
        nth = first
        while killed_at(root / str(step), who, nth):
            nth, step = nth + by, step + 1
        step += 1


def killed_at(
    own: Path, who: str, nth: int, *more: str, do: Callable[[Path], Coroutine[None, None, None]] = few
) -> bool:
    """Whether the server, or its writing process, makes an nth change while it does that. `more` are folders
    whose changes count, too."""
    child = os.fork()
    if not child:
        if who == "server":
            folders = ("blobs", "incoming", "segments", *more)
            die_before_change(nth, *(str(own / folder) for folder in folders))
        else:
            code = DYING.format(sources=str(SOURCES), nth=nth, folder=str(own / "segments"))
            writer_process.PROGRAM = with_code(code)
        say(f"step {who}")
        asyncio.run(do(own))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        sys.exit(f"{own} failed")
    return status != 0


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        asyncio.run(flood(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    elif sys.argv[1] == "resume":
        asyncio.run(resume(Path(sys.argv[2]), int(sys.argv[3])))
    elif sys.argv[1] == "uploads":
        upload_steps(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        steps(Path(sys.argv[2]), *map(int, sys.argv[3:]))
