"""Measures reading over HTTP what is asked for again and again."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.images import Picture, framed
from bench.load.curl import curl
from bench.load.h2load import gets, h2load
from bench.measures import Wrong, interleave
from bench.peers import http
from bench.peers.server_process import ROOT, ours
from bench.rows import HOT_READS, Bench
from bench.rows.users import REQUEST
from conexiones.sdk.blocking import Client

HOT = "hot reads with a token, HTTP/2, 10 × 10"
GET_USER, ORIGINAL, RENDITION, SAME, HEAD = "GetUser", "original of 16 KB", "rendition", "304 by ETag", "HEAD"

FILES = "files of 16 KB, HTTP/1.1, 16 connections"
OURS, NGINX = "ours", "nginx"


PHOTO = ROOT / "client" / "image" / "elephant.jpg"
WIDTH = "?width=320"


def run_hot(bench: Bench) -> None:
    """Answers per second of what was asked for before, beside GetUser of the same server, and nginx."""
    calls = bench.size(20_000, 1_000)
    small = Picture(16_000).data
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours", auth="required"))
        token = (folder / "ours" / "admin-token").read_text().strip()
        header = f"authorization: Bearer {token}"
        with Client(server.address, token=token) as client:
            images = [client.upload(small).id, client.upload(PHOTO).id]
        original, photo = (f"http://{server.address}/images/{image}" for image in images)
        rendition = f"{photo}{WIDTH}"
        answer = folder / "answer"
        curl(rendition, "-H", header, "-o", answer)
        rendered = answer.stat().st_size
        curl(original, "-H", header, "-o", answer)
        _check(answer, small)
        body = folder / "body"
        body.write_bytes(framed(REQUEST))

        def user(number: int) -> float:
            path = "/user.UsuarioServicio/GetUser"
            options = {"requests": calls, "connections": 10, "streams": 10}
            load = h2load(server.address, path, body, headers=[header], **options)
            if load.received < calls * len(b"Ana"):
                raise Wrong("not every call was answered with the user")  # a refusal has no message
            return calls / load.seconds

        def read(url: str, size: int, number: int, *more: str, method: str = "GET") -> float:
            headers = [header, *more]
            load = gets(url, requests=calls, connections=10, streams=10, headers=headers, method=method)
            if load.received != calls * size:
                raise Wrong(f"{load.received} bytes came, and not {calls} times {size}")
            return calls / load.seconds

        etag = f'if-none-match: "{hashlib.sha256(small).hexdigest()}"'
        contenders: dict[str, Callable[[int], float]] = {
            GET_USER: user,
            ORIGINAL: partial(read, original, len(small)),
            RENDITION: partial(read, rendition, rendered),
            SAME: lambda number: read(original, 0, number, etag),
            HEAD: lambda number: read(original, 0, number, method="HEAD"),
        }
        with bench.memory(server, HOT_READS):
            interleave(bench.results, HOT, contenders, unit="answers/s", warm=True)

        url, files = stack.enter_context(http.nginx(folder / "nginx"))
        (files / "small.bmp").write_bytes(small)

        def file(url: str, number: int) -> float:
            load = gets(url, requests=calls, connections=16, streams=None, headers=[header])
            if load.received != calls * len(small):
                raise Wrong("not every answer is the file")
            return calls / load.seconds

        served = {OURS: partial(file, original), NGINX: partial(file, f"{url}/small.bmp")}
        interleave(bench.results, FILES, served, unit="answers/s", warm=True)


def _check(answer: Path, expected: bytes) -> None:
    if answer.read_bytes() != expected:
        raise Wrong("what was downloaded is not what was stored")
