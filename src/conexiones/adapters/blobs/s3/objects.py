"""Objects, their names, and requests for them, each with an end to its wait."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal, TypeVar, cast, get_args

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket

from conexiones.adapters.blobs.s3.measures import Requests
from conexiones.adapters.blobs.s3.patience import Graces, Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.shares import Turns

Kind = Literal["packs", "parts"]

KINDS: tuple[Kind, ...] = get_args(Kind)

MOST, EACH = 64, 48
"""Requests at a time, of all clients and of each: what comes waits, and no connection piles up."""

MARK = "house"
"""The name of the object that says whose all the others are."""

LISTED = 1000
"""Names in an answer to LIST."""

MOST_SAID = 200
"""Characters of what the driver says that an operator is told."""

# In the answer of an object store, or of one to a request for several objects.
_MESSAGE = re.compile(r"(?:<Message>|DeleteObjects request failed for key \S+: )([^<\n]{1,200})")
# What the driver did, in front of what became of it; and, in its notes for programmers, what the system said.
_TRIED = re.compile(
    r"(?:Generic S3 error: )?Error performing [A-Z]+ \S+ in \S+?(?:, after .*?retry_timeout: \S+)? +- "
)
_CAUSE = re.compile(
    r'(?:message|error): "(?P<system>[^"]+)"'
    r"|(?P<tls>Invalid(?:Certificate|Message))\(\s*(?P<more>\w+)|hyper::Error\(\s*(?P<http>\w+)"
)
_OF_MACHINE = "http://169.254.169.254/"  # where the machines of some providers have credentials
_NAME = re.compile(r"(packs|parts)/(\d{8}/\d{6})-[0-9a-f]{32}")
_FORM = "%Y%m%d/%H%M%S"
# What the driver says of an object that the store has refused to delete, by itself or among others. Not so of
# a request that was refused as a whole, and of answers that may be others a moment later.
_REFUSED = re.compile(r"DeleteObjects request failed for key|performing DELETE .*status code: 4(?!01|08|29)")

T = TypeVar("T")


class ObjectGone(Exception):
    """There is no such object. Its bytes may have been put elsewhere, or the blob was deleted."""


def born(name: str) -> float:
    """When an object was named, in seconds since the epoch by the clock of the database as its writer knew
    it. ValueError if that is no name of an object."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no name of an object")
    return datetime.strptime(match[2], _FORM).replace(tzinfo=UTC).timestamp()


def _is_own(name: str) -> bool:
    try:
        born(name)
    except ValueError:
        return False
    return True


def mark_of(identity: int) -> str:
    """What MARK says of the database with that number."""
    return f"{identity:08x}"


def kind_of(name: str) -> Kind:
    return cast("Kind", name.partition("/")[0])


def grace_of(name: str, graces: Graces) -> float:
    """How long after it was named a row may come to name an object."""
    return graces.pack if kind_of(name) == "packs" else graces.part


def said(error: BaseException) -> str:
    """What the driver said of a request that failed, in one line and without what it tried."""
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return "it does not answer"
    text = " ".join(str(cause).split())
    if message := _MESSAGE.search(text):
        return message[1].rstrip(" .")
    text, _, source = text.partition("Debug source")
    tried, text = text, _TRIED.sub("", text).rstrip(" .:")
    for match in _CAUSE.finditer(source):
        cause_of_it = " ".join(filter(None, match.groups()))
        text = text if cause_of_it in text else f"{text}: {cause_of_it}"
    if _OF_MACHINE in tried:
        text = f"there is no AWS_ACCESS_KEY_ID, and the machine has no credentials: {text}"
    return text[:MOST_SAID].rstrip(" .") or type(cause).__name__


