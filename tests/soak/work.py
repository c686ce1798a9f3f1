"""What clients do all the time during the soak: every kind of call, each at its own pace.

So much is stored at most: what is older is deleted. So the server is to need the same in each minute.
"""

import asyncio
import hashlib
import itertools
import json
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyqwest

from conexiones import AsyncClient
from conexiones.errors import ConexionesError, NoPreview, NoRendition
from conexiones.sdk.renditions import Rendition
from conexiones.sdk.results import Image, NewUser, Stored
from tests.access.answers import of_connect
from tests.support.attacks.pictures import numbered
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

LARGE_SIDE = 1500
"""The width and height of large images, 6.75 MB each."""

DELETIONS = 32
"""The most deletions at a time."""

POOL_SECONDS = 20.0
"""How long a connection for HTTP is kept without calls. The server keeps it for longer: it has no way to
say that it closes one on which a request is just coming."""

REFUSED = "NOT_AN_IMAGE"
"""Why the server refuses the file that is no image."""

EXPECTED = {REFUSED}
"""Reasons of errors that are part of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is stored at most, and how many seconds lie between two beginnings of the same work: `pace`
    times as many as stand at each work."""

    small: int = 4000
    large: int = 30
    pace: float = 1.0


@dataclass(slots=True)
class Tally:
    """What came of one kind of work since the last look: seconds that it took, and errors by reason."""

    seconds: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class Work:
    """The clients of one server. `images`: the SHA-256 of all images that are stored, by id, the oldest
    first."""

    def __init__(
        self, client: AsyncClient, address: str, amounts: Amounts, photo: bytes, folder: Path
    ) -> None:
        self._client = client
        self._base = f"http://{address}"
        self._amounts = amounts
        self._photo = photo
        self._folder = folder
        self._numbers = itertools.count(time.time_ns())
        self._tallies: dict[str, Tally] = {}
        self._deleted: set[str] = set()  # or to be deleted, by a call that may not have ended
        self._gone: set[str] = set()  # whose deletion was acknowledged
        self.images: dict[str, bytes] = {}
        self.small: deque[str] = deque()
        self.large: deque[str] = deque()
        self.heard: set[str] = set()
        self._watching = asyncio.Event()
        self._begun: set[str] = set()
        self._news = asyncio.Event()

    async def run(self, until: asyncio.Event) -> None:
        """Works until the event. What is under way then is ended. The events of what was stored are waited
        for, within DEADLINE."""
        await self._find()
        async with asyncio.TaskGroup() as group:
            http = pyqwest.Client(pyqwest.HTTPTransport(pool_idle_timeout=POOL_SECONDS))
            watching = group.create_task(self._watch())
            await self._watching.wait()
            self._begun = set(self.images)
            tasks = [
                group.create_task(self._again(kind, seconds, work))
                for kind, (seconds, work) in self._kinds(http).items()
            ]
            await until.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(TimeoutError):
                async with asyncio.timeout(DEADLINE):
                    while self._unheard():
                        self._news.clear()
                        await self._news.wait()
            watching.cancel()

    def take(self) -> dict[str, Tally]:
        """What came of each kind since the last time."""
        tallies, self._tallies = self._tallies, {}
        return tallies

    async def missing(self) -> list[str]:
        """What is wrong when no work goes on: ids that are acknowledged and not listed, or the reverse, or of
        which no event came."""
        listed = {image.id async for image in self._client.images()}
        return [
            *(f"{id} is acknowledged and not listed" for id in self.images.keys() - self._deleted - listed),
            *(f"{id} is deleted and listed" for id in listed & self._gone),
            *(f"no event told of {id}" for id in self._unheard()),
        ]

    def _unheard(self) -> set[str]:
        return self.images.keys() - self._deleted - self._begun - self.heard

    def _kinds(self, http: pyqwest.Client) -> dict[str, tuple[float, Callable[[], Awaitable[object]]]]:
        client = self._client
        return {
            "GetUser": (0.1, lambda: client.get_user("Ana", 3)),
            "GetUser with an image": (1.0, lambda: client.get_user("Zoé", 3, self._small())),
            "GetUserBidiStream": (2.0, self._users),
            "ProcessImage": (0.5, self._process),
            "GetStreamImage": (3.0, self._stream),
            "ImageStreamReply": (2.0, self._image_stream),
            "upload of a small image": (0.3, self._upload_small),
            "upload_many": (5.0, self._many),
            "upload of a large image": (4.0, self._upload_large),
            "upload that is left": (5.0, self._left),
            "download": (1.0, self._download),
            "part of an image": (0.7, self._part),
            "rendition": (0.7, self._rendition),
            "rendition that is left": (4.0, self._rendition_left),
            "list": (5.0, self._list),
            "watch that comes and goes": (1.0, self._watch_a_while),
            "file that is refused": (2.0, self._refused),
            "Connect with JSON": (0.5, lambda: self._json(http)),
            "GET of a rendition": (0.3, lambda: self._get(http, "?width=48")),
            "GET of an image": (0.5, lambda: self._get(http, "")),
            "status": (1.0, client.health),
            "deletion": (0.2, self._delete),
        }

    async def _again(self, kind: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            begun = time.monotonic()
            try:
                await work()
                self._tally(kind).seconds.append(time.monotonic() - begun)
            except ConexionesError as error:
                reason = error.reason or type(error).__name__
                killed = isinstance(error, NoPreview | NoRendition) and error.facts["cause"] == "CRASH"
                if reason not in EXPECTED and not killed:
                    self._failed(kind, reason)
            except AssertionError as error:
                self._failed(kind, str(error))
            await asyncio.sleep(max(0.0, begun + seconds * self._amounts.pace - time.monotonic()))

    def _failed(self, kind: str, why: str) -> None:
        errors = self._tally(kind).errors
        errors[why] = errors.get(why, 0) + 1

    def _tally(self, kind: str) -> Tally:
        return self._tallies.setdefault(kind, Tally())

    async def _find(self) -> None:
        """Takes what is stored from an earlier piece, the oldest first."""
        found = [image async for image in self._client.images()]
        for image in reversed(found):
            self._keep(image)

    def _keep(self, image: Image | None) -> None:
        if image is not None and image.id not in self.images:
            self.images[image.id] = image.sha256
            (self.large if image.size_bytes > 1 << 20 else self.small).append(image.id)

    def _kept(self, image: Image | None, data: bytes) -> None:
        """An image was acknowledged, as what was sent."""
        assert image is not None
        assert image.sha256 == hashlib.sha256(data).digest(), "another image was acknowledged"
        self._keep(image)

    def _small(self) -> bytes:
        return numbered(self._photo, next(self._numbers) % 2**63)

    def _large(self) -> bytes:
        plain = b"".join(bitmap(LARGE_SIDE, LARGE_SIDE))
        # The resolution in the header makes it another image.
        return plain[:38] + (next(self._numbers) % 2**63).to_bytes(8, "little") + plain[46:]

    def _any(self) -> str | None:
        kept = random.choice(
            [queue for queue in (self.small, self.small, self.large) if queue] or [self.small]
        )
        return random.choice(kept) if kept else None

    async def _users(self) -> None:
        async for reply in self._client.user_stream(
            NewUser(name=f"user {n}", pow=n, image=self._small()) for n in range(8)
        ):
            if reply.errors:
                raise reply.errors[0]
            assert reply.preview, "a user has no preview"

    async def _process(self) -> None:
        data = self._small()
        self._kept((await self._client.process_image(data)).image, data)

    async def _stream(self) -> None:
        data = self._large()
        self._kept((await self._client.stream_image(data)).image, data)

    async def _image_stream(self) -> None:
        images = [self._small() for _ in range(50)]
        number = 0
        async for reply in self._client.image_stream(images):
            self._kept(reply.image, images[number])
            number += 1
        assert number == len(images)

    async def _upload_small(self) -> None:
        data = self._small()
        self._kept(await self._client.upload(data, user="Ana"), data)

    async def _upload_large(self) -> None:
        data = self._large()
        self._kept(await self._client.upload(data, name="large.bmp"), data)

    async def _many(self) -> None:
        images = [self._small() for _ in range(100)]
        async for done in self._client.upload_many(images):
            if done.error:
                raise done.error
            self._kept(done.image, images[done.index])

    async def _left(self) -> None:
        """An upload that is left in the middle, or done after all. What was left goes on the next time."""
        path = self._folder / "left.bmp"
        if path.exists():
            data = path.read_bytes()
            self._kept(await self._client.upload(path, resume=True), data)
        else:
            data = self._large()
            path.write_bytes(data)
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.01, 0.1)):
                    self._kept(await self._client.upload(path, resume=True), data)
            if path.with_name(f"{path.name}.conexiones-upload").exists():
                return
        path.unlink()

    async def _download(self) -> None:
        if id := self._any():
            with self._unless_deleted(id):
                await self._client.download(id, self._folder / "downloaded")

    async def _part(self) -> None:
        if id := self._any():
            with self._unless_deleted(id):
                await self._client.download(id, offset=100, limit=1000)

    async def _rendition(self) -> None:
        if id := self._any():
            with self._unless_deleted(id):
                size = random.randrange(16, 96)
                await self._client.download(id, rendition=Rendition(width=size, height=size, fit="cover"))

    async def _rendition_left(self) -> None:
        if self.large:
            id = random.choice(self.large)
            with self._unless_deleted(id), suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    size = random.randrange(400, 1400)
                    await self._client.download(id, rendition=Rendition(width=size, format="avif"))

    async def _list(self) -> None:
        listed = 0
        async for _ in self._client.images(page_size=100):
            listed += 1
            if listed == 500:
                return

    async def _watch(self) -> None:
        def ready(_: str) -> None:
            self._watching.set()

        async for event in self._client.watch(ready=ready):
            if isinstance(event, Stored):
                self.heard.add(event.image.id)
                self._news.set()

    async def _watch_a_while(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.1, 3.0)):
                async for _ in self._client.watch():
                    pass

    async def _refused(self) -> None:
        await self._client.process_image(b"no image at all" * 1000)

    async def _json(self, http: pyqwest.Client) -> None:
        answer = await _as_told(
            lambda: http.post(
                f"{self._base}/user.UsuarioServicio/GetUser",
                headers={"content-type": "application/json"},
                content=b'{"name": "Ana", "pow": 4}',
            )
        )
        assert answer.status == 200, of_connect(json.loads(bytes(answer.content)))

    async def _get(self, http: pyqwest.Client, query: str) -> None:
        if id := self._any():
            answer = await _as_told(lambda: http.get(f"{self._base}/images/{id}{query}"))
            excused = id in self._deleted or b"(CRASH)" in answer.content  # its decoder was killed
            assert answer.status == 200 or excused, (answer.status, bytes(answer.content)[:200])
            if answer.status == 200 and not query:
                assert hashlib.sha256(answer.content).digest() == self.images[id], "other bytes came"

    async def _delete(self) -> None:
        """Deletes what is too much, the oldest first."""
        for queue, most in ((self.small, self._amounts.small), (self.large, self._amounts.large)):
            while len(queue) > most:
                # As many at a time as it takes to keep up with what is stored.
                await asyncio.gather(
                    *(self._delete_one(queue.popleft()) for _ in range(min(len(queue) - most, DELETIONS)))
                )

    async def _delete_one(self, id: str) -> None:
        self._deleted.add(id)
        await self._client.delete(id)
        self._gone.add(id)

    def _unless_deleted(self, id: str) -> "_UnlessDeleted":
        return _UnlessDeleted(id, self._deleted)


class _UnlessDeleted:
    """Lets pass that an image is not found, if it was deleted meanwhile."""

    def __init__(self, id: str, deleted: set[str]) -> None:
        self._id = id
        self._deleted = deleted

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return (
            isinstance(error, ConexionesError)
            and error.reason == "IMAGE_NOT_FOUND"
            and self._id in self._deleted
        )


async def _as_told(ask: Callable[[], Awaitable[pyqwest.FullResponse]]) -> pyqwest.FullResponse:
    """What comes of a request that is made once more where the server says so, as the SDKs do: while the
    catalog's writer, which was killed, begins again."""
    answer = await ask()
    if again := answer.headers.get("retry-after"):
        await asyncio.sleep(float(again))
        answer = await ask()
    return answer
