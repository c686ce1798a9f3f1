"""Opening image files within the limits, and scaling them down: what every task begins with."""

import os
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, BinaryIO, Literal

import pyvips

# Loaded before the sandbox, within which nothing can be. The formats that `Image.open` knows are not needed.
from PIL import BmpImagePlugin, Image

from conexiones.exif import orientation

from . import bmp_fields, bmp_runs, gif_blocks, png_colours, repairs, tiff_pieces, tiff_samples
from .conversions import Convert
from .heif import Boxed, boxed
from .refusals import Refused, check_pixels, refusal
from .srgb_profiles import is_srgb

LOADERS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Nsgif",
    "WEBP": "Webp",
    "TIFF": "Tiff",
    "AVIF": "Heif",
    "HEIF": "Heif",
}
"""Format → loader of libvips. BMP has none here, and is loaded by Pillow; `heif` opens AVIF and HEIF."""

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead

BAND_PIXELS = 4 << 20
"""Pixels of a BMP that are read at a time."""
BITS = {"1": 1, "P;1": 1, "P;2": 2, "P;4": 4, "P": 8, "L": 8, "BGR;15": 16, "BGR;16": 16, "BGR": 24}
"""Layout of a BMP's pixels, as Pillow names them → bits of a pixel; 32 for all others."""

ANY = 10_000_000
"""The largest width or height that libvips has, which stands for no limit."""

PROFILED = dict.fromkeys(("srgb", "rgb16"), b"RGB ") | dict.fromkeys(("b-w", "grey16"), b"GRAY")
"""What libvips calls colours → what a profile for them calls them (ICC.1:2022, table 19). It looks itself at
profiles of CMYK."""

Care = Literal["strict", "mended", "lenient"]
"""How a file is read: as it is, with every fault an error; once more without small faults that other readers
forgive; or with all faults but the worst."""


