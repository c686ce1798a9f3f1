"""Plots in SVG: lines over two logarithmic axes, on which a power law is a straight line, and bars of
factors."""

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 250, 58, 50
_COLOURS = ["#0b6e4f", "#c1121f", "#1d4ed8", "#b45309", "#6d28d9", "#475569"]


@dataclass(frozen=True, slots=True)
class Line:
    """The points of one line, with x and y above 0, sorted by x."""

    name: str
    points: list[tuple[float, float]]


class _Axis:
    """A logarithmic axis, which maps values to pixels."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        self._low, self._high = math.log(min(values)), math.log(max(values))
        if self._low == self._high:
            self._low, self._high = self._low - 1, self._high + 1
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        share = (math.log(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def decades(self) -> list[float]:
        """Round values of the axis: 1, 2 and 5 times the powers of ten."""
        powers = range(math.floor(self._low / math.log(10)), math.ceil(self._high / math.log(10)) + 1)
        steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return [step for step in steps if self._low <= math.log(step) <= self._high]


def draw(lines: list[Line], *, title: str, x_label: str, y_label: str) -> str:
    """The plot as SVG text. The x axis has a mark for each x of the points."""
    xs = sorted({x for line in lines for x, _ in line.points})
    across = _Axis(xs, LEFT, WIDTH - RIGHT)
    up = _Axis([y for line in lines for _, y in line.points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, anchor="middle"),
        _text(8, TOP - 8, y_label),
    ]
    for x in xs:
        parts.append(_rule(across.at(x), TOP, across.at(x), HEIGHT - BOTTOM))
        parts.append(_text(across.at(x), HEIGHT - BOTTOM + 16, _short(x), anchor="middle"))
    for y in up.decades():
        parts.append(_rule(LEFT, up.at(y), WIDTH - RIGHT, up.at(y)))
        parts.append(_text(LEFT - 6, up.at(y) + 4, f"{y:g}", anchor="end"))
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(across.at(x), up.at(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_text(WIDTH - RIGHT + 14, TOP + 12 + 20 * number, line.name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


BAR, LABEL = 22, 560
"""The height of a bar with its gap, and the width of the labels before the bars."""


def draw_factors(factors: list[tuple[str, float]], *, title: str) -> str:
    """A bar for each factor, from 1 to it: those above go to the right, and those below to the left. The axis
    is logarithmic, so that twice as fast and half as fast are equally long."""
    axis = _Axis([value for _, factor in factors for value in (factor, 1)], LABEL, WIDTH + LABEL - RIGHT)
    width, height = WIDTH + LABEL - RIGHT + 60, TOP + BAR * len(factors) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(8, 20, title, size=15),
    ]
    for mark in axis.decades():
        parts.append(_rule(axis.at(mark), TOP - 8, axis.at(mark), height - 10))
        parts.append(_text(axis.at(mark), TOP - 14, f"{mark:g}", anchor="middle"))
    for number, (label, factor) in enumerate(factors):
        y, (left, right) = TOP + BAR * number, sorted((axis.at(1), axis.at(factor)))
        colour = _COLOURS[0 if factor >= 1 else 1]
        bar = f'x="{left}" y="{y}" width="{max(1, right - left):.1f}" height="{BAR - 6}"'
        parts.append(f'<rect {bar} fill="{colour}"/>')
        parts.append(_text(8, y + 12, label))
        parts.append(_text(right + 6, y + 12, f"{factor:.2g}", colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _short(value: float) -> str:
    for size, name in ((2**20, " Mi"), (2**10, " Ki")):
        if value >= size and value % size == 0:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#e2e8f0"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#0f172a"
) -> str:
    look = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {look}>{escape(text)}</text>'
