"""Previews: small JPEGs."""

from .loading import File, over_white, rgb


def preview(file: File, side: int) -> bytes:
    """A JPEG in sRGB of at most side × side pixels, over white where the image is transparent."""
    image = over_white(rgb(file.thumbnail(side, side, size="down")))
    data: bytes = image.jpegsave_buffer(Q=80, optimize_coding=True, keep="none")
    return data