def allow_only_known_loaders() -> None:
    """Blocks all loaders of libvips but those of LOADERS, and turns off its cache."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS.values():
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)


class File:
    """An image file of which only the header has been read.

    It is known by an open descriptor, because a worker can open nothing. With `animated` all frames are read,
    one below the other; otherwise the first one is. Unless it is `profiled`, its colour profile counts for
    nothing. Raises Refused if there are more than `limit` pixels,
    MemoryError, and pyvips.Error.
    """

    def __init__(
        self,
        descriptor: int,
        format: str,
        limit: int,
        *,
        animated: bool = False,
        care: Care = "strict",
        profiled: bool = True,
    ) -> None:
        self._descriptor = descriptor
        self._format = format
        self._care = care
        self._profiled = profiled
        self._data: bytes | None = None
        self._before = 0
        if format == "GIF":
            self._data, self._before = gif_blocks.tidied(descriptor, limit, whole=animated)
        self.frames = 1
        self._opened: Boxed | None = None
        self.orientation = 1
        self._convert: Convert | None = None
        self._lossless = False
        if format == "BMP":
            bitmap = _bitmap(descriptor, limit)
            self._opened = Boxed(bitmap, lambda: [bitmap])
        elif format in ("AVIF", "HEIF"):
            self._opened = boxed(descriptor, format, limit, animated=animated)
        if self._opened:
            self.header, self.frames = self._opened.header, self._opened.count
            return
        if format not in LOADERS:
            raise Refused("UNSUPPORTED", format)
        self._load(limit, animated=animated)

    def _load(self, limit: int, *, animated: bool) -> None:
        """Has libvips read the header."""
        format, descriptor = self._format, self._descriptor
        conversion = tiff_samples.conversion(descriptor) if format == "TIFF" else None
        if conversion and conversion.data:
            self._data = conversion.data
        self._mend_header()
        self.header = pyvips.Image.new_from_source(self._source(again=False), "", access="sequential")
        if animated and self.header.get_typeof("n-pages"):
            self.frames = self.header.get("n-pages") - self._before
        check_pixels(self.header.width, self.header.height * self.frames, limit)
        _check_components(self.header, format)
        self.orientation = _orientation(self.header, format)
        self._lossless = format == "JPEG" and repairs.is_lossless(descriptor)
        self._mend_pixels(limit)
        if format == "PNG":
            conversion = png_colours.conversion(descriptor, self.header)
        if conversion:
            self._convert = conversion.convert
            if conversion.interpretation:
                self.header = self.header.copy(interpretation=conversion.interpretation)

    def _mend_header(self) -> None:
        """Mends what libvips would take wrongly, or stop at, with the header."""
        if self._format == "WEBP":
            self._data = repairs.transparent_webp(self._descriptor)
        elif self._format == "PNG" and self._care == "mended":
            self._data = repairs.plain_png(self._descriptor)
        elif self._format == "TIFF" and self._data is None:
            self._data = repairs.sorted_tiff(self._descriptor)
            if self._data is None and self._care == "mended":
                self._data = repairs.counted_tiff(self._descriptor)

    def _mend_pixels(self, limit: int) -> None:
        """Leaves out what libvips would stop at, once the header has been read for it, or what it would leave
        out with more than that. Raises Refused."""
        if self._format == "JPEG" and self._care == "mended":
            self._data = repairs.plain_jpeg(self._descriptor)
        elif self._format == "PNG" and self._data is None:
            self._data = repairs.fitting_png(self._descriptor)
        elif self._format == "TIFF":
            if self._care == "strict" and self._tiled:
                tiff_pieces.check_tiles(self._descriptor, limit)
            elif self._care == "lenient":
                tiff_pieces.check_jpeg(self._descriptor, limit)
            if self._data is None and self._care != "strict":
                self._data = repairs.plain_tiff(self._descriptor)

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of one frame, with the orientation applied."""
        width, height = self.header.width, self.header.height
        return (height, width) if self.orientation >= 5 else (width, height)

    def thumbnail(self, width: int, height: int, *, srgb: bool = True, **how: Any) -> Any:
        """The image scaled to fit into width × height, upright. With `srgb` its colours are those of sRGB if
        it has a profile; if it has none, `rgb` makes them so.

        `how` are other options of libvips' thumbnail. Its pixels are read when they are needed, once and from
        top to bottom. Only then does damage show.
        """
        if self.orientation >= 5:
            width, height = height, width
        return self._upright(self._scaled(width, height, srgb=srgb, no_rotate=True, **how))

    def _scaled(self, width: int, height: int, *, srgb: bool, **how: Any) -> Any:
        """The image scaled as it is stored."""
        srgb = srgb and self._profiled

        def scaled(image: Any) -> Any:
            return image.thumbnail_image(width, height=height, **how, **_into(image, srgb=srgb))

        if self._opened:
            frames = map(scaled, self._opened.frames())
            if self.frames == 1:
                return next(frames)
            # Copied one by one, so that no frame is kept in its full size.
            kept = [frame.copy_memory() for frame in frames]
            joined = pyvips.Image.arrayjoin(kept, across=1).copy()
            joined.set("delay", [delay for frame in kept for delay in frame.get("delay")])
            return joined
        if self._convert:
            return scaled(self._convert(self._loaded))
        if self._format == "TIFF" or self._lossless:
            # `thumbnail_source` would take what it holds for a smaller copy of the page: a half as large page
            # or child, which may be another picture. It would have libjpeg scale what cannot be scaled.
            return scaled(self._loaded())
        # Not `thumbnail`, which takes what follows a bracket in a file name as options.
        # `thumbnail_source` forgets its own argument `fail_on` (libvips 8.18), so it goes to the loader.
        how |= _into(self.header, srgb=srgb)
        image = pyvips.Image.thumbnail_source(
            self._source(), width, height=height, option_string=self._options, **how
        )
        if self._before and self.frames > 1:
            image = image.copy()
            image.set("delay", self.header.get("delay")[self._before :])
        return image

    def check(self) -> None:
        """To be called once all pixels have been read. Raises pyvips.Error if some of a JPEG are missing.

        libvips looks for warnings before it reads lines, and so misses those of the last lines. It keeps what
        was said of them until it makes another thumbnail.
        """
        if self._format == "JPEG":
            said = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
            if not repairs.has_all_pixels(said):
                raise pyvips.Error("", said)

    @property
    def _tiled(self) -> bool:
        """Whether a TIFF consists of tiles."""
        return bool(self.header.get_typeof("tile-width"))

    @property
    def _options(self) -> str:
        """How the loader reads the pixels."""
        match self._format:
            case "GIF":
                every = True
            case "JPEG":
                every = self._care != "lenient"
            case "TIFF":
                # libvips 8.18 leaves tiles black that it cannot read, unless warnings are errors. Of tiles,
                # nothing but that counts as a warning.
                every = self._tiled or (
                    self._care != "lenient" and tiff_pieces.only_warned_of(self._descriptor)
                )
            case _:
                every = False
        options = "fail_on=warning" if every else "fail_on=error"
        if self._format == "TIFF":
            # libtiff would refuse strips of more than 50 MiB, as in large scans. Our own limits replace that.
            options += ",unlimited"
        if self._before:
            options += f",page={self._before}"
        if self.frames > 1:
            options += ",n=-1"
        return options

    def _source(self, *, again: bool = True) -> Any:
        """The file from its beginning. All sources share an offset in it, so only the last one is read."""
        if self._data is not None:
            return pyvips.Source.new_from_memory(self._data)
        if again:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        return pyvips.Source.new_from_descriptor(self._descriptor)

    def _loaded(self) -> Any:
        """The image as libvips loads it, its pixels when they are needed."""
        return pyvips.Image.new_from_source(self._source(), self._options, access="sequential")

    def _upright(self, image: Any) -> Any:
        """The same image with the orientation applied to each of its frames."""
        if self.orientation == 1:
            return image
        image = image.copy_memory()  # Its pixels are now read in another order than from top to bottom.
        image.set_type(pyvips.GValue.gint_type, "orientation", self.orientation)
        if self.frames == 1:
            return image.autorot()
        high = image.height // self.frames
        frames = [image.crop(0, at * high, image.width, high).autorot() for at in range(self.frames)]
        return pyvips.Image.arrayjoin(frames, across=1)


