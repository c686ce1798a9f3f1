"""Measures renditions that were never made before, beside imgproxy and libvips alone: their rate, the CPU
time of each, and their bytes at the same quality."""

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path

import pyvips

from bench.measures import Results, Wrong, interleave
from bench.peers.bare_vips import BareVips, Task, bare_vips
from bench.peers.imgproxy import ImgProxy, imgproxy, our_libvips, system_libvips
from bench.peers.server_process import ROOT, Failed, ServerProcess, ours
from bench.rows import RENDITIONS, Bench
from conexiones.domain.renditions import QUALITY
from conexiones.ports.records import RenditionFormat
from conexiones.sdk.blocking import Client

OURS = "ours"
IMGPROXY = "imgproxy"
WORKERS = 2
"""Our decoders, by default, and as many processes of libvips alone."""
BARE = f"limit: libvips in {WORKERS} processes"

AT_ONCE = 4
SIDE = 700
SMALL, LARGE = "1.1 MP", "12 MP"

CELLS: tuple[tuple[str, RenditionFormat], ...] = (
    (LARGE, "JPEG"),
    (LARGE, "WEBP"),
    (SMALL, "JPEG"),
    (SMALL, "WEBP"),
    (SMALL, "AVIF"),
)

Ask = tuple[int, int]
"""The width and the quality of a rendition."""


def rate(size: str, format: str) -> str:
    """The name of the row of a cell: a JPEG of that size to a format."""
    return f"renditions, {size} to {format}"


def cost(size: str, format: str) -> str:
    """The name of the row with the CPU time that the servers' processes took for a rendition."""
    return f"{rate(size, format)}: processor"


def weight(size: str, format: str) -> str:
    """The name of the row with the bytes that it takes to be as similar to the original (SSIM) as the
    rendition that our server makes by default."""
    return f"{rate(size, format)}: bytes for the same SSIM"


@dataclass(frozen=True, slots=True)
class Contender:
    """`make` makes renditions of the image of a name, AT_ONCE at a time; `cpu` tells the CPU seconds used."""

    make: Callable[[str, RenditionFormat, Sequence[Ask]], None]
    cpu: Callable[[], float]