class Objects:
    """Belongs to one event loop, but for `get_now`. Before `open`, and after `close`, every request raises
    StorageUnavailable, as it does when the store cannot be reached in time."""

    def __init__(self, place: BlobPlace, patience: Patience, metrics: Metrics | None = None) -> None:
        self._bucket: Bucket = place.connect(patience)
        self._patience = patience
        self._requests = Requests(metrics or Metrics())
        self.turns = Turns(MOST, each=EACH)
        self._ahead = 0.0  # of the clock of the database before this process's
        self.is_open = False

    def open(self) -> None:
        self._requests.open()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self._requests.close()

    def learn_time(self, now: float) -> None:
        """Tells what the clock of the database says now."""
        self._ahead = now - time.monotonic()

    def name(self, kind: Kind) -> str:
        """A new one. Names of a kind sort by time."""
        now = datetime.fromtimestamp(time.monotonic() + self._ahead, UTC)
        return f"{kind}/{now.strftime(_FORM)}-{secrets.token_hex(16)}"

    async def put(self, name: str, data: bytes | bytearray) -> None:
        """Durable, as far as the store promises that, when it returns. After an error, or when it was
        cancelled, the object may be there all the same, or come about later."""

        async def put() -> None:
            await obstore.put_async(self._bucket, name, data, use_multipart=False)

        await self._request("PUT", put, len(data))

    async def get(self, name: str, start: int, size: int) -> bytes:
        """Bytes of an object. Raises ObjectGone, and BlobCorrupt if it has fewer."""

        async def get() -> bytes:
            return bytes(await obstore.get_range_async(self._bucket, name, start=start, length=size))

        try:
            found = await self._request("GET", get, size)
        except StorageUnavailable as error:
            if _is_behind(error.__cause__):
                raise BlobCorrupt from error
            raise
        return _all(found, size)

    def get_now(self, name: str, start: int, size: int) -> bytes:
        """The same, for a thread."""
        self._check_open()
        begun, failed = time.monotonic(), True
        try:
            found = bytes(obstore.get_range(self._bucket, name, start=start, length=size))
            failed = False
        except (BaseError, OSError) as error:
            if _is_gone(error):
                failed = False
                raise ObjectGone from error
            raise BlobCorrupt if _is_behind(error) else StorageUnavailable from error
        finally:
            self._requests.soon("GET", time.monotonic() - begun, size, failed=failed)
        return _all(found, size)

    async def size(self, name: str) -> int | None:
        """The bytes of an object; None if it is not there."""

        async def head() -> int:
            return (await obstore.head_async(self._bucket, name))["size"]

        try:
            return await self._request("HEAD", head, 0)
        except ObjectGone:
            return None

    async def delete(self, names: Sequence[str]) -> dict[str, str]:
        """Deletes at most LISTED objects. Those that are not there are no error. Gives those that the store
        refuses to delete, each with what it says; the others are deleted all the same."""

        async def delete() -> None:
            await obstore.delete_async(self._bucket, list(names))

        try:
            await self._request("DELETE", delete, 0)
        except ObjectGone:
            # Some stores say so of one that is not there, and then not all of the others are deleted.
            return {} if len(names) == 1 else await self._delete_in_halves(names)
        except StorageUnavailable as error:
            if not _REFUSED.search(str(error.__cause__)):
                raise
            return {names[0]: said(error)} if len(names) == 1 else await self._delete_in_halves(names)
        return {}

    async def _delete_in_halves(self, names: Sequence[str]) -> dict[str, str]:
        """So that one among many takes a few requests more."""
        half = len(names) // 2
        return {**await self.delete(names[:half]), **await self.delete(names[half:])}

    async def mark(self) -> str:
        """Whose the objects are, as MARK has it; empty if it is not there. Raises BlobCorrupt."""
        size = await self.size(MARK)
        return (await self.get(MARK, 0, size)).decode(errors="replace").strip() if size else ""

    async def put_mark(self, identity: int) -> None:
        """Says that the objects are of the database with that number."""
        await self.put(MARK, mark_of(identity).encode())

    async def is_empty(self) -> bool:
        """Whether there is no object of a house."""
        for kind in KINDS:
            async with aclosing(self.listed(kind)) as names:
                if await anext(names, None) is not None:
                    return False
        return True

    async def listed(self, kind: Kind, after: str = "") -> AsyncGenerator[list[str], None]:
        """The names of the objects of a kind that sort after one, in order, LISTED at a time. What is no name
        of ours is left out."""
        self._check_open()
        found = obstore.list(self._bucket, f"{kind}/", offset=after or None, chunk_size=LISTED)
        pages = found.__aiter__()

        async def page() -> list[str] | None:
            try:
                metas = await pages.__anext__()
            except StopAsyncIteration:
                return None
            return [meta["path"] for meta in metas]

        while (names := await self._request("LIST", page, 0)) is not None:
            if own := sorted(filter(_is_own, names)):
                yield own

    def _check_open(self) -> None:
        if not self.is_open:
            raise StorageUnavailable

    async def _request(self, request: str, ask: Callable[[], Awaitable[T]], size: int) -> T:
        self._check_open()
        begun, failed = time.monotonic(), False
        try:
            async with asyncio.timeout(self._patience.of(size)), self.turns:
                self._check_open()
                return await ask()
        except (BaseError, OSError) as error:  # and so TimeoutError
            if request != "PUT" and _is_gone(error):
                raise ObjectGone from error
            failed = True
            raise StorageUnavailable from error
        finally:
            self._requests.count(request, time.monotonic() - begun, size, failed=failed)


def _is_gone(error: BaseException) -> bool:
    """Whether the store has answered that there is no such object. Where the bucket is not there, nothing is
    known of its objects."""
    return isinstance(error, FileNotFoundError) and "<Code>NoSuchBucket<" not in str(error)


def _is_behind(error: BaseException | None) -> bool:
    """Whether the store has answered that an object ends before the range. The driver has no kind for it."""
    return "status code: 416" in str(error)


def _all(found: bytes, size: int) -> bytes:
    if len(found) != size:
        raise BlobCorrupt
    return found
