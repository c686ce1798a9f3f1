"""A process to be killed; test_crash.py starts it.

    crash_worker.py flood ROOT SEED LARGEST     uploads images of at most LARGEST bytes until it is killed
    crash_worker.py resume ROOT SEED            begins named uploads and goes on with them until it is killed
    crash_worker.py steps ROOT                  does the same few uploads in ROOT/0, ROOT/1, …, and in the
                                                nth dies before its nth change to the folders of the blobs,
                                                or in the middle of it, where that is a write

Acknowledges each image that is stored with a line: its id and its digest. Contents repeat, so that the
same bytes come in at once; some uploads are discarded after publish, as if the catalog had failed.
Of named uploads a line acknowledges what is committed (`+ NAME SIZE`), or the end (`= NAME`); their bytes are
`bytes_of(NAME)`.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from conexiones.adapters.files import FileBlobs
from conexiones.adapters.sqlite import SqliteCatalog
from conexiones.ports import ImageRecord, UploadRecord


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write: never half a line


class Uploads:
    def __init__(self, root: Path) -> None:
        self.catalog = SqliteCatalog(root / "catalog.db")
        self.blobs = FileBlobs(root)

    async def open(self) -> None:
        await self.catalog.open()
        await self.blobs.open(self.catalog)

    async def close(self) -> None:
        await self.blobs.close()
        await self.catalog.close()

    async def upload(self, name: str, data: bytes, *, keep: bool = True) -> None:
        staged = self.blobs.stage()
        for start in range(0, len(data), 150_000):
            await staged.write(data[start : start + 150_000])
        digest = await staged.publish()
        if keep:
            await self.catalog.add_image(
                ImageRecord(
                    id=name,
                    digest=digest,
                    size=len(data),
                    format="PNG",
                    width=1,
                    height=1,
                    frames=1,
                    user=None,
                    create_time=1,
                )
            )
            await staged.settle()
            say(f"{name} {digest.hex()}")
        else:
            await staged.discard()


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
    """Of two names in three the bytes are those of others, too."""
    _, _, number = name.split("-")
    rng = random.Random(name if int(number) % 3 == 0 else int(number) % 5)
    return rng.randbytes(rng.choice([5_000, 200_000, 2_500_000]))


def record_of(name: str, digest: bytes, size: int) -> ImageRecord:
    return ImageRecord(
        id=f"image of {name}",
        digest=digest,
        size=size,
        format="PNG",
        width=1,
        height=1,
        frames=1,
        user=None,
        create_time=1,
    )


async def resume(root: Path, seed: int) -> None:
    say("opening")
    uploads = Uploads(root)
    await uploads.open()
    left = await uploads.catalog.stale_uploads(idle_since=10, created_before=10)
    say("open")

    async def client(i: int) -> None:
        rng = random.Random(f"{seed} {i}")
        for name in left[i::6]:
            await go_on(uploads, name, rng)
        for n in range(1_000_000):
            name = f"{seed}-{i}-{n}"
            await uploads.catalog.create_upload(
                UploadRecord(
                    id=name,
                    request_id=name,
                    state="OPEN",
                    committed_size=0,
                    declared_size=None,
                    writer_epoch=0,
                    user=None,
                    image_id=None,
                    failure=None,
                    create_time=1,
                    update_time=1,
                )
            )
            say(f"+ {name} 0")
            await go_on(uploads, name, rng)

    await asyncio.gather(*(client(i) for i in range(6)))


async def go_on(uploads: Uploads, name: str, rng: random.Random) -> None:
    """Claims, resumes and finishes an upload; now and then it is released in between, even after publish,
    as if the catalog had failed, or is cancelled."""
    catalog, data = uploads.catalog, bytes_of(name)
    while True:
        upload = await catalog.claim_upload(name, now=1)
        assert upload
        staged = await uploads.blobs.resume(name, upload.committed_size)
        while staged.size < len(data):
            for _ in range(rng.randint(1, 3)):
                await staged.write(data[staged.size : staged.size + rng.choice([3_000, 100_000, 1_200_000])])
            size = await staged.commit()
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
            digest = await staged.publish()
            if rng.random() < 0.8:
                image = record_of(name, digest, len(data))
                await catalog.end_upload(name, state="READY", image=image, failure=None, now=1)
                if rng.random() < 0.8:
                    say(f"= {name}")
                await staged.settle()
                if rng.random() < 0.3:
                    say(f"- {name}")  # before it is: it may be gone from now on
                    await catalog.delete_image(image.id, now=1)
                    await uploads.blobs.delete(digest)
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
    # Last, what is left over for the next start: begun, and published without a word to the catalog.
    begun, published = uploads.blobs.stage(), uploads.blobs.stage()
    await begun.write(data)
    await published.write(b"4" * 3000)
    await published.publish()
    await uploads.close()


def steps(root: Path) -> None:
    """Each step in a fork, which saves the start of Python. The fork is made before any thread is."""
    step = 0
    while True:
        child = os.fork()
        if not child:
            own = root / str(step)
            die_before_change(step, *(str(own / name) for name in ("blobs", "incoming", "segments")))
            say(f"step {step}")
            asyncio.run(few(root / str(step)))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"step {step} failed")
        step += 1


def die_before_change(nth: int, *folders: str) -> None:
    """SIGKILL before the nth file that is created, renamed, linked or removed (Python's audit events), or
    written or synced; a write counts twice, and is done by half the second time."""
    left = nth

    def step(path: str) -> bool:
        """Whether the process is to die now."""
        nonlocal left
        left -= path.startswith(folders)
        return left < 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        change = event in ("os.rename", "os.link", "os.remove") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if change and step(str(arguments[0])):
            die()

    def watched(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def stand_in(descriptor: int, *arguments: object) -> object:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if step(path):
                die()
            if name == "pwritev" and step(path):
                data = b"".join(arguments[0])
                os.pwrite(descriptor, data[: len(data) // 2], arguments[1])
                die()
            return call(descriptor, *arguments)

        return stand_in

    for name in ("pwritev", "fdatasync", "ftruncate"):
        setattr(os, name, watched(name))
    sys.addaudithook(watch)


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        asyncio.run(flood(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    elif sys.argv[1] == "resume":
        asyncio.run(resume(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        steps(Path(sys.argv[2]))
