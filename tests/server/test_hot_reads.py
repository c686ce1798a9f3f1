"""Images that are asked for again and again are answered from memory: with the answers of the first time, to
those who may see them, and never after their deletion was acknowledged."""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest, DownloadImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support.bitmaps import bitmap
from tests.support.callers import Caller
from tests.support.kept import DECODE_SECONDS
from tests.support.waiting import DEADLINE

RENDITION = "?width=16&format=png"
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@contextmanager
def asking(server: Server) -> Iterator[Ask]:
    """Asks over one connection, for the status, the headers and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/images/{path}", headers=names)
            answer = connection.getresponse()
            body = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            for changing in ("date", "x-envoy-upstream-service-time", "x-request-id"):
                found.pop(changing, None)
            if answer.status >= 400:  # the id of each request is in its error
                body = re.sub(rb'"requestId": ?"[^"]*"', b"", body)
            return answer.status, found, body

        yield ask


def stored(stub: UsuarioServicioStub, seed: object) -> str:
    """The id of a new image of 6 KB."""
    picture = b"".join(bitmap(50, 40, seed=hash(seed)))
    return stub.ProcessImage(GetUserRequest(image=picture), timeout=DEADLINE).image_info.id


def test_what_comes_from_memory_is_what_came_first(shared: Server, stub: UsuarioServicioStub) -> None:
    image = stored(stub, "first")
    with asking(shared) as ask:
        for query in ("", RENDITION):
            first = ask(image + query)
            tag, size = first[1]["etag"], len(first[2])
            asked: list[dict[str, str]] = [
                {},
                {"method": "HEAD"},
                {"if_none_match": tag},
                {"range": "bytes=3-9"},
                {"range": "bytes=-5", "if_range": tag},
                {"range": f"bytes={size}-"},
                {"accept": "image/webp"},
            ]
            for headers in asked:
                again = [ask(image + query, **headers) for _ in range(3)]
                assert again[0] == again[1] == again[2], headers
            assert ask(image + query) == first
            assert ask(image + query, "HEAD") == (200, first[1], b"")
            assert ask(image + query, range="bytes=3-9")[::2] == (206, first[2][3:10])
            assert ask(image + query, if_none_match=tag)[::2] == (304, b"")


@pytest.mark.parametrize("query", ["", RENDITION])
def test_after_a_deletion_is_acknowledged_nobody_gets_the_image(
    shared: Server, stub: UsuarioServicioStub, channel: grpc.Channel, query: str
) -> None:
    images = ImageServiceStub(channel)
    readers = 3

    def reads(image: str, tag: str, ready: threading.Barrier, deleted: threading.Event) -> list[int]:
        """The statuses of the answers to all that was asked after the deletion, in turns of several kinds."""
        late: list[int] = []
        with asking(shared) as ask:
            ready.wait(DEADLINE)
            while len(late) < 6:
                after = deleted.is_set()
                for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"if_none_match": tag})):
                    status, _, _ = ask(image + query, method, **headers)
                    if after:
                        late.append(status)
        return late

    with ThreadPoolExecutor(readers) as threads, asking(shared) as ask:
        for number in range(6):
            image = stored(stub, f"deleted {query} {number}")
            tag = ask(image + query)[1]["etag"]
            ready, deleted = threading.Barrier(readers + 1), threading.Event()
            reading = [threads.submit(reads, image, tag, ready, deleted) for _ in range(readers)]
            ready.wait(DEADLINE)
            images.DeleteImage(DeleteImageRequest(id=image), timeout=DEADLINE)
            deleted.set()
            assert {status for each in reading for status in each.result(DEADLINE)} == {404}
            with pytest.raises(grpc.RpcError):
                list(images.DownloadImage(DownloadImageRequest(id=image), timeout=DEADLINE))


def test_equal_bytes_stay_as_long_as_an_image_has_them(
    shared: Server, stub: UsuarioServicioStub, channel: grpc.Channel
) -> None:
    one, other = stored(stub, "twice"), stored(stub, "twice")
    with asking(shared) as ask:
        before = [ask(other + query) for query in ("", RENDITION)]
        assert ask(one)[2] == before[0][2]
        ImageServiceStub(channel).DeleteImage(DeleteImageRequest(id=one), timeout=DEADLINE)
        for query, answer in zip(("", RENDITION), before, strict=True):
            assert ask(one + query)[0] == 404
            assert ask(other + query) == answer


def test_many_who_ask_at_once_get_the_same(shared: Server, stub: UsuarioServicioStub) -> None:
    image = stored(stub, "many")

    def asks(number: int) -> tuple[int, bytes]:
        with asking(shared) as ask:
            return ask(image + ("", RENDITION)[number % 2])[::2]

    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(asks, range(40)))
    assert [status for status, _ in found] == [200, 200]


def test_what_is_in_memory_is_there_only_for_those_who_may_see_it(tmp_path: Path) -> None:
    with (
        serve(tmp_path, auth="required", decode_seconds=DECODE_SECONDS) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        root = Caller(server, channel, server.token)
        ana, eva = (root.token(name, own=True) for name in ("ana", "eva"))
        writes = root.token("writes", scopes=["SCOPE_WRITE"])
        image = ana.stores()
        with asking(server) as ask:
            for query in ("", RENDITION):
                for _ in range(3):
                    for caller, status in ((ana, 200), (eva, 404), (root, 200), (writes, 403)):
                        found = ask(image + query, authorization=f"Bearer {caller.secret}")
                        assert (found[0], caller is eva) == (status, b"IMAGE_NOT_FOUND" in found[2])
                    assert ask(image + query)[0] == 401
