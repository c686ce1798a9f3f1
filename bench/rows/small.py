"""Measures the calls for what is small: how many images each takes, and how soon one is stored."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from queue import SimpleQueue

import google_crc32c
import grpc

from bench import stored
from bench.images import Picture
from bench.load.streams import Plan, load
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours
from bench.rows import Bench
from bench.rows.images import cost
from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImageRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetImage, GetImageReply
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub

ROW = "10 KB images, 4 streams of one client, with request ids or without"
PING_PONG = "one 10 KB image after the other, from grpcio: p50"
STREAM_REPLY, UPLOAD_IMAGES, UPLOAD_IMAGE = "ImageStreamReply", "UploadImages", "UploadImage"
SIZE = 10_000


def run(bench: Bench) -> None:
    """Images per second and CPU time of an image by each call; then the median time of a single one."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        servers = {name: stack.enter_context(ours(folder / name)) for name in (STREAM_REPLY, UPLOAD_IMAGES)}
        sent = {name: list[Plan]() for name in servers}
        costs = {name: list[float]() for name in servers}
        plan = Plan(size=SIZE, images=bench.size(4000, 320), streams=4, connections=1)

        def rate(name: str, number: int) -> float:
            one = replace(plan, seed=number + 2, ids=int(name == UPLOAD_IMAGES))
            sent[name].append(one)
            outcome = load(servers[name], one)
            costs[name].append(outcome.server / one.images * 1e6)
            return one.images / outcome.seconds

        interleave(
            bench.results, ROW, {name: partial(rate, name) for name in servers}, unit="images/s", warm=True
        )
        for name, values in costs.items():
            for value in values[1:]:  # the first is of the round that does not count
                bench.results.add(cost(ROW), name, value, unit="µs/image")
        for name, server in servers.items():
            server.stop()
            digests = chain.from_iterable(one.digests() for one in sent[name])
            stored.compare(stored.digests(server.data_dir), digests)


def run_one(bench: Bench) -> None:
    """A client of grpcio, as those in Python are, waits for each image before it sends the next one."""
    images = bench.size(300, 30)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))
        channel = stack.enter_context(grpc.insecure_channel(server.address))
        contenders: dict[str, Callable[[int], float]] = {
            STREAM_REPLY: lambda number: _streamed(server, channel, _pictures(2 * number, images)),
            UPLOAD_IMAGE: lambda number: _called(server, channel, _pictures(2 * number + 1, images)),
        }
        rounds = bench.size(3, 1) * bench.results.rounds
        interleave(bench.results, PING_PONG, contenders, unit="ms", warm=True, rounds=rounds)


def _pictures(turn: int, images: int) -> list[Picture]:
    return [Picture(SIZE, (turn + 10, number)) for number in range(images)]


def _called(server: ServerProcess, channel: grpc.Channel, pictures: list[Picture]) -> float:
    """The median in milliseconds, by UploadImage."""
    stub, times = UploadServiceStub(channel), list[float]()
    requests = [
        UploadImageRequest(
            request_id=f"{picture.seed}", image=picture.data, crc32c=google_crc32c.value(picture.data)
        )
        for picture in pictures
    ]
    with server.turn():
        for picture, request in zip(pictures, requests, strict=True):
            begin = time.perf_counter()
            reply = stub.UploadImage(request)
            times.append(time.perf_counter() - begin)
            _check(picture, reply.image.sha256)
    return statistics.median(times) * 1000


def _streamed(server: ServerProcess, channel: grpc.Channel, pictures: list[Picture]) -> float:
    """The same by one ImageStreamReply."""
    times, requests = list[float](), [GetImage(image=picture.data) for picture in pictures]
    queue: SimpleQueue[GetImage | None] = SimpleQueue()
    with server.turn():
        replies: Iterator[GetImageReply] = UsuarioServicioStub(channel).ImageStreamReply(
            iter(queue.get, None)
        )
        for picture, request in zip(pictures, requests, strict=True):
            begin = time.perf_counter()
            queue.put(request)
            reply = next(replies)
            times.append(time.perf_counter() - begin)
            _check(picture, reply.image_info.sha256)
        queue.put(None)
        for _ in replies:
            pass
    return statistics.median(times) * 1000


def _check(picture: Picture, digest: bytes) -> None:
    if digest != picture.digest:
        raise Wrong("an image was answered with another SHA-256")
