"""Values that cannot be: refused at once, by the client itself, with the name of the field or option."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from io import StringIO
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from conexiones import AsyncClient, Client, errors
from conexiones.sdk import NewUser, Rendition
from conexiones.sdk.failures import from_fields
from conexiones.sdk.resume import StateFile
from conexiones.testing import Server

NOWHERE = "127.0.0.1:1"
ONE_AND_A_HALF: dict[str, Any] = {"width": 1.5}
FIVE_AS_TEXT: dict[str, Any] = {"quality": "5"}
WEST, EAST = (timezone(timedelta(hours=hours)) for hours in (-5, 5))


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda client: client.get_user("Ana", 2**31), "pow"),
    (lambda client: client.get_user("Ana", -(2**31) - 1), "pow"),
    (lambda client: client.get_user("Ana", 1.5), "pow"),
    (lambda client: client.get_user("Ana", nan), "pow"),
    (lambda client: client.get_user("Ana", "7"), "pow"),
    (lambda client: client.get_user("\udcff"), "name"),
    (lambda client: client.get_user("Ana", 7, "text"), "image"),
    (lambda client: client.process_image(b"", "\udcff"), "name"),
    (lambda client: client.image("\udcff"), "id"),
    (lambda client: client.delete(7), "id"),
    (lambda client: client.delete(None), "id"),
    (lambda client: client.image(None), "id"),
    (lambda client: client.get_upload(None), "id"),
    (lambda client: client.cancel_upload(None), "id"),
    (lambda client: client.download(None), "id"),
    (lambda client: client.process_image(bytes(2 << 30)), "image"),
    (lambda client: client.get_upload("\udcff"), "id"),
    (lambda client: client.cancel_upload("\udcff"), "id"),
    (lambda client: client.download("\udcff"), "id"),
    (lambda client: client.download("1", offset=2**63), "offset"),
    (lambda client: client.download("1", offset=1.5), "offset"),
    (lambda client: client.download("1", limit=-(2**63) - 1), "limit"),
    (lambda client: client.download("1", rendition=Rendition(**ONE_AND_A_HALF)), "rendition.width"),
    (lambda client: client.download("1", rendition=Rendition(**FIVE_AS_TEXT)), "rendition.quality"),
    (lambda client: client.upload(b"", sha256="no digest"), "sha256"),
    (lambda client: client.upload(b"", sha256=b""), "sha256"),
    (lambda client: client.upload(b"", sha256=5), "sha256"),
    (lambda client: all_of(client.images(sha256=["00"])), "sha256"),
    (lambda client: all_of(client.images(start=datetime.max.replace(tzinfo=WEST))), "start"),
    (lambda client: all_of(client.images(end=datetime.min.replace(tzinfo=EAST))), "end"),
    (lambda client: client.upload(b"", user="\udcff"), "user"),
    (lambda client: client.upload(b"", name="\udcff"), "name"),
    (lambda client: all_of(client.images(page_size=2**31)), "page_size"),
    (lambda client: all_of(client.images(user="\udcff")), "user"),
    (lambda client: all_of(client.images(name="\udcff")), "name"),
    (lambda client: all_of(client.watch("\udcff")), "resume_token"),
]


@pytest.mark.parametrize(("call", "field"), CALLS)
async def test_a_value_that_no_field_can_have(call: Callable[[Any], Any], field: str) -> None:
    async with AsyncClient(NOWHERE) as client:
        with pytest.raises(errors.InvalidField) as refused:
            await call(client)
    assert refused.value.field == field
    assert refused.value.facts["takes"]
    assert refused.value.mensaje


async def test_a_user_of_a_stream_that_cannot_be(shared: Server) -> None:
    async with AsyncClient(shared.address) as client:
        with pytest.raises(errors.InvalidField) as refused:
            await all_of(client.user_stream([NewUser(name="Ana", pow=2**31)]))
    assert refused.value.field == "pow"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("address", "options", "says"),
    [
        ("localhost", {}, "has no port"),
        ("http://localhost:50051", {}, "is a URL"),
        ("", {}, "is empty"),
        (NOWHERE, {"timeout": 0}, "timeout"),
        (NOWHERE, {"timeout": -1}, "timeout"),
        (NOWHERE, {"timeout": inf}, "timeout"),
        (NOWHERE, {"timeout": nan}, "timeout"),
        (NOWHERE, {"patience": -1}, "patience"),
        (NOWHERE, {"patience": nan}, "patience"),
        (NOWHERE, {"retries": -1}, "retries"),
    ],
)
def test_a_client_that_cannot_be(kind: type, address: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(address, **options)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("option", ["address", "ca", "cert", "timeout", "retries", "patience"])
def test_an_option_of_another_type_is_named(kind: type, option: str) -> None:
    with pytest.raises(TypeError, match=f"^{option} is "):
        kind(**{option: b"5"})


@pytest.mark.parametrize("wrong", [5, b"x", bytearray(9), [], StringIO(), object()])
async def test_a_target_that_takes_no_bytes_is_refused_at_once(wrong: Any) -> None:
    async with AsyncClient(NOWHERE) as client:
        with pytest.raises(TypeError, match=r"^target is a "):
            await client.download("1", wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, nan, "5"])
async def test_a_count_that_is_none_is_named(wrong: Any) -> None:
    async with AsyncClient(NOWHERE) as client:
        with pytest.raises((ValueError, TypeError), match=r"^chunk_size is a "):
            await client.upload(b"x", chunk_size=wrong)
        with pytest.raises((ValueError, TypeError), match=r"^chunk_size is a "):
            await client.stream_image(b"x", chunk_size=wrong)
        with pytest.raises((ValueError, TypeError), match=r"^concurrency is a "):
            await anext(client.upload_many([b"x"], concurrency=wrong))


@pytest.mark.parametrize("argument", ["start", "end"])
@pytest.mark.parametrize("value", ["2026-01-01", 5])
def test_a_time_is_a_datetime(argument: str, value: object) -> None:
    with Client(NOWHERE) as client, pytest.raises(TypeError, match=f"^{argument} is a datetime, not "):
        next(client.images(**{argument: value}))  # type: ignore[arg-type]


async def test_an_image_that_is_given_is_not_empty(shared: Server) -> None:
    async with AsyncClient(shared.address) as client:
        with pytest.raises(errors.EmptyImage):
            await client.get_user("Ana", image=b"")
        with pytest.raises(errors.EmptyImage):
            await all_of(client.user_stream([NewUser(name="Ana", image=b"")]))


async def test_no_state_is_left_of_an_upload_that_no_server_knows(tmp_path: Path, photograph: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph)
    async with AsyncClient(NOWHERE, patience=0) as client:
        with pytest.raises(errors.ConexionesError):
            await client.upload(path, resume=True)
        assert os.listdir(tmp_path) == ["a.jpg"]  # noqa: PTH208 (the async rules refuse Path.iterdir)
        # That of an upload which was begun earlier stays.
        state = StateFile.of(path, None)
        state.begin(path, address=NOWHERE, user="", name="a.jpg")
        with pytest.raises(errors.ConexionesError):
            await client.upload(path, resume=True)
        assert state.path.exists()


async def test_a_full_server_is_waited_for_within_the_patience(
    start: Callable[..., Server], photograph: bytes
) -> None:
    server = start(max_open_uploads="1")
    opened, done = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield photograph[:1000]
        await done.wait()
        yield photograph[1000:]

    # The server asks for half a minute: for one client that is too long, so it says at once what is wrong.
    async with AsyncClient(server.address) as holder, AsyncClient(server.address, patience=20) as hasty:
        first = asyncio.create_task(holder.upload(slow(), chunk_size=1000, progress=lambda *_: opened.set()))
        await opened.wait()
        with pytest.raises(errors.TooManyUploads) as full:
            await hasty.upload(photograph, chunk_size=100_000)  # a small one has no upload to wait for
        assert full.value.retry_after == 30
        done.set()
        await first


def test_the_server_says_when_to_come_again() -> None:
    details = [Packed(), Packed()]
    details[0].Pack(ErrorInfo(reason="TOO_MANY_UPLOADS", metadata={"limit": "1", "actual": "2"}))
    details[1].Pack(RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    error = from_fields(errors.Code.RESOURCE_EXHAUSTED, "TOO_MANY_UPLOADS", "", details)
    assert isinstance(error, errors.TooManyUploads)
    assert error.retry_after == 1.5
    assert errors.TooManyUploads.retry_after == 30
