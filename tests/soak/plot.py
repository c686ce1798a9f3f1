"""The minutes of all pieces as small plots below each other, in SVG."""

from collections.abc import Callable, Sequence
from html import escape

from tests.soak.minute import Minute

WIDTH, HEIGHT = 760, 120
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 26, 14
MIB = 1 << 20

_SERIES: list[tuple[str, Callable[[Minute], float]]] = [
    ("memory of all processes, MiB (peak of each minute)", lambda minute: minute.memory / MIB),
    ("descriptors", lambda minute: minute.descriptors),
    ("threads", lambda minute: minute.threads),
    ("disk, MiB", lambda minute: minute.disk / MIB),
    ("content, MiB", lambda minute: minute.content / MIB),
    ("GetUser, p95 in ms", lambda minute: 1000 * minute.p95.get("GetUser", 0.0)),
    (
        "ImageStreamReply of 50 images, p95 in ms",
        lambda minute: 1000 * minute.p95.get("ImageStreamReply", 0.0),
    ),
    ("large upload, p95 in ms", lambda minute: 1000 * minute.p95.get("upload of a large image", 0.0)),
    ("rendition, p95 in ms", lambda minute: 1000 * minute.p95.get("rendition", 0.0)),
    ("processors' time that other programs took, %", lambda minute: 100 * minute.others),
]


def draw(minutes: Sequence[Minute]) -> str:
    """Vertical lines are starts of the server, with which a piece begins."""
    height = HEIGHT * len(_SERIES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, (name, value) in enumerate(_SERIES):
        parts += _one(name, [value(minute) for minute in minutes], _starts(minutes), number * HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def _starts(minutes: Sequence[Minute]) -> list[int]:
    return [number for number in range(1, len(minutes)) if minutes[number].piece != minutes[number - 1].piece]


def _one(name: str, values: list[float], starts: list[int], above: float) -> list[str]:
    most = max(values) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(values) - 1)
    low, high = above + HEIGHT - BOTTOM, above + TOP

    def at(number: float, value: float) -> str:
        return f"{LEFT + number * step:.1f},{low - value / most * (low - high):.1f}"

    points = " ".join(at(number, value) for number, value in enumerate(values))
    lines = [
        f'<text x="{LEFT}" y="{above + 16}" font-size="12" fill="#0f172a">{escape(name)}</text>',
        f'<text x="{LEFT - 6}" y="{high + 6}" font-size="11" text-anchor="end">{most:.4g}</text>',
        f'<text x="{LEFT - 6}" y="{low + 4}" font-size="11" text-anchor="end">0</text>',
        f'<line x1="{LEFT}" y1="{low}" x2="{WIDTH - RIGHT}" y2="{low}" stroke="#cbd5e1"/>',
    ]
    for start in starts:
        x = LEFT + (start - 0.5) * step
        lines.append(f'<line x1="{x:.1f}" y1="{high}" x2="{x:.1f}" y2="{low}" stroke="#c1121f"/>')
    lines.append(f'<polyline points="{points}" fill="none" stroke="#0b6e4f" stroke-width="1.5"/>')
    return lines
