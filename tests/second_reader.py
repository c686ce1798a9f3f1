"""Any folder of image files, read by us and by a second reader: `python -m tests.second_reader FOLDER …`.

Every file is judged by `probe`. Those that would be stored are described and rendered by real workers, and
the picture is compared with what Pillow shows. The program prints counts of the outcomes, by format. With
`--list` it also prints the files behind every outcome but the common ones. CONTRIBUTING.md says where
corpora are to be had.
"""

import argparse
import asyncio
import io
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

from conexiones.domain.formats import ImageHeader, probe
from conexiones.errors import ImageError, NoPreview, UnsupportedFormat
from conexiones.ports.records import Recipe
from tests.adapters.decoder.workers import Pool, pool

SIDE = 200
"""Pictures are compared in a size that fits into so many pixels each way."""

NEAR = 12.0
"""Pictures whose means of differences per sample are below this, in all channels, are the same."""

LIMIT = 100_000_000
"""The most pixels that are decoded."""

WORKERS = 2


class Outcome(NamedTuple):
    """What we make of a file, what the second reader makes of it, and whether it is the same."""

    format: str
    ours: str
    theirs: str
    agreement: str


class Seen(NamedTuple):
    """A picture in sRGB over white, and the width and height of the image itself, upright."""

    picture: Image.Image
    size: tuple[int, int]


def by_pillow(data: bytes) -> Seen | str:
    """What Pillow shows of the first frame, or the name of its refusal."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > LIMIT:
                return "too large"
            profile = image.info.get("icc_profile")
            gamma = None if profile or "srgb" in image.info else image.info.get("gamma")
            # It scales an image of 16 or 32 bits to 8 bits by cutting off, so its range is taken over first.
            upright = ImageOps.exif_transpose(_eight_bits(image))
            shown = _in_srgb(upright, profile)
            return Seen(_over_white(_lightened(shown, gamma) if gamma else shown), upright.size)
    except Exception as error:  # its readers let anything through
        return type(error).__name__


def _eight_bits(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode.startswith("I;16") or image.mode == "I":
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode == "F":
        low, high = image.getextrema()
        assert isinstance(low, float)
        assert isinstance(high, float)
        return image.point(lambda value: value * 255).convert("L") if high <= 1 else image.convert("L")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted
        return converted
    return image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha else image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            colours,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except ImageCms.PyCMSError:  # not of this kind of image
        return image.convert("RGBA")
    assert converted
    if alpha:
        converted.putalpha(alpha)
    return converted.convert("RGBA")


def _lightened(image: Image.Image, gamma: float) -> Image.Image:
    """What the samples of a PNG with a gAMA chunk are on a screen of gamma 2.2."""
    table = [round(255 * (value / 255) ** (1 / (2.2 * gamma))) for value in range(256)]
    return image.point(table * 3 + list(range(256)))


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


async def by_us(decoder: Pool, path: Path, header: ImageHeader) -> Seen | str:
    """The rendition, or the cause why there is none; a word of its own where facts and rendition differ."""
    recipe = Recipe(
        width=SIDE, height=SIDE, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "made"
        try:
            await decoder.describe(path, format=header.format)
            described = ""
        except NoPreview as error:
            described = str(error.facts["cause"])
        try:
            rendered = await decoder.render(path, into, format=header.format, recipe=recipe)
        except NoPreview as error:
            cause = str(error.facts["cause"])
            return cause if cause == described else f"facts {described or 'found'}, rendition {cause}"
        if described:
            return f"facts {described}, but a rendition"
        scale = min(1.0, SIDE / header.width, SIDE / header.height)
        expected = max(1, round(header.width * scale)), max(1, round(header.height * scale))
        if max(abs(rendered.width - expected[0]), abs(rendered.height - expected[1])) > 1:
            return "facts and rendition of different sizes"
        with Image.open(into) as image:
            return Seen(_over_white(image.convert("RGBA")), (header.width, header.height))


def agreement(ours: Seen | str, theirs: Seen | str) -> str:
    """How the two compare."""
    if isinstance(ours, str) or isinstance(theirs, str):
        return "" if isinstance(ours, str) == isinstance(theirs, str) else "one refuses"
    if ours.size != theirs.size:
        return "other size"
    small = theirs.picture.resize(ours.picture.size, Image.Resampling.LANCZOS)
    channels = ImageStat.Stat(ImageChops.difference(ours.picture, small)).mean
    return "same" if max(channels) < NEAR else "other pixels"


def refusal(error: ImageError) -> str:
    """The kind of an error of `probe`."""
    named = f" ({error.facts['format']})" if isinstance(error, UnsupportedFormat) else ""
    return f"{type(error).__name__}{named}"


async def outcome(decoder: Pool, path: Path) -> Outcome:
    """Reads one file with both readers."""
    data = await asyncio.to_thread(path.read_bytes)
    theirs = await asyncio.to_thread(by_pillow, data)
    shown = "shown" if isinstance(theirs, Seen) else theirs
    try:
        header = probe(data)
    except ImageError as error:
        kind = str(error.facts.get("format", "-")) if not isinstance(error, UnsupportedFormat) else "-"
        return Outcome(kind, f"refused: {refusal(error)}", shown, "one refuses" if shown == "shown" else "")
    ours = await by_us(decoder, path, header)
    word = f"stored, {ours}" if isinstance(ours, str) else "stored and rendered"
    return Outcome(header.format, word, shown, agreement(ours, theirs))


def files(folders: list[Path]) -> Iterator[Path]:
    """All files in the folders."""
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


async def compare(folders: list[Path]) -> dict[Outcome, list[Path]]:
    """The outcomes, and the files of each."""
    found: dict[Outcome, list[Path]] = defaultdict(list)
    waiting = files(folders)

    async with pool(
        workers=WORKERS, decode_pixels=LIMIT, decode_seconds=30, decode_memory=1 << 30, ready=WORKERS
    ) as decoder:

        async def work() -> None:
            for path in waiting:
                found[await outcome(decoder, path)].append(path)

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="print the files, too")
    arguments = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    found = asyncio.run(compare(arguments.folders))
    for one, paths in sorted(found.items()):
        print(f"{len(paths):6}  {one.format:5} {one.ours}; second reader: {one.theirs}; {one.agreement}")
        if arguments.list and one.agreement != "same":
            print(*(f"           {path}" for path in paths), sep="\n")
    print(f"{sum(map(len, found.values())):6}  files")


if __name__ == "__main__":
    main()
