"""Pictures for the page's tests: a different landscape for each number, for people who look at the shots."""

import colorsys
import io
import math
import random
from functools import cache

from PIL import Image, ImageDraw, ImageFilter


@cache
def landscape(number: int, width: int = 480, height: int = 360, format: str = "JPEG") -> bytes:
    """The same image for the same number."""
    rng = random.Random(number)
    hue = rng.random()

    def colour(shift: float, saturation: float, value: float) -> tuple[int, int, int]:
        r, g, b = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        return int(255 * r), int(255 * g), int(255 * b)

    top, bottom = colour(0, 0.55, 0.75), colour(0.08, 0.25, 0.98)
    sky = Image.new("RGB", (1, 32))
    for y in range(32):
        sky.putpixel((0, y), tuple(int(a + (b - a) * y / 31) for a, b in zip(top, bottom, strict=True)))
    image = sky.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    across, down, r = rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.4) * height, 0.09 * height
    draw.ellipse((across - r, down - r, across + r, down + r), fill=colour(0.1, 0.15, 1))
    image = image.filter(ImageFilter.GaussianBlur(1.2))
    draw = ImageDraw.Draw(image)
    for layer in range(4):
        base = height * (0.5 + 0.13 * layer)
        waves = [(rng.uniform(1, 4), rng.uniform(0, 6.3), rng.uniform(0.02, 0.07)) for _ in range(3)]
        line = [
            (px, base - height * sum(a * math.sin(f * px / width * 3 + p) for f, p, a in waves))
            for px in range(0, width + 8, 8)
        ]
        draw.polygon([*line, (width, height), (0, height)], fill=colour(0.04, 0.5, 0.62 - 0.14 * layer))
    file = io.BytesIO()
    image.save(file, format, quality=82)
    return file.getvalue()
