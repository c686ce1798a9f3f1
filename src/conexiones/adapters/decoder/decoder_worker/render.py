"""Renditions: images in another size and format; and previews, which are small JPEGs."""

from typing import Any

import pyvips

from .loading import ANY, File, over_white, rgb
from .refusals import Refused

SIDES = {"JPEG": 65_500, "PNG": ANY, "WEBP": 16_383, "AVIF": 16_384}
"""Format → the largest width or height that it allows, or that its library writes."""

GREY = ("b-w", "grey16")
"""What libvips calls grey."""

WITHOUT_GREY = ("WEBP", "AVIF")
"""Formats as which grey is written in RGB."""

PREVIEW_QUALITY = 80

_LEAST_PROFILE = 132
"""Bytes of the head of a profile and of the number of its tags (ICC.1:2022, 7)."""

AVIF_EFFORT = 1
"""The effort of the encoder, 0 to 9. With 2 it takes half as long again, to save one or two per cent of the
bytes of a photograph. With 0 it takes a quarter, but photographs take 3 to 10 per cent more, and text half as
much again and looks worse: it then lacks the means for drawings."""

AVIF_LARGE = 8_000_000
"""Pixels from which on the effort is 0. Otherwise large images would take longer than requests may."""


def preview(file: File, side: int) -> bytes:
    """A JPEG in sRGB of at most side × side pixels, over white where the image is transparent."""
    data = _saved(rgb(file.thumbnail(side, side, size="down")), "JPEG", PREVIEW_QUALITY, keep="none")
    file.check()
    return data


def render(
    file: File,
    *,
    width: int,
    height: int,
    fit: str,
    into: str,
    quality: int,
    keep_profile: bool,
    limit: int,
) -> tuple[bytes, dict[str, int]]:
    """The rendition, and its width, height and frames. `into` is its format. Raises Refused.

    A width or height of 0 is any. `limit` is the most pixels that may come out, of all frames together.
    """
    if fit != "INSIDE" and width * height * file.frames > limit:
        raise Refused("PIXELS", f"{width} × {height} × {file.frames}")
    # PNG, WebP and AVIF have no CMYK, and browsers show a CMYK JPEG in wrong colours. In WebP and AVIF, a
    # profile for grey would be lost, and with it what the samples mean.
    space = file.header.interpretation
    srgb = not keep_profile or space == "cmyk" or (space in GREY and into in WITHOUT_GREY)
    image = _scaled(file, width, height, fit, srgb=srgb)
    image = rgb(image) if srgb else _own(image)
    if file.frames > 1:
        image = image.copy_memory()  # because the frames are read more than once
    high = image.height // file.frames
    frames = [
        _fitted(image.crop(0, at * high, image.width, high), width, height, fit, into)
        for at in range(file.frames)
    ]
    one = frames[0]
    if max(one.width, one.height) > SIDES[into]:
        raise Refused("PIXELS", f"{one.width} × {one.height} in {into}")
    if len(frames) > 1:
        one = pyvips.Image.arrayjoin(frames, across=1).copy()
        one.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    data = _saved(one if srgb else _exact(one), into, quality, keep="none" if srgb else "icc")
    file.check()
    count = _frames_of(data) if len(frames) > 1 else 1
    return data, {"width": frames[0].width, "height": frames[0].height, "frames": count}


def _frames_of(webp: bytes) -> int:
    """How many frames a WebP has (RFC 9649, 2.7.1.1). libwebp makes one frame of those that follow each other
    and look alike, and a still if that leaves one."""
    found, position = 0, 12
    while position + 8 <= len(webp):
        found += webp[position : position + 4] == b"ANMF"
        length = int.from_bytes(webp[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return max(found, 1)


def _scaled(file: File, width: int, height: int, fit: str, *, srgb: bool) -> Any:
    """The frames in the size that the fit asks for, before anything is cut off or added."""
    if fit == "INSIDE":
        return file.thumbnail(width or ANY, height or ANY, size="down", srgb=srgb)
    wide, high = file.upright
    scales = (width / wide, height / high)
    scale = max(scales) if fit == "COVER" else min(scales)
    # Rounded here, so that all frames of an animation are of one size.
    wide, high = max(1, round(wide * scale)), max(1, round(high * scale))
    return file.thumbnail(wide, high, size="force", srgb=srgb)


def _fitted(image: Any, width: int, height: int, fit: str, into: str) -> Any:
    """One frame, cut to width × height or with bars added."""
    if fit == "COVER":
        return image.crop((image.width - width) // 2, (image.height - height) // 2, width, height)
    if fit == "CONTAIN" and (image.width, image.height) != (width, height):
        if into == "JPEG":
            background = [255] * over_white(image).bands
            image = over_white(image)
        else:
            image = image if image.hasalpha() else image.addalpha()
            background = [0] * image.bands
        return image.gravity("centre", width, height, extend="background", background=background)
    return image


def _own(image: Any) -> Any:
    """The image with 8 bits in its own colour space, for which its profile is right: grey if it is grey."""
    return image.colourspace("b-w" if image.interpretation in GREY else "srgb").cast("uchar")


def _exact(image: Any) -> Any:
    """The image with its profile alone. Often some bytes follow it, with which PNG would not take it."""
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    size = int.from_bytes(profile[:4])
    if not _LEAST_PROFILE <= size < len(profile):
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile[:size])
    return image


def _saved(image: Any, into: str, quality: int, keep: str) -> bytes:
    """The bytes of the file. Raises Refused."""
    data: bytes
    match into:
        case "JPEG":
            data = over_white(image).jpegsave_buffer(Q=quality, optimize_coding=True, keep=keep)
        case "PNG":
            data = image.pngsave_buffer(keep=keep)
        case "WEBP":
            data = image.webpsave_buffer(Q=quality, keep=keep)
            if image.hasalpha() and data[12:16] == b"VP8X":
                # libwebp does not set the flag for alpha if all transparent pixels lie outside of the
                # rectangles of the frames, and readers then show them black
                # (https://developers.google.com/speed/webp/docs/riff_container).
                data = data[:20] + bytes((data[20] | 0x10,)) + data[21:]
        case "AVIF":
            effort = AVIF_EFFORT if image.width * image.height < AVIF_LARGE else 0
            data = image.heifsave_buffer(Q=quality, compression="av1", bitdepth=8, effort=effort, keep=keep)
        case _:
            raise Refused("UNSUPPORTED", into)
    return data
