"""Load on ImageStreamReply or UploadImages: many streams, each with a few images that await acknowledgement.

`python -m bench.load.streams ADDRESS --size … --images … --streams …` prints a line when everything is built,
waits for a line, sends, prints a line of JSON, and then checks the replies. Sending and receiving take some
20 µs for an image, so one process makes several times the load that any of the servers can handle. `cpu`
tells how busy it was.
"""

import argparse
import json
import os
import selectors
import statistics
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass

import google_crc32c

from bench.images import Picture
from bench.load.http2 import DATA, FRAME, Connection, Stream, frame_head
from bench.peers.server_process import SOURCES, Failed, ServerProcess
from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImagesRequest, UploadImagesResponse
from conexiones.gen.user_pb2 import GetImage, GetImageReply

PATHS = ("/user.UsuarioServicio/ImageStreamReply", "/conexiones.v1.UploadService/UploadImages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send. `size` is the bytes of an image; `window` is how many images of a stream may await
    acknowledgement at a time. With `ids`, images are sent by UploadImages, each with a request id and its
    CRC-32C."""

    size: int
    images: int
    streams: int
    window: int = 16
    connections: int = 4
    seed: int = 0
    ids: int = 0

    def share(self, stream: int) -> int:
        """How many images the stream sends."""
        return self.images // self.streams + (stream < self.images % self.streams)

    def digests(self) -> Iterator[bytes]:
        """The SHA-256 of every image."""
        for stream in range(self.streams):
            for number in range(self.share(stream)):
                yield self.picture(stream, number).digest

    def picture(self, stream: int, number: int) -> Picture:
        return Picture(self.size, (self.seed * 1000 + stream, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result, in seconds: the total time, the median time to an acknowledgement, the CPU time of the
    load, and the CPU time of the server's processes meanwhile."""

    seconds: float
    latency: float
    cpu: float
    server: float = 0.0


class _Sender:
    """Sends the images of one stream. The bytes that all images share are built once."""

    def __init__(self, plan: Plan, index: int, connection: Connection, stream: Stream) -> None:
        self.connection, self.stream = connection, stream
        self.replies: list[bytes] = []
        self.latencies: list[float] = []
        self._plan, self._index = plan, index
        self._left = plan.share(index)
        self._next = 0
        self._waiting: deque[float] = deque()
        data = plan.picture(index, 0).data
        head = plan.picture(index, 0).head
        before = self._before(0)
        self._size = len(before) + len(data)
        rest = data[len(head) :]
        first = min(FRAME - len(before) - len(head), len(rest))
        begin = frame_head(min(FRAME, self._size), DATA, 0, stream.number)
        self._rest = rest[:first] + b"".join(
            frame_head(len(piece), DATA, 0, stream.number) + piece
            for piece in (rest[at : at + FRAME] for at in range(first, len(rest), FRAME))
        )
        self._heads = [
            begin + self._before(number) + plan.picture(index, number).head for number in range(self._left)
        ]

    def _before(self, number: int) -> bytes:
        """What comes before the bytes of an image, which are the last of its message: of the same length for
        all images."""
        picture = self._plan.picture(self._index, number)
        fields = b""
        if self._plan.ids:
            name = f"{self._plan.seed:012}-{self._index:011}-{number:011}"  # as long as a UUID
            crc32c = google_crc32c.value(picture.data)
            fields = UploadImagesRequest(request_id=name, crc32c=crc32c).SerializeToString()
            image = UploadImagesRequest(image=picture.data).SerializeToString()
        else:
            image = GetImage(image=picture.data).SerializeToString()
        encoded = fields + image
        return b"\0" + struct.pack(">I", len(encoded)) + encoded[: len(encoded) - picture.size]

    @property
    def finished(self) -> bool:
        return not self._waiting and self._next == len(self._heads)

    def send(self) -> None:
        while len(self._waiting) < self._plan.window and self._next < len(self._heads):
            begin = (
                time.perf_counter()
            )  # taken before sending, because the server may take the processor as soon as bytes arrive
            if not self.connection.send(self.stream, [self._heads[self._next], self._rest], self._size):
                return
            self._next += 1
            self._waiting.append(begin)

    def acknowledged(self, reply: bytes) -> None:
        self.latencies.append(time.perf_counter() - self._waiting.popleft())
        self.replies.append(reply)

    def check(self, *, digests: bool) -> None:
        """Raises Failed unless every image was acknowledged, and with its own SHA-256."""
        if len(self.replies) != len(self._heads):
            raise Failed(f"{len(self.replies)} of {len(self._heads)} images were acknowledged")
        for number, data in enumerate(self.replies):
            reply: GetImageReply | UploadImagesResponse
            if self._plan.ids:
                reply = UploadImagesResponse.FromString(data)
                found = reply.image.sha256
            else:
                reply = GetImageReply.FromString(data)
                found = reply.image_info.sha256
            wanted = self._plan.picture(self._index, number).digest if digests else b""
            if found != wanted:
                raise Failed(f"image {number} of stream {self._index} was answered {reply}")


class _Load:
    """The whole load, built before anything is sent."""

    def __init__(self, address: str, plan: Plan) -> None:
        self._plan = plan
        self._connections: list[Connection] = []
        self._senders: dict[Stream, _Sender] = {}
        count = min(plan.connections, plan.streams)
        for number in range(count):
            indices = range(number, plan.streams, count)
            connection = Connection(address, PATHS[plan.ids], len(indices))
            self._connections.append(connection)
            for index, stream in zip(indices, connection.streams.values(), strict=True):
                self._senders[stream] = _Sender(plan, index, connection, stream)

    def send(self) -> Outcome:
        for connection in self._connections:
            connection.open()
        begin, cpu = time.perf_counter(), time.process_time()
        _exchange(self._connections, self._senders, self._plan.images)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        for connection in self._connections:
            connection.close()
        latencies = [one for sender in self._senders.values() for one in sender.latencies]
        return Outcome(seconds=seconds, latency=statistics.median(latencies), cpu=cpu)

    def check(self, *, digests: bool) -> None:
        """Raises Failed."""
        for sender in self._senders.values():
            sender.check(digests=digests)


def _exchange(connections: list[Connection], senders: dict[Stream, _Sender], left: int) -> None:
    """Sends until `left` images are acknowledged."""
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    for sender in senders.values():
        sender.send()
    while left:
        ready = selector.select(60)
        if not ready:
            raise Failed(f"{left} images were not acknowledged within a minute")
        for key, _ in ready:
            connection = key.data
            for stream, message in connection.receive():
                senders[stream].acknowledged(message)
                left -= 1
            for stream in connection.streams.values():
                senders[stream].send()
    selector.close()


def load(server: ServerProcess, plan: Plan, *, digests: bool = True) -> Outcome:
    """Sends the images from a process of its own, and checks the replies. Raises Failed.

    The server runs only while the images are sent, and is stopped (SIGSTOP) otherwise, so that its background
    work costs only its own time. `digests`: whether the server's replies contain the SHA-256 of the image.
    """
    return _load([(server, plan)], digests=digests, around=[server.turn])


def load_all(
    plans: Sequence[tuple[ServerProcess, Plan]], *, around: Callable[[], AbstractContextManager[object]]
) -> Outcome:
    """The same of several servers at once, which are not stopped. The time ends with the last image of all;
    the median is that of the slowest, and the processor time that of all together. The images are sent in the
    context that `around` gives."""
    return _load(plans, digests=True, around=[around])


def _load(
    plans: Sequence[tuple[ServerProcess, Plan]],
    *,
    digests: bool,
    around: Iterable[Callable[[], AbstractContextManager[object]]],
) -> Outcome:
    environ, pipe = {**os.environ, "PYTHONPATH": SOURCES}, subprocess.PIPE
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    _command(server, plan, digests=digests),
                    env=environ,
                    stdin=pipe,
                    stdout=pipe,
                    stderr=pipe,
                    text=True,
                )
            )
            for server, plan in plans
        ]
        for process in processes:
            assert process.stdout
            process.stdout.readline()
        with ExitStack() as turn, suppress(BrokenPipeError):
            for context in around:
                turn.enter_context(context())
            before = sum(server.cpu() for server, _ in plans)
            for process in processes:
                print(file=process.stdin, flush=True)
            said = [process.stdout.readline() for process in processes if process.stdout]
            took = sum(server.cpu() for server, _ in plans) - before
        for process in processes:
            _, wrong = process.communicate()
            if process.returncode:
                raise Failed(wrong)
    told = [json.loads(one) for one in said]
    return Outcome(
        seconds=max(one["seconds"] for one in told),
        latency=max(one["latency"] for one in told),
        cpu=sum(one["cpu"] for one in told),
        server=took,
    )


def _command(server: ServerProcess, plan: Plan, *, digests: bool) -> list[str]:
    command = [sys.executable, "-m", "bench.load.streams", server.address]
    for name in Plan.__slots__:
        command += [f"--{name}", str(getattr(plan, name))]
    return command if digests else [*command, "--no-digests"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    for name in Plan.__slots__:
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--no-digests", action="store_true")
    options = vars(parser.parse_args())
    address, digests = options.pop("address"), not options.pop("no_digests")
    load = _Load(address, Plan(**options))
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = load.send()
    print(json.dumps({name: getattr(outcome, name) for name in ("seconds", "latency", "cpu")}), flush=True)
    load.check(digests=digests)


if __name__ == "__main__":
    main()