def _into(image: Any, *, srgb: bool) -> dict[str, str]:
    """The options by which libvips' thumbnail converts the colours of an image to sRGB.

    It is not asked to where there is nothing to convert: without a profile it would take all pixels to CIE
    XYZ and back, which costs twice as much as reading and scaling a small JPEG, and gives the same samples.
    """
    if not srgb or not image.get_typeof("icc-profile-data"):
        return {}
    profile = image.get("icc-profile-data")
    if profile[16:20] != PROFILED.get(image.interpretation, profile[16:20]):
        return {}  # It is for other colours.
    right = (image.interpretation, image.format) == ("srgb", "uchar")
    return {} if right and is_srgb(profile) else {"output_profile": "srgb"}


def _check_components(header: Any, format: str) -> None:
    """Raises Refused for a JPEG of two components: libvips would take the second one for transparency, and
    nobody knows what it is."""
    if format == "JPEG" and header.bands == 2:
        raise Refused("UNSUPPORTED", "two components")


def _orientation(header: Any, format: str) -> int:
    """The orientation that the server found before it stored the image: that of libtiff, and in other formats
    that of the EXIF block which libvips takes. Those of AVIF and HEIF are applied by their loader."""
    if format == "TIFF":
        return int(header.get("orientation")) if header.get_typeof("orientation") else 1
    if format in ("JPEG", "PNG", "WEBP") and header.get_typeof("exif-data"):
        return orientation(header.get("exif-data"))
    return 1


def _bitmap(descriptor: int, limit: int) -> Any:
    """The image of a BMP file, loaded by Pillow or here because this libvips has no loader for it. Raises
    Refused.

    It is read in bands, so that it takes the memory of its pixels only once: 3 or 4 bytes for each.
    """
    for read in (bmp_runs.bitmap, bmp_fields.bitmap):
        if (image := read(descriptor, limit)) is not None:
            return image
    try:
        with BufferedReader(repairs.Bitmap(descriptor)) as data, BmpImagePlugin.BmpImageFile(data) as file:
            check_pixels(*file.size, limit)
            mode = "RGBA" if file.has_transparency_data else "RGB"
            pixels = bytearray(file.width * file.height * len(mode))
            at, seen = 0, False
            for band in _bands(file, data):
                piece = band.convert(mode).tobytes()
                pixels[at : at + len(piece)] = piece
                at += len(piece)
                seen = seen or any(piece[3::4])
    except (Refused, MemoryError):
        raise
    except Exception as error:  # its parsers let anything through: struct.error, IndexError, SyntaxError
        raise refusal(repr(error)) from error
    whole = pyvips.Image.new_from_memory(pixels, *file.size, len(mode), "uchar")
    whole = whole.copy(interpretation="srgb")
    # Some programs leave 0 in the byte for transparency, whatever the header says. Browsers show such images.
    return whole if seen or mode == "RGB" else whole.extract_band(0, n=3)


def _bands(file: Any, data: BinaryIO) -> Iterator[Image.Image]:
    """The image in bands, from top to bottom."""
    width, height = file.size
    rows = max(1, BAND_PIXELS // width)
    _, _, start, layout = file.tile[0]
    for top in range(0, height, rows):
        count = min(rows, height - top)
        _, stride, direction = layout
        first = top if direction > 0 else height - top - count
        data.seek(start + first * stride)
        raw = data.read(count * stride)
        # The last row may lack the bytes that fill it up to four, and nothing else.
        filling = stride - (width * BITS.get(layout[0], 32) + 7) // 8
        if len(raw) < count * stride - filling:
            raise OSError("the image is truncated")
        band = Image.frombytes(file.mode, (width, count), raw.ljust(count * stride, b"\0"), "raw", *layout)
        if file.palette:
            band.putpalette(file.palette)
        yield band


def rgb(image: Any) -> Any:
    """Any image as 8-bit sRGB: three bands, and a fourth where it has transparency."""
    image = image.colourspace("srgb")
    most = 4 if image.hasalpha() else 3
    if image.bands > most:
        image = image.extract_band(0, n=3)
    return image.cast("uchar")


def over_white(image: Any) -> Any:
    """An image that `rgb` gave, without transparency."""
    return image.flatten(background=255) if image.hasalpha() else image
