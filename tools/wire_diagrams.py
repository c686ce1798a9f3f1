"""Draws the calls of docs/learn from recordings of real ones.

python tools/wire_diagrams.py   starts a server, records the calls, and writes docs/learn/diagrams/

What differs from one recording to the next is left out: times, ids, and how the bytes were cut into frames.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grpc

from conexiones import Client
from conexiones.addresses import split
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import samples, serve
from conexiones.wire.contract import Contract
from conexiones.wire.events import Event, Field, Fields, Header
from conexiones.wire.proxy import Proxy
from conexiones.wire.recorder import Recorder

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "learn" / "diagrams"
SECONDS = 60
MOST_IN_A_ROW = 4

WIDTH, LEFT, RIGHT = 760, 120, 640
TOP, ROW = 96, 46

WORDS = {
    "en": {
        "client": "client",
        "server": "server",
        "end": "no more messages (END_STREAM)",
        "response": "response",
        "bytes": "{n} bytes",
        "more": "{n} more messages",
        "unary": "one message each way",
        "client stream": "messages to the server, one reply",
        "server stream": "one request, messages from the server",
        "both": "messages both ways",
    },
    "es": {
        "client": "cliente",
        "server": "servidor",
        "end": "no hay más mensajes (END_STREAM)",
        "response": "respuesta",
        "bytes": "{n} bytes",
        "more": "{n} mensajes más",
        "unary": "un mensaje en cada sentido",
        "client stream": "mensajes al servidor, una respuesta",
        "server stream": "una solicitud, mensajes del servidor",
        "both": "mensajes en ambos sentidos",
    },
}


@dataclass(frozen=True, slots=True)
class Arrow:
    """One line of a diagram. `title` may be a key of WORDS."""

    sent: bool
    title: str
    detail: str = ""
    message: bool = False


@dataclass(frozen=True, slots=True)
class Diagram:
    file: str
    method: str
    kind: str
    arrows: list[Arrow]


Make = Callable[[grpc.aio.Channel], Awaitable[None]]


async def get_user(channel: grpc.aio.Channel) -> None:
    await UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Marta", pow=7), timeout=SECONDS)


async def get_stream_image(channel: grpc.aio.Channel) -> None:
    image = _photograph()
    call = UsuarioServicioStub(channel).GetStreamImage(timeout=SECONDS)
    third = len(image) // 3 + 1
    for at in range(0, len(image), third):
        await call.write(GetImage(image=image[at : at + third]))
    await call.done_writing()
    await call


async def image_stream_reply(channel: grpc.aio.Channel) -> None:
    call = UsuarioServicioStub(channel).ImageStreamReply(timeout=SECONDS)
    for image in (_photograph(), b"no image"):
        await call.write(GetImage(image=image))
        await call.read()
    await call.done_writing()
    await call.read()


async def get_user_bidi_stream(channel: grpc.aio.Channel) -> None:
    call = UsuarioServicioStub(channel).GetUserBidiStream(timeout=SECONDS)
    for name, number in (("Marta", 7), ("Luis", 9)):
        await call.write(GetUserRequest(name=name, pow=number))
        await call.read()
    await call.done_writing()
    await call.read()


def download_image(image_id: str) -> Make:
    async def call(channel: grpc.aio.Channel) -> None:
        request = DownloadImageRequest(id=image_id)
        async for _ in ImageServiceStub(channel).DownloadImage(request, timeout=SECONDS):
            pass

    return call


def _photograph() -> bytes:
    return next(sample.data for sample in samples() if sample.format == "JPEG")


def _scan() -> bytes:
    """An image of several messages: a bitmap of 700 × 500 pixels."""
    width, height = 700, 500
    size = width * height * 3
    head = b"BM" + (54 + size).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    shape = width.to_bytes(4, "little") + height.to_bytes(4, "little") + b"\1\0\x18\0" + bytes(24)
    return head + (40).to_bytes(4, "little") + shape + bytes(size)


@asynccontextmanager
async def _recording(address: str, events: list[Event]) -> AsyncIterator[grpc.aio.Channel]:
    host, port = split(address)
    proxy = Proxy(host, port, Recorder(Contract.ours(), events.append))
    await proxy.open()
    options = [("grpc.default_authority", address), ("grpc.use_local_subchannel_pool", 1)]
    async with proxy, grpc.aio.insecure_channel(f"unix:{proxy.path}", options=options) as channel:
        yield channel


async def record(address: str, make: Make) -> list[Event]:
    """What goes over the wire while the call is made."""
    events: list[Event] = []
    async with _recording(address, events) as channel:
        await make(channel)
    return events


def arrows(events: Iterable[Event]) -> list[Arrow]:
    """What there is to be drawn of a call."""
    found: list[Arrow] = []
    ends = False
    for event in events:
        part = event.part
        message = part.message if part.kind == "MESSAGE" else None
        if ends and not (event.sent and message):
            found.append(Arrow(sent=True, title="end"))  # behind the messages of the frame that says so
            ends = False
        if part.kind == "HEADERS":
            found.append(_headers(event))
        elif message and message.fields:
            found.append(Arrow(event.sent, message.type, _brief(message.fields), message=True))
        ends |= event.sent and "END_STREAM" in part.flags
    return _shortened(found)


def _shortened(found: list[Arrow]) -> list[Arrow]:
    """Of many messages in a row, the first two and the last."""
    shown: list[Arrow] = []
    row: list[Arrow] = []
    for one in [*found, None]:
        if one is not None and row and one.message and one.sent == row[0].sent and one.title == row[0].title:
            row.append(one)
            continue
        if len(row) > MOST_IN_A_ROW:
            row = [*row[:2], Arrow(row[0].sent, "more", str(len(row) - 3)), row[-1]]
        shown += row
        row = [one] if one is not None else []
    return shown


def _headers(event: Event) -> Arrow:
    values = {header.name: header for header in event.part.headers}
    if event.sent:
        return Arrow(event.sent, f"HEADERS  POST {values[':path'].value}", values["content-type"].value)
    if event.part.facts["role"] == "trailers":
        return Arrow(event.sent, "HEADERS (trailers)", f"grpc-status: {_status(values)}")
    return Arrow(event.sent, f"HEADERS  :status {values[':status'].value}", values["content-type"].value)


def _status(values: dict[str, Header]) -> str:
    header = values["grpc-status"]
    return f"{header.value} ({header.note})"


def _brief(fields: Fields) -> str:
    """Two fields of a message: bytes are what it is about, and checksums are not."""
    ranked = sorted(fields.fields, key=lambda one: (not isinstance(one.value, bytes), one.name == "crc32c"))
    return ",  ".join(_field(field) for field in fields.fields if field in ranked[:2])


def _field(field: Field) -> str:
    if field.inner is not None:
        return f"{field.name}: {{…}}"
    if isinstance(field.value, bytes):
        return f"{field.name}: {field.size:,} bytes"
    if isinstance(field.value, str):
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]+", "…", field.value)
        return f'{field.name}: "{text if len(text) <= 40 else f"{text[:39]}…"}"'
    return f"{field.name}: {field.value}"


# Both themes of whoever looks at it. In an <img>, a style sheet of the page would not reach it.
STYLE = """
svg { --ink: #1d2433; --soft: #5b6472; --line: #c8ced8; --sent: #0b6e4f; --got: #1d4ed8; --back: #ffffff; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6e9ef; --soft: #a3acba; --line: #46505f; --sent: #5fd0a5; --got: #8ab0ff; --back: #161b22; }
}
.back { fill: var(--back); }
text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.title { font-size: 17px; font-weight: 600; }
.soft { fill: var(--soft); }
.detail { fill: var(--soft); font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
.life { stroke: var(--line); stroke-width: 2; }
.sent { stroke: var(--sent); stroke-width: 2; }
.got { stroke: var(--got); stroke-width: 2; }
.thin { stroke-dasharray: 5 4; }
.sent-head { fill: var(--sent); }
.got-head { fill: var(--got); }
"""


def svg(diagram: Diagram, words: dict[str, str]) -> str:
    """The diagram as SVG."""
    height = TOP + ROW * len(diagram.arrows) + 30
    title = f"{diagram.method}: {words[diagram.kind]}"
    middle = (LEFT + RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="12"/>',
        _text(middle, 34, title, "title"),
        _text(LEFT, 66, words["client"]),
        _text(RIGHT, 66, words["server"]),
        *(f'<line class="life" x1="{x}" y1="76" x2="{x}" y2="{height - 16}"/>' for x in (LEFT, RIGHT)),
    ]
    for number, arrow in enumerate(diagram.arrows):
        parts += _arrow(arrow, TOP + ROW * number + 24, words)
    return "\n".join([*parts, "</svg>", ""])


def _arrow(arrow: Arrow, y: int, words: dict[str, str]) -> list[str]:
    title = words.get(arrow.title, arrow.title)
    middle = (LEFT + RIGHT) / 2
    if arrow.title == "more":
        return [_text(middle, y, f"⋮  {title.format(n=arrow.detail)}", "soft")]
    kind = "sent" if arrow.sent else "got"
    start, end = (LEFT + 4, RIGHT - 4) if arrow.sent else (RIGHT - 4, LEFT + 4)
    back = -9 if arrow.sent else 9
    thin = "" if arrow.message else " thin"
    return [
        _text(middle, y - 6, title),
        f'<line class="{kind}{thin}" x1="{start}" y1="{y}" x2="{end + back}" y2="{y}"/>',
        f'<path class="{kind}-head" d="M{end} {y} l{back} -5 v10 z"/>',
        *([_text(middle, y + 15, arrow.detail, "detail")] if arrow.detail else []),
    ]


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    look = f' class="{kind}"' if kind else ""
    return f'<text{look} x="{x:g}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'


async def diagrams(address: str, image_id: str) -> list[Diagram]:
    """Records all calls on a server that has that image."""
    calls: list[tuple[str, str, Make]] = [
        ("GetUser", "unary", get_user),
        ("GetStreamImage", "client stream", get_stream_image),
        ("DownloadImage", "server stream", download_image(image_id)),
        ("ImageStreamReply", "both", image_stream_reply),
        ("GetUserBidiStream", "both", get_user_bidi_stream),
    ]
    found = []
    for method, kind, make in calls:
        file = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", method).lower()
        found.append(Diagram(file, method, kind, arrows(await record(address, make))))
    return found


def pages(address: str) -> dict[str, str]:
    """All files by their names."""
    with Client(address) as client:
        image = client.upload(_scan(), name="scan.bmp")
    found = asyncio.run(diagrams(address, image.id))
    return {
        f"{one.file}{'' if language == 'en' else f'.{language}'}.svg": svg(one, words)
        for one in found
        for language, words in WORDS.items()
    }


def main() -> None:
    with serve() as server:
        drawn = pages(server.address)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
