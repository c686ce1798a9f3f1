"""Listing, deleting, watching; the tutorial's calls; errors as they come back; the client without asyncio."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

import grpc
import pytest

from conexiones import AsyncClient, Client, errors
from conexiones.errors import BY_REASON, ConexionesError
from conexiones.gen.conexiones.v1.errors_pb2 import Failure
from conexiones.sdk import (
    Deleted,
    Described,
    Event,
    Facts,
    NewUser,
    NoProgress,
    Stored,
    UnknownError,
    Unreachable,
    UploadState,
)
from conexiones.sdk.failures import ConnectionLost, from_fields, from_rpc, from_told
from conexiones.services.details import as_failure, as_message, packed
from conexiones.testing import Server, serve
from tests.support import corpus
from tests.support.certificates import authority, mtls
from tests.support.waiting import DEADLINE

NOBODY = "00000000-0000-7000-8000-000000000000"


async def changes(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """The events but `Described`, whose time is up to the server."""
    async for event in events:
        if not isinstance(event, Described):
            yield event


async def test_every_call_says_why_no_server_answers(photograph: bytes) -> None:
    """Also where the patience is over before it is certain that the server never answers."""
    says = r"No server answers at 127\.0\.0\.1:1: .*refused"
    users, images = [NewUser(name="Ana")], [photograph]
    async with AsyncClient("127.0.0.1:1", retries=0, patience=0.2) as client:
        for call in (client.health, client.limits, partial(client.stream_image, photograph)):
            with pytest.raises(Unreachable, match=says):
                await call()
        for streamed in (client.user_stream(users), client.image_stream(images)):
            with pytest.raises(Unreachable, match=says):
                await anext(streamed)
        for tried in (partial(client.download, "1"), partial(client.upload, photograph)):
            with pytest.raises(NoProgress, match=says):
                await tried()
        for followed in (client.watch(), client.upload_many(images)):
            with pytest.raises(NoProgress, match=says):
                await anext(followed)


async def test_images_are_listed_page_by_page_and_deleted(
    client: AsyncClient, photograph: bytes, somebody: str
) -> None:
    before = datetime.now(UTC)
    stored = [await client.upload(photograph, user=somebody) for _ in range(5)]
    await client.upload(photograph, user="Otra")
    listed = [image async for image in client.images(user=somebody, page_size=2)]
    assert listed == stored[::-1]
    assert [image async for image in client.images(user=somebody, start=stored[3].create_time)] == listed[:2]
    assert [image async for image in client.images(user=somebody, end=stored[1].create_time)] == listed[4:]
    assert [image async for image in client.images(end=before - timedelta(days=1))] == []
    assert await client.image(stored[0].id) == stored[0]
    await client.delete(stored[0].id)
    assert [image async for image in client.images(user=somebody)] == listed[:4]
    for call in (client.image(stored[0].id), client.delete(stored[0].id)):
        with pytest.raises(errors.ImageNotFound):
            await call


async def test_names_of_files(client: AsyncClient, photograph: bytes, tmp_path: Path, somebody: str) -> None:
    path = tmp_path / "Málaga\t1.JPG"
    path.write_bytes(photograph)
    image = await client.upload(path, user=somebody)
    assert image.name == "Málaga_1.JPG", "by default that of the path, without what the server refuses"
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff" + b"x" * 254))
    await asyncio.to_thread(odd.write_bytes, photograph)
    shortened = (await client.upload(odd, user=somebody)).name
    assert shortened == "\N{REPLACEMENT CHARACTER}" + "x" * 252
    other = await client.upload(path, user=somebody, name="C:\\Toledo.jpg", resume=True)
    assert other.name == "Toledo.jpg"
    for nameless in ({"source": path, "name": ""}, {"source": photograph}, {"source": [photograph]}):
        assert (await client.upload(user=somebody, **nameless)).name == ""
    with pytest.raises(errors.InvalidField):
        await client.upload(path, name="a\nb")

    async def listed(**filters: Any) -> list[str]:
        return [found.name async for found in client.images(user=somebody, **filters)]

    assert await listed(name="TOL") == ["Toledo.jpg"]
    assert await listed(name="málaga", sha256=[image.sha256, "00" * 32]) == ["Málaga_1.JPG"]
    assert len(await listed(sha256=[image.sha256.hex()])) == 6
    assert await listed(sha256=[]) == []


async def test_uploads_can_be_looked_at_and_given_up(client: AsyncClient) -> None:
    for call in (client.get_upload("nothing"), client.cancel_upload("nothing")):
        with pytest.raises(errors.UploadNotFound):
            await call
    limits = await client.limits()
    assert limits.preferred_chunk_bytes <= limits.max_chunk_bytes < limits.max_message_bytes
    assert limits.idle_expiry <= limits.total_expiry
    assert limits.renditions is not None
    assert set(limits.renditions.formats) == {"JPEG", "PNG", "WEBP", "AVIF"}
    assert (limits.renditions.max_side, limits.renditions.max_quality) == (8192, 100)
    assert limits.renditions.max_seconds > 0 < limits.renditions.max_pixels
    assert UploadState.OPEN.value == 1


async def test_watching_sees_every_call_and_survives_a_restart(server: Server, photograph: bytes) -> None:
    async with AsyncClient(server.address) as client:
        listening = asyncio.Event()
        events = changes(client.watch(ready=lambda token: listening.set()))
        following = asyncio.ensure_future(anext(events))
        await listening.wait()
        # A call of the tutorial's service makes an event, too.
        greeting = await client.process_image(photograph, "Ana")
        assert greeting.image
        event = await following
        assert isinstance(event, Stored)
        assert (event.image.id, event.image.user) == (greeting.image.id, "Ana")
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await client.delete(greeting.image.id)
        image = await client.upload(photograph)
        deleted = await anext(events)
        assert isinstance(deleted, Deleted)
        assert deleted.id == greeting.image.id
        stored = await anext(events)
        assert stored == Stored(image, stored.token)
        await events.aclose()
        # Another process can go on from a token.
        async for again in changes(client.watch(event.token)):
            assert again == deleted
            break
        # A watch can be limited to one user.
        luz = await client.upload(photograph, user="Luz")
        async for only in changes(client.watch(event.token, user="Luz")):
            assert isinstance(only, Stored)
            assert only.image == luz
            break


@pytest.mark.usefixtures("server")  # with no bytes whose facts are known already
async def test_facts_are_told_when_they_are_known(client: AsyncClient) -> None:
    picture = corpus.encoded(corpus.picture("LA"), "PNG")
    listening = asyncio.Event()
    events = client.watch(user="Facta", ready=lambda token: listening.set())
    following = asyncio.ensure_future(anext(events))
    await listening.wait()
    image = await client.upload(picture, user="Facta")
    stored, described = await following, await anext(events)
    assert isinstance(stored, Stored)
    assert isinstance(described, Described)
    assert stored.image == described.image == image
    facts = described.image.facts
    assert facts
    assert (facts.problem, facts.color_space, facts.bits_per_sample, facts.has_alpha) == ("", "GREY", 8, True)
    assert re.fullmatch("#[0-9a-f]{6}", facts.dominant_color)
    assert facts.blur_hash
    assert (await client.image(image.id)).facts == facts
    assert [one.facts async for one in client.images(user="Facta")] == [facts]
    # For bytes that are known the facts are there at once. ProcessImage waits for facts, and returns some.
    again = await client.upload(picture)
    assert (await client.image(again.id)).facts == facts
    greeting = await client.process_image(picture)
    assert greeting.image
    assert greeting.image.facts == replace(facts, bits_per_sample=None, has_alpha=None)
    # An image that cannot be decoded is stored all the same.
    await client.upload(corpus.bombs()["WEBP"], user="Facta")
    assert isinstance(await anext(events), Stored)
    described = await anext(events)
    assert isinstance(described, Described)
    assert described.image.facts == Facts(problem="PIXELS", color_space="", dominant_color="", blur_hash="")
    await events.aclose()  # type: ignore[attr-defined]


async def test_the_tutorials_calls(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    greeting = await client.get_user("Ana", 12, photograph)
    assert greeting.user
    assert greeting.image
    assert (greeting.user.pow_squared, greeting.image.format, greeting.image.width) == (144, "JPEG", 1280)
    assert (await client.get_user("Ana")).user == greeting.user
    with pytest.raises(errors.EmptyName):
        await client.get_user("")
    with pytest.raises(errors.NotAnImage):
        await client.process_image(b"none")
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph)
    for source in (path, photograph, [photograph[:7], photograph[7:]]):
        assert (await client.stream_image(source)).image
    with pytest.raises(errors.NotAnImage):
        await client.stream_image(b"no image" * 1_000_000)

    async def images() -> AsyncIterator[bytes]:
        for image in (photograph, b"none", photograph):
            yield image

    for source_of_images in (images(), [photograph, b"none", photograph]):
        replies = [reply async for reply in client.image_stream(source_of_images)]
        assert [reply.image is not None for reply in replies] == [True, False, True]
        assert isinstance(replies[1].error, errors.NotAnImage)
    users = [NewUser(name="Ana", pow=3), NewUser(name="Luz", pow=100_000, image=photograph)]
    ana, luz = [reply async for reply in client.user_stream(users)]
    assert (ana.pow, ana.preview[:2]) == (9, b"\xff\xd8")
    assert isinstance(luz.errors[0], errors.PowOverflow)
    assert luz.preview


async def test_what_a_stream_is_fed_with_raises(client: AsyncClient, photograph: bytes) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield photograph
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async for _ in client.image_stream(failing()):
            pass


FACTS: dict[str, int | str] = {
    "limit": 7, "actual": 8, "expected": 9, "format": "PNG", "type": "X", "takes": "this", "pow": 3,
    "cause": "PIXELS", "state": "READY", "streaming_method": "/a/b", "algorithm": "SHA-256", "epoch": 3,
    "address": "here", "unit": "bytes", "scope": "read", "seconds": 60,
}  # fmt: skip


@pytest.mark.parametrize("reason", BY_REASON)
def test_every_error_comes_back_as_it_was(reason: str) -> None:
    kind = BY_REASON[reason]
    facts = FACTS
    if reason == "CHECKSUM_MISMATCH":
        # Checksums stay text, even if they consist of digits.
        facts = {"algorithm": "CRC-32C", "expected": "00" * 4, "actual": "12345678"}
    error = kind(field="image", **facts)
    old = Failure(code=error.code, reason=reason, message=error.message, details=packed(error))
    readable = as_failure(error)
    readable.ClearField("details")
    for told in (old, readable, as_failure(error), as_message(error)):
        rebuilt = from_told(told)
        assert type(rebuilt) is kind
        assert (rebuilt.facts, rebuilt.field) == (facts, "image")
        assert (rebuilt.message, rebuilt.mensaje) == (error.message, error.mensaje)


def test_errors_of_other_versions_are_of_their_codes_branch() -> None:
    newer = from_fields(9, "SOMETHING_NEW", "Not like this.", ())
    assert isinstance(newer, errors.FailedPrecondition)
    assert newer.message == newer.mensaje == "Not like this."
    # The reason is known, but the facts for its sentence are missing.
    assert str(from_fields(3, "NAME_TOO_LONG", "Too long.", ())) == "Too long."
    assert type(from_fields(99, "", "", ())) is UnknownError
    for code in range(1, 17):
        kind = type(from_fields(code, "", "Not like this.", ()))
        assert kind.code.value == code
        assert kind(sentence="a", frase="b").mensaje == "b"
        assert kind not in BY_REASON.values()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_plain_grpc_errors(code: grpc.StatusCode) -> None:
    metadata = grpc.aio.Metadata()
    error = from_rpc(grpc.aio.AioRpcError(code, metadata, metadata, details="so it is"))
    assert isinstance(error, ConexionesError)
    assert "so it is" in error.message
    broken = code.name in {"UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"}
    assert isinstance(error, ConnectionLost) == broken


def test_without_asyncio(blocking: Client, photograph: bytes, tmp_path: Path, somebody: str) -> None:
    image = blocking.upload(photograph, user=somebody)
    assert blocking.download(image.id) == photograph
    assert blocking.download(image.id, tmp_path / "a.jpg") == image
    assert list(blocking.images(user=somebody)) == [image]
    assert [reply.image is None for reply in blocking.image_stream([photograph, b""])] == [False, True]
    assert blocking.get_user(somebody, 2).message
    with pytest.raises(errors.NotAnImage):
        blocking.upload(iter([b"none"]))
    tokens: list[str] = []
    deleting = ThreadPoolExecutor(1)

    def ready(token: str) -> None:
        tokens.append(token)
        deleting.submit(blocking.delete, image.id)

    # Only of this user: an upload of an earlier test, which was cut off there, may come about now.
    events = blocking.watch(user=somebody, ready=ready)
    while isinstance(event := next(events), Described):
        pass
    assert isinstance(event, Deleted)
    assert event.id == image.id
    events.close()
    again = blocking.watch(tokens[0], user=somebody)
    assert next(told for told in again if not isinstance(told, Described)) == event
    again.close()
    with pytest.raises(RuntimeError, match="by a callback"):
        blocking.upload(photograph, progress=lambda *_: blocking.limits())
    assert "resume" in (Client.upload.__doc__ or "")
    blocking.close()
    with pytest.raises(RuntimeError, match="closed"):
        blocking.limits()


def test_an_iterator_that_is_freed_in_the_clients_own_thread_ends(
    blocking: Client, photograph: bytes
) -> None:
    """As the garbage collector does, which runs in any thread."""
    blocking.upload(photograph)
    held = [blocking.images(page_size=1)]
    next(held[0])
    blocking.upload(photograph, progress=lambda *_: held.clear())
    assert not held
    assert blocking.limits()


def test_tls_the_environment_and_a_server_that_is_full(
    tmp_path: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority(tmp_path)
    files = {path.name: str(path) for path in tmp_path.iterdir()}
    opened, refused = Flag(), Flag()

    class Soon:
        """A short delay before the next attempt; reading it also tells that an attempt was refused."""

        def __get__(self, *_: object) -> float:
            refused.set()
            return 0.05

        def __set__(self, *_: object) -> None:
            """The server asks for half a minute."""

    def slow() -> Iterator[bytes]:
        yield photograph[:1000]
        opened.set()
        assert refused.wait(DEADLINE)
        yield photograph[1000:]

    monkeypatch.setattr(errors.TooManyUploads, "retry_after", Soon())
    with serve(**mtls(tmp_path), max_open_uploads="1") as server:
        environ = {
            "CONEXIONES_ADDRESS": f"localhost:{server.port}",
            "CONEXIONES_CA": files["ca.pem"],
            "CONEXIONES_CERT": files["client.pem"],
            "CONEXIONES_KEY": files["client.key"],
        }
        for wrong in ("soon", "0", "inf", "nan"):
            with pytest.raises(ValueError, match="CONEXIONES_TIMEOUT"):
                Client.from_environ(environ | {"CONEXIONES_TIMEOUT": wrong})
        with (
            Client.from_environ(environ | {"CONEXIONES_TIMEOUT": "0.0001"}) as hasty,
            pytest.raises(errors.DeadlineExceeded),
        ):
            hasty.limits()
        with Client.from_environ(environ) as client, ThreadPoolExecutor(1) as thread:
            first = thread.submit(client.upload, slow())
            assert opened.wait(DEADLINE)
            # In chunks: a small image that is sent whole has no upload to wait for.
            assert client.upload(photograph, chunk_size=100_000) != first.result()
        with (
            Client(environ["CONEXIONES_ADDRESS"], ca=files["ca.pem"], retries=0) as anonymous,
            pytest.raises(errors.Unavailable),
        ):
            anonymous.limits()
    halves: list[dict[str, Any]] = [{"cert": files["client.pem"]}, {"key": files["client.key"]}]
    for half in halves:
        with pytest.raises(ValueError, match="go together"):
            Client("localhost:1", **half)
    with Client("localhost:1", ca=tmp_path / "none.pem") as client, pytest.raises(FileNotFoundError):
        client.limits()
