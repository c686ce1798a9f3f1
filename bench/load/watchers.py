"""Load on WatchImages: many watchers, while images are stored at an even rate by one more stream.

`python -m bench.load.watchers ADDRESS --watchers … --rate … --images …` prints a line of JSON: how long
it took from the acknowledgement of an image until its event was there, at the median and the 95th percentile
of all events of all watchers, in seconds; the CPU time of the load; and the images per second that were
stored. All clocks are those of one process. It raises Failed unless each watcher hears of each image once.
"""

import argparse
import json
import os
import secrets
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from bench.images import Picture, framed
from bench.load.http2 import DATA, END_STREAM, Connection, Stream, frame, frame_head
from bench.peers.server_process import SOURCES, Failed, ServerProcess
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest, WatchImagesResponse
from conexiones.gen.user_pb2 import GetImage, GetImageReply

WATCH = "/conexiones.v1.ImageService/WatchImages"
STORE = "/user.UsuarioServicio/ImageStreamReply"

SIZE = 1_000
"""Bytes of an image: what is measured is its event."""

MOST = 100
"""Events that a watcher takes in a response."""

STREAMS = 30
"""Watchers of one connection."""

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A response of WatchImages, and when it was there."""

    watcher: int
    time: float
    data: bytes


class _Watchers:
    """Connections whose streams all watch."""

    def __init__(self, address: str, count: int, selector: selectors.BaseSelector) -> None:
        self.heard: list[Heard] = []
        self._numbers: dict[Stream, int] = {}
        request = framed(WatchImagesRequest(max_events=MOST))
        while len(self._numbers) < count:
            left = count - len(self._numbers)
            source = f"127.0.1.{len(self._numbers) // STREAMS + 1}"  # each with a share of its own
            connection = Connection(address, WATCH, min(STREAMS, left), source=source)
            for stream in connection.streams.values():
                self._numbers[stream] = len(self._numbers)
            connection.open()
            connection.socket.sendall(
                b"".join(frame(DATA, END_STREAM, number, request) for number in connection.streams)
            )
            selector.register(connection.socket, selectors.EVENT_READ, (connection, self._receive))

    def _receive(self, connection: Connection) -> None:
        messages = list(connection.receive())
        now = time.perf_counter()
        self.heard += [Heard(self._numbers[stream], now, data) for stream, data in messages]


class _Sender:
    """Stores images, each at its time."""

    def __init__(self, address: str, images: int, rate: float, selector: selectors.BaseSelector) -> None:
        self.acknowledged: dict[str, float] = {}
        self._images, self._rate = images, rate
        self._next = 0
        self._begin = 0.0
        self._connection = Connection(address, STORE, 1)
        self._connection.open()
        (self._stream,) = self._connection.streams.values()
        seed = secrets.randbits(31)
        self._bodies = [
            framed(GetImage(image=Picture(SIZE, (seed, number)).data)) for number in range(images)
        ]
        selector.register(self._connection.socket, selectors.EVENT_READ, (self._connection, self._receive))

    def begin(self) -> None:
        self._begin = time.perf_counter()

    def due(self) -> float:
        """Sends what is due, and gives the seconds until something is."""
        now = time.perf_counter()
        while self._begin and self._next < self._images:
            wait = self._begin + self._next / self._rate - now
            if wait > 0:
                return wait
            body = self._bodies[self._next]
            head = frame_head(len(body), DATA, 0, self._stream.number)
            if not self._connection.send(self._stream, [head, body], len(body)):
                return 0.001
            self._next += 1
        return SECONDS

    def _receive(self, connection: Connection) -> None:
        messages = [data for _, data in connection.receive()]
        now = time.perf_counter()
        for data in messages:
            reply = GetImageReply.FromString(data)
            if not reply.image_info.id:
                raise Failed(f"an image was answered {reply}")
            self.acknowledged[reply.image_info.id] = now


@cache
def _ids(data: bytes) -> tuple[str, ...]:
    """The ids of the images that were stored, by a response. Many watchers get the same one."""
    reply = WatchImagesResponse.FromString(data)
    if reply.WhichOneof("event") == "resync":
        raise Failed("events were missed")
    return tuple(event.stored.id for event in reply.events.events if event.HasField("stored"))


class _Load:
    """One turn: the watchers, and who stores."""

    def __init__(self, address: str, watchers: int, rate: float, images: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._watching = _Watchers(address, watchers, self._selector)
        self._sender = _Sender(address, images, rate, self._selector)
        self._watchers, self._images = watchers, images
        self._sum = self._summed = 0

    def run(self) -> dict[str, float]:
        heard, sender = self._watching.heard, self._sender
        # Each begins with a heartbeat.
        self._turn_until(lambda: len({one.watcher for one in heard}) == self._watchers)
        cpu = time.process_time()
        sender.begin()
        self._turn_until(lambda: self._told() >= self._images * self._watchers)
        cpu = time.process_time() - cpu
        times = sorted(sender.acknowledged.values())
        late = self._late()
        return {
            "median": statistics.median(late),
            "p95": statistics.quantiles(late, n=20)[-1],
            "cpu": cpu,
            "rate": (self._images - 1) / (times[-1] - times[0]),
        }

    def _turn_until(self, done: Callable[[], bool]) -> None:
        end = time.perf_counter() + SECONDS
        while not done():
            for key, _ in self._selector.select(self._sender.due()):
                connection, receive = key.data
                receive(connection)
            if time.perf_counter() > end:
                raise Failed(f"{self._told()} events were told within a minute")

    def _told(self) -> int:
        """The events that all watchers together have heard of."""
        heard = self._watching.heard
        self._sum += sum(len(_ids(one.data)) for one in heard[self._summed :])
        self._summed = len(heard)
        return self._sum

    def _late(self) -> list[float]:
        """The seconds of each event. Raises Failed unless each watcher has heard of each image once."""
        acknowledged = self._sender.acknowledged
        found: list[list[str]] = [[] for _ in range(self._watchers)]
        late: list[float] = []
        for heard in self._watching.heard:
            for one in _ids(heard.data):
                found[heard.watcher].append(one)
                late.append(max(0.0, heard.time - acknowledged[one]))
        if any(sorted(ids) != sorted(acknowledged) for ids in found):
            raise Failed("a watcher has heard of other images, or of one more than once")
        return late


def load(server: ServerProcess, *, watchers: int, rate: float, images: int) -> dict[str, float]:
    """The same from a process of its own, and as `server` the CPU time of the server's processes. Raises
    Failed."""
    command = [sys.executable, "-m", "bench.load.watchers", server.address]
    for name, value in (("watchers", watchers), ("rate", rate), ("images", images)):
        command += [f"--{name}", str(value)]
    with server.turn():
        before = server.cpu()
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": SOURCES}, capture_output=True, text=True, check=False
        )
        took = server.cpu() - before
    if done.returncode:
        raise Failed(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return {**figures, "server": took}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--watchers", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--images", type=int, required=True)
    options = vars(parser.parse_args())
    print(json.dumps(_Load(**options).run()), flush=True)


if __name__ == "__main__":
    main()
