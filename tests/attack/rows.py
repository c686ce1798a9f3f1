"""The rows of the suite: what one greedy client does, and with which settings the server runs meanwhile."""

import asyncio
import io
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Any

from PIL import Image

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.samples import samples
from tests.support.attacks import (
    connections,
    downloads,
    h2,
    h3,
    heavy,
    messages,
    pictures,
    slow,
    small,
    uploads,
)
from tests.support.attacks.link import message
from tests.support.attacks.target import Attack, Tally, Target, many

GOOD = "127.0.0.1"
"""The address of the good client."""

GREEDY = "127.0.0.2"
"""That of the greedy one, unless the row says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """does: what the greedy client does, for the table. prepare: gives the attack, with other options of its
    function if any are given. settings: of the server. tls: whether it has TLS.

    source: the greedy client's address. exempt: why the good client's work may fail or take longer than is
    promised; "" where the promise holds.
    """

    name: str
    group: str
    does: str
    prepare: Callable[..., Attack]
    source: str = GREEDY
    settings: dict[str, str] = field(default_factory=dict)
    exempt: str = ""
    tls: bool = False


@cache
def photo() -> bytes:
    """A small JPEG."""
    return samples()[0].data


@cache
def picture(side: int) -> bytes:
    """A JPEG of noise, coarse enough for a file of some megabytes."""
    noise = Image.frombytes("RGB", (side // 8, side // 8), Random(1).randbytes(3 * (side // 8) ** 2))
    file = io.BytesIO()
    noise.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
    return file.getvalue()


def sample(name: str) -> bytes:
    return next(sample.data for sample in samples() if sample.name == name)


def _user() -> bytes:
    return message(GetUserRequest(name="Ana").SerializeToString())


async def nothing(target: Target, tally: Tally) -> None:
    """Takes all the processor time that is left, and sends nothing: the noise of the measurement."""
    while True:
        tally["rounds"] += 1
        await asyncio.sleep(0)


def _rows() -> list[Row]:
    found: list[Row] = []

    def add(
        group: str,
        name: str,
        does: str,
        attack: Callable[..., Coroutine[Any, Any, None]],
        *,
        image=None,
        **options,
    ) -> None:
        more = {key: options.pop(key) for key in ("source", "settings", "exempt", "tls") if key in options}

        def prepare(**changes: Any) -> Attack:
            return partial(attack, **{**options, **({"image": image()} if image else {}), **changes})

        found.append(Row(name=name, group=group, does=does, prepare=prepare, **more))

    add("noise", "nothing", "a loop at the lowest priority, and no request at all", nothing)

    m = partial(add, "messages")
    m("gzip-members", "GetUser as JSON, 2 MB of empty gzip members, on 4 connections", messages.gzip_members)
    m(
        "gzip-members-small",
        "the same with 60 kB, on 16 connections",
        messages.gzip_members,
        size=60_000,
        connections=16,
    )
    m("gzip-members-grpc", "the same with 2 MB in gRPC, 8 at a time", messages.gzip_members_grpc)
    m("gzip-bomb", "ProcessImage, 62 kB that inflate to 63 MiB, 16 at a time", messages.gzip_bomb)
    m("gzip-bomb-json", "the same as JSON, on 8 connections", messages.gzip_bomb_json)
    m("json-lists", "GetUser as JSON, 60 MiB of empty lists, on 2 connections", messages.json_lists)
    m("json-small", "the same with 1 MiB, on 8 connections", messages.json_small)
    m("json-keys", "GetUser as JSON, 5 million fields in 60 MiB, on 2 connections", messages.json_keys)
    m("json-text", "GetUser as JSON, a name of 15 million emoji, on 2 connections", messages.json_text)
    m("json-image", "ProcessImage as JSON, 45 MiB in base64, on 2 connections", messages.json_image)
    m("web-text", "ProcessImage over gRPC-Web in base64, 45 MiB, on 2 connections", messages.web_text)
    m("unknown-fields", "GetUser, 30 million unknown fields in 60 MiB, 2 at a time", messages.unknown_fields)
    m("nested", "GetUser, 60 million nested groups, 2 at a time", messages.nested)
    m("no-images", "ProcessImage, 60 MiB that are no image, 4 at a time", messages.no_images)
    m("no-images-same", "the same from the good client's address", messages.no_images, source=GOOD)
    m(
        "refused-in-stream",
        "ImageStreamReply, 60 MiB of no image compressed to 61 kB, again and again",
        messages.refused_in_stream,
    )
    m(
        "refused-in-bidi",
        "the same in GetUserBidiStream",
        messages.refused_in_stream,
        path=messages.BIDI,
    )
    m(
        "refused-plain",
        "the same in ImageStreamReply, not compressed",
        messages.refused_in_stream,
        compressed=False,
    )
    m(
        "refused-in-small",
        "the same in UploadImages, to which they are too large",
        messages.refused_in_stream,
        path=small.UPLOAD_IMAGES,
    )
    m("empty-messages", "empty messages without end, on 8 streams", messages.empty_messages)
    m("one-byte-fragments", "fragments of 1 byte without end, on 8 streams", messages.one_byte_fragments)

    t = partial(add, "slow messages")
    t("trickle", "2 ProcessImage announce 64 MiB and send a byte every 2 s", messages.trickle)
    t("trickle-same", "the same from the good client's address", messages.trickle, source=GOOD)
    t("trickle-half", "the same after 32 MiB", messages.trickle, first=32 << 20)
    t(
        "trickle-many",
        "400 such calls on 20 connections",
        messages.trickle,
        streams=20,
        connections=20,
    )
    t(
        "trickle-clients",
        "100 such calls from 100 addresses",
        messages.trickle,
        streams=1,
        clients=100,
    )
    t("trickle-http1", "8 such calls over HTTP/1.1", messages.trickle_http1)
    t(
        "trickle-small",
        "500 ProcessImage announce 100 kB and send a byte every 2 s",
        messages.trickle,
        streams=100,
        connections=5,
        announced=100_000,
    )
    t(
        "trickle-fast",
        "8 ProcessImage announce 64 MiB and send 64 KiB every second",
        messages.trickle,
        streams=8,
        size=65_536,
        seconds=1.0,
    )
    t(
        "trickle-chunk",
        "8 WriteChunk announce 64 MiB and send a byte every 2 s",
        messages.trickle,
        streams=8,
        path=messages.WRITE_CHUNK,
    )

    p = partial(add, "images")
    p("renditions", "200 AVIF renditions of a 25-megapixel image at once, in 200 sizes", pictures.renditions)
    p("renditions-same", "the same from the good client's address", pictures.renditions, source=GOOD)
    p("renditions-grpc", "the same by DownloadImage on one connection", pictures.renditions_grpc)
    p("renditions-dropped", "60 such renditions a second, each left at once", pictures.renditions_dropped)
    p("renditions-cheap", "small renditions of a small image, 32 at a time", pictures.renditions_cheap)
    p(
        "previews",
        "GetUserBidiStream, 16-megapixel images, on 16 streams",
        pictures.previews,
        image=lambda: picture(4000),
    )
    p(
        "decoded",
        "ProcessImage, 16-megapixel images, 16 at a time",
        pictures.decoded,
        image=lambda: picture(4000),
    )
    p(
        "decoded-same",
        "the same from the good client's address",
        pictures.decoded,
        image=lambda: picture(4000),
        source=GOOD,
    )
    p(
        "scans",
        "ProcessImage, a JPEG of 45,000 scans, 8 at a time",
        pictures.structures,
        image=lambda: pictures.scans(photo()),
    )
    p(
        "scans-cut",
        "the same in fragments of 4 KiB",
        pictures.structures,
        image=lambda: pictures.scans(photo()),
        fragment=4096,
    )
    p(
        "scans-stream",
        "the same in ImageStreamReply",
        pictures.structures,
        image=lambda: pictures.scans(photo()),
        path=messages.IMAGE_STREAM_REPLY,
    )
    p(
        "pieces",
        "ProcessImage, a PNG of 200,000 chunks, 8 at a time",
        pictures.structures,
        image=lambda: pictures.pieces(sample("transparent.png")),
    )
    p(
        "frames",
        "ProcessImage, a GIF of 100,000 frames, 8 at a time",
        pictures.structures,
        image=lambda: pictures.frames(sample("animated.gif")),
    )
    p(
        "frames-cut",
        "the same in fragments of 4 KiB",
        pictures.structures,
        image=lambda: pictures.frames(sample("animated.gif")),
        fragment=4096,
    )

    c = partial(add, "connections")
    c("idle", "1,000 TCP connections that send nothing", connections.idle)
    c("idle-many", "the same, 2,000 from 100 addresses", connections.idle, count=2000, clients=100)
    c("idle-http2", "1,000 HTTP/2 connections without a call", connections.idle_http2)
    c("half-request", "1,000 connections with half of a request's headers", connections.half_request)
    c("no-body", "1,000 connections with a request whose body does not come", connections.no_body)
    c("churn", "connections opened and closed, 16 at a time", connections.churn)
    c("handshakes", "TLS handshakes, 16 at a time", connections.handshakes, tls=True)
    c(
        "half-handshakes",
        "1,000 connections with the beginning of a TLS handshake",
        connections.half_handshakes,
        tls=True,
    )
    c("silent-streams", "1,000 silent ImageStreamReply on one connection", connections.silent_streams)
    c(
        "silent-streams-same",
        "the same from the good client's address",
        connections.silent_streams,
        source=GOOD,
    )
    c(
        "silent-streams-10",
        "1,000 silent ImageStreamReply on 10 connections",
        connections.silent_streams,
        streams=100,
        connections=10,
    )
    c(
        "silent-fragments",
        "1,000 silent GetStreamImage on 10 connections",
        connections.silent_streams,
        streams=100,
        connections=10,
        path=messages.GET_STREAM_IMAGE,
    )
    c(
        "silent-calls",
        "1,000 GetUser without a message on 10 connections",
        connections.silent_streams,
        streams=100,
        connections=10,
        path=messages.GET_USER,
    )
    c(
        "silent-reflection",
        "1,000 silent ServerReflectionInfo on 10 connections",
        connections.silent_streams,
        streams=100,
        connections=10,
        path=connections.REFLECTION,
    )
    c(
        "reflection",
        "ServerReflectionInfo, asked again and again on 1,000 streams of 10 connections",
        connections.questions,
    )
    c("watchers", "1,000 WatchImages on 4 connections", connections.watchers)
    c("health-watchers", "4,000 Health/Watch on 4 connections", connections.health_watchers)
    c(
        "pipelined",
        "GetUser over HTTP/1.1 without waiting for answers, on 4 connections",
        connections.pipelined,
    )
    c("cancelled", "GetUser cancelled once sent, 50 at a time", connections.cancelled, sent=_user())
    c(
        "cancelled-images",
        "ProcessImage of 16 megapixels cancelled once sent, 8 at a time",
        _cancelled_images,
        streams=8,
    )
    c("unknown", "calls of an unknown method, 50 at a time", connections.unknown)

    u = partial(add, "uploads")
    u("announced", "64 uploads announced at 16 GiB, and left", uploads.opened, size=16 << 30)
    u("opened", "1,000 uploads opened, and left", uploads.opened)
    u(
        "opened-same",
        "the same from the good client's address",
        uploads.opened,
        source=GOOD,
        exempt="uploads outlive connections, so they are counted by client alone",
    )
    u("dribbled", "64 uploads of 16 GiB that get a byte every second", uploads.dribbled)
    u("tiny-chunks", "chunks of 1 byte, 16 at a time", uploads.tiny_chunks)
    u("made-and-cancelled", "uploads opened and cancelled, 16 at a time", uploads.made_and_cancelled)
    u("unfinished", "FinishUpload of incomplete uploads, 16 at a time", uploads.resumed)
    u("silent-writers", "200 WriteStream without bytes", uploads.silent_writers)
    u("small-stored", "UploadImages with new ids, on 16 streams", small.stored, image=photo)
    u(
        "small-stored-same",
        "the same from the good client's address",
        small.stored,
        image=photo,
        source=GOOD,
    )
    u("small-reused", "UploadImage with one id for new images, 16 at a time", small.reused, image=photo)
    u("held-fragments", "400 GetStreamImage that stop after 900 kB", uploads.held_fragments)

    d = partial(add, "replies")
    d("unread", "900 downloads of 100 MB on 9 connections that are never read", downloads.unread)
    d("unread-window-0", "900 downloads with an HTTP/2 window of 0", downloads.unread, reads=True, window=0)
    d("unread-window-1", "900 downloads with an HTTP/2 window of 1", downloads.unread, reads=True, window=1)
    d("unread-http1", "300 downloads over HTTP/1.1 that are never read", downloads.unread_http1)
    d("read-slowly", "300 downloads over HTTP/1.1 at a byte a second", downloads.read_slowly)
    d("ranges", "ranges of 1 byte, 8 at a time", downloads.ranges)
    d("ranges-many", "400 ranges in one header, 8 at a time", downloads.ranges, count=400)
    d("lists", "ListImages, 250 at a time", downloads.lists)
    d("lists-json", "ListImages as JSON, 64 at a time", downloads.lists_json)
    d("status", "GetStatus, 100 at a time", downloads.status)
    d("page", "the page, 16 at a time", downloads.page)

    h = partial(add, "honest use")
    h("users", "GetUser, 10 connections with 10 calls each", heavy.users)
    h("users-same", "the same from the good client's address", heavy.users, source=GOOD)
    h("small-images", "small images on 64 streams", heavy.small_images, image=photo)
    h("large-images", "images of 243 MB, 4 at a time", heavy.large_images)
    h("downloads", "downloads of 100 MB, 8 at a time", downloads.downloads)
    f = partial(add, "HTTP/2")
    f("rapid-reset", "calls that are reset at once", _framed, by=h2.rapid_reset)
    f("rapid-reset-4", "the same on 4 connections", _framed, by=h2.rapid_reset, times=4)
    f("reset-refused", "the same among requests that are refused", _framed, by=h2.reset_among_refused)
    f("reset-whole", "calls that are reset behind their last byte", _framed, by=h2.reset_whole_calls)
    f("reset-error", "calls that the server has to reset", _framed, by=h2.reset_by_error)
    f("call-and-leave", "100 calls begun on a connection that is then closed", _framed, by=h2.call_and_leave)
    f("half-open", "1,000 calls whose requests do not end", _framed, by=h2.half_open)
    f("hpack-bomb", "50 kB of headers in 200 bytes", _framed, by=h2.hpack_bomb)
    f("hpack-bomb-4", "the same on 4 connections", _framed, by=h2.hpack_bomb, times=4)
    f("table-flood", "headers that change the table all the time", _framed, by=h2.table_flood)
    f("large-headers", "headers of 60 kB", _framed, by=h2.large_headers)
    f("continuation", "CONTINUATION without end", _framed, by=h2.continuation_flood)
    f("continuation-empty", "empty CONTINUATION without end", _framed, by=h2.empty_continuations)
    f("settings-flood", "SETTINGS without end", _framed, by=h2.settings_flood)
    f("ping-flood", "PING without end", _framed, by=h2.ping_flood)
    f("window-flood", "WINDOW_UPDATE without end", _framed, by=h2.window_flood)
    f("priority-flood", "PRIORITY without end", _framed, by=h2.priority_flood)
    f("empty-data", "empty DATA without end", _framed, by=h2.empty_data_flood)
    f("no-window", "100 requests for the page with a window of 1", _framed, by=h2.no_window)

    q = partial(add, "HTTP/3, from the good client's address", source=GOOD, tls=True)
    q("h3-users", "GetUser, 10 connections with 10 calls each", h3.users)
    q("h3-silent-streams", "400 silent ImageStreamReply on 4 connections", h3.silent_streams)
    q("h3-unread", "400 downloads of 100 MB on 4 connections that are never read", h3.unread)

    s = partial(add, "slow requests")
    s("slow-headers", "200 requests whose headers come byte by byte", _framed, by=slow.slow_headers)
    s(
        "slow-line",
        "1,000 connections with half a line of a request",
        _framed,
        by=slow.idle,
        sent=slow.HALF_LINE,
    )
    s("slow-preface", "1,000 with half a preface of HTTP/2", _framed, by=slow.idle, sent=slow.HALF_PREFACE)
    s(
        "slow-body",
        "200 GetUser over HTTP/1.1 whose 1,000 bytes come one every 2 s",
        messages.trickle_http1,
        connections=200,
        announced=1000,
        path=messages.GET_USER,
    )
    return found


async def _framed(target: Target, tally: Tally, *, by: Any, times: int = 1, **options: Any) -> None:
    """An attack of h2 or slow, on so many connections at once."""
    one = partial(by, target.host, target.port, tally, source=target.source, **options)
    await many(times, lambda _: one())


async def _cancelled_images(target: Target, tally: Tally, *, streams: int) -> None:
    sent = message(GetUserRequest(image=picture(4000)).SerializeToString())
    await connections.cancelled(target, tally, streams=streams, path=messages.PROCESS_IMAGE, sent=sent)


ROWS = {row.name: row for row in _rows()}
