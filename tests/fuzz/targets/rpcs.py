"""Every RPC of a real server, over real sockets, in every protocol.

The first three bytes of an input choose the method, the way in which it is called, and headers. The rest is
the body: that of a valid request, changed.
"""

import base64
import gzip
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from google.protobuf import message_factory
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

from conexiones.gen.conexiones.v1 import images_pb2, uploads_pb2
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.samples import hostile_samples, samples
from tests.fuzz.served import NO_IMAGE, NO_UPLOAD, Served, served
from tests.fuzz.target import Check, Complaint, Target
from tests.transport.chain.every_method import methods, path_of
from tests.transport.chain.ways import WAYS, Way
from tests.transport.rpc.test_codecs import filled

SECONDS = 10.0
"""The end of every call. Its deadline comes before."""

METHODS = sorted(methods(), key=path_of)
COMPRESSED, LATE, ODD_TIMEOUT, ODD_TYPE = 1, 2, 4, 8
"""What the third byte asks for, as bits."""


def headers(way: Way, choice: int) -> dict[str, str]:
    found = way.headers()
    name, _ = way.timeout
    grpc = name == "grpc-timeout"
    # Calls such as WatchImages end with their deadline only.
    found[name] = "50m" if grpc else "50"
    if choice & LATE:
        found[name] = "1n" if grpc else "0"
    if choice & ODD_TIMEOUT:
        found[name] = "99999999H" if grpc else "9999999999999"
    if choice & ODD_TYPE:
        found["content-type"] += "; charset=utf-8"
    if choice & COMPRESSED:
        encoding = "grpc-encoding" if grpc else "connect-content-encoding"
        found["content-encoding" if way.streams is False else encoding] = "gzip"
    return found


class Caller:
    """Calls, and says what is wrong with an answer."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._address = f"http://{served.server.address}"
        self._clients = {
            True: SyncClient(SyncHTTPTransport(http_version=HTTPVersion.HTTP2)),
            False: SyncClient(SyncHTTPTransport(http_version=HTTPVersion.HTTP1)),
        }

    def __call__(self, data: bytes) -> None:
        if len(data) < 3:
            return
        method, way, choice = METHODS[data[0] % len(METHODS)], WAYS[data[1] % len(WAYS)], data[2]
        if choice & ODD_TIMEOUT and method.name in ("WatchImages", "Watch"):
            return  # It would have no end.
        body = self._served.real(data[3:])
        if way.text:
            body = base64.b64encode(body)
        url = self._address + path_of(method)
        answer = self._clients[way.http2].execute("POST", url, headers(way, choice), body, timeout=SECONDS)
        if way.http2:
            if answer.status != 200:
                raise Complaint(f"http-{answer.status}-{method.name}", repr(answer.content[:2000]))
            found = {**answer.headers, **answer.trailers}
            if "grpc-status" not in found:
                raise Complaint(f"no-status-{method.name}", repr(answer.content[:2000]))
            if found["grpc-status"] != "0" and "grpc-status-details-bin" not in found:
                raise Complaint(f"no-details-{method.name}", repr(found))
        elif way.streams is False and answer.status != 200 and b'"details"' not in answer.content:
            raise Complaint(f"no-details-{method.name}", f"{answer.status} {answer.content[:2000]!r}")
        self._served.check()


def seeds() -> Sequence[bytes]:
    found = []
    for number, method in enumerate(METHODS):
        streams = method.client_streaming or method.server_streaming
        for requests in _requests(message_factory.GetMessageClass(method.input_type)):
            for index, way in enumerate(WAYS):
                if way.carries(streams=streams):
                    found += [bytes((number, index)) + rest for rest in _bodies(way, requests)]
    return found


def _bodies(way: Way, requests: Sequence[Message]) -> Iterator[bytes]:
    """The body of the requests, and the same compressed, each after the byte that says so."""
    parts = [MessageToJson(one).encode() if way.json else one.SerializeToString() for one in requests]
    body = way.framed(parts)
    yield b"\0" + (base64.b64decode(body) if way.text else body)
    if not way.text:
        framed = way.streams is not False
        yield bytes((COMPRESSED,)) + way.framed(map(gzip.compress, parts), flags=int(framed))


def _requests(message: type[Message]) -> Iterator[Sequence[Message]]:
    """Streams of requests, of which many do something."""
    yield [message()]
    yield [filled(message())]
    of_upload = "upload" in message.DESCRIPTOR.name.lower()
    for field in message.DESCRIPTOR.fields:
        if field.name in ("id", "upload_id", "image_id"):
            for one in (filled(message()), message()):
                setattr(one, field.name, (NO_UPLOAD if of_upload else NO_IMAGE).decode())
                yield [one]
    if message is GetUserRequest:
        yield [GetUserRequest(name="Ana", pow=5, image=samples()[0].data)] * 2
    if message is GetImage:
        data = samples()[3].data
        yield [GetImage(image=data[:1000]), GetImage(image=data[1000:])]
        yield [GetImage(image=sample.data) for sample in (samples()[1], hostile_samples()[4])]
    if message is uploads_pb2.CreateUploadRequest:
        yield [uploads_pb2.CreateUploadRequest(request_id=NO_IMAGE.decode())]
    if message is images_pb2.ListImagesRequest:
        yield [images_pb2.ListImagesRequest(page_size=3)]


@contextmanager
def opened() -> Iterator[Check]:
    with served() as one:
        yield Caller(one)


TARGET = Target(
    name="rpcs",
    seeds=seeds,
    opened=opened,
    seconds=3.0,
    clock=time.perf_counter,
    guided=False,
    words=(
        b"\0\0\0\0\x03\x0a\x01x",
        b"\x01\0\0\0\x05",
        b'"image"',
        b"null",
        b"1e999",
        b"\x1f\x8b\x08",
        NO_IMAGE,
    ),
)
