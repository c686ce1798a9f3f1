"""A profile counts as sRGB for what it says of colours. Its name may be any."""

import io
import struct
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageCms

from conexiones.adapters.decoder.decoder_worker.srgb_profiles import MOST_BYTES, is_srgb
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import encoded, pool, quarters

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
"""Those of sRGB, adapted to D50, as HP's profile of 1998 has them."""

ADOBE = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}


def table(count: int, *, gamma: float = 0.0) -> bytes:
    """A curve of that many values: that of sRGB, or a gamma."""
    values = []
    for number in range(count):
        x = number / (count - 1)
        light = x**gamma if gamma else x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
        values.append(round(light * 65535))
    return struct.pack(f">4s4xI{count}H", b"curv", count, *values)


def parametric(kind: int, *numbers: float) -> bytes:
    fixed = [round(number * 65536) for number in numbers]
    return struct.pack(f">4s4xHxx{len(fixed)}i", b"para", kind, *fixed)


OF_SRGB = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(
    primaries: dict[bytes, tuple[float, float, float]] = PRIMARIES,
    curve: bytes = OF_SRGB,
    more: dict[bytes, bytes] | None = None,
    kind: bytes = b"mntrRGB XYZ ",
) -> bytes:
    """A profile that calls itself sRGB, with three equal curves."""
    tags = {
        tag: struct.pack(">4s4x3i", b"XYZ ", *(round(x * 65536) for x in xyz))
        for tag, xyz in primaries.items()
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags[b"wtpt"] = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    name = b"sRGB IEC61966-2.1\0"
    tags[b"desc"] = struct.pack(">4s4xI", b"desc", len(name)) + name + bytes(78)
    tags |= more or {}
    start, entries, data = 132 + 12 * len(tags), b"", b""
    for tag, element in tags.items():
        entries += struct.pack(">4sII", tag, start + len(data), len(element))
        data += element + bytes(-len(element) % 4)
    head = bytearray(128)
    struct.pack_into(">I4xI", head, 0, start + len(data), 0x02100000)
    head[12:24] = kind
    head[36:40] = b"acsp"
    struct.pack_into(">3i", head, 68, 63190, 65536, 54061)
    return bytes(head) + struct.pack(">I", len(tags)) + entries + data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SRGB, id="of-littlecms"),
        pytest.param(bytes(pyvips.Operation.call("profile_load", "srgb")), id="of-libvips"),
        pytest.param(profile(curve=table(1024)), id="a-table"),
        pytest.param(
            profile(curve=parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0)),
            id="7-parameters",
        ),
    ],
)
def test_what_is_srgb(data: bytes) -> None:
    assert is_srgb(data)


WRONG = {
    "other primaries": profile(ADOBE),
    "swapped primaries": profile(dict(zip(PRIMARIES, [*PRIMARIES.values()][::-1], strict=True))),
    "a gamma of 2.2": profile(curve=struct.pack(">4s4xIH", b"curv", 1, 563)),
    "a table of a gamma": profile(curve=table(1024, gamma=2.2)),
    "light": profile(curve=struct.pack(">4s4xI", b"curv", 0)),
    "a gamma as a parameter": profile(curve=parametric(0, 2.2)),
    "one curve of another kind": profile(more={b"gTRC": table(256, gamma=1.8)}),
    "a table that counts first": profile(more={b"A2B0": b"mft2" + bytes(60)}),
    "code points that count first": profile(more={b"cicp": b"cicp" + bytes(8)}),
    "grey": profile(kind=b"mntrGRAY" + b"XYZ "),
    "a printer": profile(kind=b"prtrRGB Lab "),
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in WRONG.items()])
def test_what_only_calls_itself_srgb(data: bytes) -> None:
    assert not is_srgb(data)


def test_damaged_profiles_are_none_of_srgb() -> None:
    whole = profile(curve=table(64))
    end = whole.index(b"desc", 300)  # nothing that counts comes after this
    assert not any(is_srgb(whole[:length]) for length in range(0, end, 3))
    assert not is_srgb(whole + bytes(MOST_BYTES))
    many = bytearray(whole)
    struct.pack_into(">I", many, 128, 0xFFFFFFFF)
    assert not is_srgb(bytes(many))
    assert not is_srgb(profile(curve=parametric(3, 32767, 32767, 32767, 1, 0)))
    assert not is_srgb(profile(curve=parametric(3, -1, 0, 0, 1, 0)))
    assert not is_srgb(profile(curve=struct.pack(">4s4xI", b"curv", 0xFFFFFFFF)))


@pytest.mark.asyncio
async def test_the_colours_are_those_of_the_profile(tmp_path: Path) -> None:
    """A profile that only calls itself sRGB is converted, as by Pillow; one of sRGB changes nothing."""
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    picture, path, into = quarters(40, 30), tmp_path / "source", tmp_path / "made"

    async with pool() as decoder:

        async def shown(icc: bytes) -> Image.Image:
            path.write_bytes(encoded(picture, "PNG", icc_profile=icc))
            await decoder.render(path, into, format="PNG", recipe=recipe)
            return opened(into.read_bytes())

        assert distance(await shown(profile(curve=table(1024))), picture) == 0
        for icc in (profile(ADOBE), WRONG["a table of a gamma"], WRONG["one curve of another kind"]):
            expected = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            )
            assert expected
            made = await shown(icc)
            assert distance(made, expected) <= 1
            assert distance(made, picture) > 2