def run(bench: Bench) -> None:
    """Renditions per second, and CPU time of each; then their bytes, and the memory of our server."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        images = folder / "images"
        images.mkdir()
        names = {SMALL: _small(images), LARGE: _large(images)}
        server = stack.enter_context(ours(folder / "ours"))
        ids = _stored(server, images)
        server.settle()  # all images are described
        contenders = {OURS: Contender(partial(_by_ours, server, ids), server.cpu)}
        proxy: ImgProxy | None = None
        try:
            proxy = stack.enter_context(imgproxy(images))
            contenders[IMGPROXY] = Contender(partial(_by_imgproxy, proxy), proxy.cpu)
            bench.results.note(f"imgproxy has libvips {system_libvips()}, and we have {our_libvips()}")
        except Failed as missing:
            bench.results.note(str(missing))
        bare = stack.enter_context(bare_vips(WORKERS))
        contenders[BARE] = Contender(partial(_by_libvips, bare, images), bare.cpu)
        with bench.memory(server, RENDITIONS):
            for size, format in CELLS:
                _measure(bench, contenders, names[size], size, format)
        for size, format in CELLS:
            _weigh(bench.results, images / names[size], size, format, partial(_get, server, ids), proxy)


def _measure(
    bench: Bench, contenders: dict[str, Contender], name: str, size: str, format: RenditionFormat
) -> None:
    count = bench.size(24, 4)
    asks = {contender: _asks(QUALITY[format]) for contender in contenders}

    def turn(contender: str, number: int) -> float:
        asked = list(islice(asks[contender], count))
        one = contenders[contender]
        before, begin = one.cpu(), time.perf_counter()
        one.make(name, format, asked)
        seconds = time.perf_counter() - begin
        if number >= 0:
            used = (one.cpu() - before) / count * 1000
            bench.results.add(cost(size, format), contender, used, unit="ms")
        return count / seconds

    turns = {contender: partial(turn, contender) for contender in contenders}
    interleave(bench.results, rate(size, format), turns, unit="renditions/s", warm=True)


def _asks(quality: int) -> Iterator[Ask]:
    """Widths and qualities that come close to what the row says, each once."""
    more = (0, 1, -1, 2, -2)
    return ((SIDE + wide, quality + good) for good, wide in product(more, range(-50, 51)))


def _in_parallel(targets: Sequence[str], address: str) -> None:
    """Gets all targets, AT_ONCE at a time, each from a connection that stays."""
    left = iter(targets)

    def get() -> None:
        with closing(http.client.HTTPConnection(address, timeout=120)) as connection:
            for target in left:
                _answer(connection, target)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(get) for _ in range(AT_ONCE)]:
            done.result()


def _answer(connection: http.client.HTTPConnection, target: str) -> bytes:
    connection.request("GET", target)
    response = connection.getresponse()
    data = response.read()
    if response.status != 200 or not data:
        raise Wrong(f"{target}: {response.status} {data[:200]!r}")
    return data


def _target(ids: dict[str, str], name: str, format: RenditionFormat, ask: Ask) -> str:
    width, quality = ask
    return f"/images/{ids[name]}?width={width}&quality={quality}&format={format.lower()}"


def _by_ours(
    server: ServerProcess, ids: dict[str, str], name: str, format: RenditionFormat, asks: Sequence[Ask]
) -> None:
    _in_parallel([_target(ids, name, format, ask) for ask in asks], server.address)


def _by_imgproxy(proxy: ImgProxy, name: str, format: RenditionFormat, asks: Sequence[Ask]) -> None:
    _in_parallel([proxy.target(name, width, format, quality) for width, quality in asks], proxy.address)


def _by_libvips(
    bare: BareVips, images: Path, name: str, format: RenditionFormat, asks: Sequence[Ask]
) -> None:
    bare.make([Task(str(images / name), width, format, quality) for width, quality in asks])


def _get(server: ServerProcess, ids: dict[str, str], name: str, format: RenditionFormat, ask: Ask) -> bytes:
    with closing(http.client.HTTPConnection(server.address, timeout=120)) as connection:
        return _answer(connection, _target(ids, name, format, ask))


def _small(folder: Path) -> str:
    """A photograph of 1.1 megapixels."""
    path = folder / "small.jpg"
    path.write_bytes((ROOT / "client" / "image" / "elephant.jpg").read_bytes())
    return path.name


def _large(folder: Path) -> str:
    """The same in 12 megapixels, with some grain, so that reading a pixel costs what one of a camera does."""
    picture = pyvips.Image.new_from_file(str(folder / "small.jpg"))
    picture = picture.resize((12e6 / (picture.width * picture.height)) ** 0.5)
    grain = pyvips.Image.gaussnoise(picture.width, picture.height, mean=0, sigma=4, seed=1)
    picture = (picture + grain).cast("uchar").copy(interpretation="srgb")
    picture.jpegsave(str(folder / "large.jpg"), Q=90)
    return "large.jpg"


def _stored(server: ServerProcess, folder: Path) -> dict[str, str]:
    """Uploads the images. Name → id."""
    with Client(server.address) as client:
        return {path.name: client.upload(path).id for path in folder.iterdir()}


def _weigh(
    results: Results,
    path: Path,
    size: str,
    format: RenditionFormat,
    get: Callable[[str, RenditionFormat, Ask], bytes],
    proxy: ImgProxy | None,
) -> None:
    """Records how many bytes each contender needs to be as similar to the original as ours is by default."""
    whole = pyvips.Image.new_from_file(str(path))
    original = whole.resize(SIDE / whole.width).copy_memory()  # by Lanczos, of all pixels
    data = get(path.name, format, (SIDE, QUALITY[format]))
    wanted = ssim(original, data)
    results.add(weight(size, format), OURS, len(data) / 1000, unit="kB")
    peers: dict[str, Callable[[int], bytes]] = {
        BARE: lambda quality: Task(str(path), SIDE, format, quality).made()
    }
    if proxy:
        peers[IMGPROXY] = partial(_from_proxy, proxy, path.name, format)
    for name, make in peers.items():
        results.add(weight(size, format), name, bytes_for(wanted, original, make) / 1000, unit="kB")


def _from_proxy(proxy: ImgProxy, name: str, format: RenditionFormat, quality: int) -> bytes:
    with closing(http.client.HTTPConnection(proxy.address, timeout=120)) as connection:
        return _answer(connection, proxy.target(name, SIDE, format, quality))


def bytes_for(wanted: float, original: pyvips.Image, make: Callable[[int], bytes]) -> float:
    """The bytes of a rendition of that similarity, between those of two qualities; if none is as similar, the
    bytes of the best."""
    below, least = 0.0, 0
    for quality in range(40, 101, 5):
        data = make(quality)
        found = ssim(original, data)
        if found >= wanted:
            share = (wanted - below) / (found - below)
            return least + share * (len(data) - least)
        below, least = found, len(data)
    return least


def ssim(original: pyvips.Image, data: bytes) -> float:
    """The mean structural similarity of the luminance of an image and the one in a file; 1 if they are equal.

    See Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment", with their window: a Gaussian of
    1.5 pixels.
    """
    one, other = (_luminance(image) for image in (original, pyvips.Image.new_from_buffer(data, "")))
    if (one.width, one.height) != (other.width, other.height):
        # Which way a height is rounded is no matter of quality.
        other = other.resize(one.width / other.width, vscale=one.height / other.height)
    mean, mean2 = _blurred(one), _blurred(other)
    variance, variance2 = _blurred(one * one) - mean * mean, _blurred(other * other) - mean2 * mean2
    shared = _blurred(one * other) - mean * mean2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (mean * mean2 * 2 + c1) * (shared * 2 + c2)
    return float((similarity / ((mean * mean + mean2 * mean2 + c1) * (variance + variance2 + c2))).avg())


def _luminance(image: pyvips.Image) -> pyvips.Image:
    return (image[0] * 0.299 + image[1] * 0.587 + image[2] * 0.114).cast("float")


def _blurred(image: pyvips.Image) -> pyvips.Image:
    return image.gaussblur(1.5, precision="float", min_ampl=0.01)
