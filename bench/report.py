"""Writes the report: docs/performance.md or another page, with its plots and raw numbers beside it."""

import math
import re
import statistics
from pathlib import Path

from bench import knee
from bench.compare import TITLE, measured, summary
from bench.figures import FIGURES, Figure
from bench.plot import Line, draw, draw_factors
from bench.record import Record
from bench.rows import uploads

_UNITS = {"KiB": 2**10, "MiB": 2**20}


def publish(record: Record, folder: Path) -> Path:
    """Writes the page and its plots into the folder. Returns the path of the page."""
    pictures = folder / "performance"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, title, x_label, y_label, prefix in (
        (
            "fragments",
            "Throughput by size of the fragments",
            "bytes of a fragment",
            "MB/s",
            uploads.BY_FRAGMENT,
        ),
        ("sizes", "Time by size of the image", "bytes of the image", "seconds", uploads.BY_SIZE),
        ("streams", "10 KB images, acknowledged", "streams at a time", "images per second", "10 KB images,"),
    ):
        lines = series(record, prefix)
        if lines:
            (pictures / f"{name}.svg").write_text(draw(lines, title=title, x_label=x_label, y_label=y_label))
            drawn.append(f"![{title}](performance/{name}.svg)")
    if factors := [(f"{one.work} / {one.peer}", factor) for factor, one in measured(record)]:
        (pictures / "factors.svg").write_text(draw_factors(factors, title=TITLE))
    page = folder / "performance.md"
    page.write_text(
        "\n".join(
            [
                *_head(record),
                *summary(record),
                *_how(record),
                *_figures(record),
                *_growth(record),
                *drawn,
                *_more_machines(record),
                *_rows(record),
            ]
        )
        + "\n"
    )
    return page


def series(record: Record, prefix: str) -> list[Line]:
    """A line for each contender, over the rows whose names begin with `prefix`. The number in the name is
    x."""
    lines: dict[str, list[tuple[float, float]]] = {}
    rows = (item for piece in record.pieces.values() for item in piece.values.items())
    for row, contenders in rows:
        found = re.fullmatch(r"[ ,]*(\d+) (\w+)", row.removeprefix(prefix))
        if row.startswith(prefix) and found:
            x = int(found[1]) * _UNITS.get(found[2], 1)
            for name in contenders:
                lines.setdefault(name, []).append((x, record.median(row, name)))
    return [Line(name, sorted(points)) for name, points in lines.items()]


def exponent(points: list[tuple[float, float]]) -> float:
    """The exponent with which y grows with x, over the upper half of the points: 1 means linear, 2
    quadratic."""
    upper = points[len(points) // 2 - (len(points) < 4) :] if len(points) > 1 else points
    slope, _ = statistics.linear_regression([math.log(x) for x, _ in upper], [math.log(y) for _, y in upper])
    return slope


def plain(value: float, digits: int) -> str:
    """A number with that many digits, or all before the point if these are more: never as 1.2e+04."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _head(record: Record) -> list[str]:
    lines = [
        "# Performance",
        "",
        "This page is written by `make bench`, from [the raw numbers](performance/results.json);"
        " `bench/README.md` says how they are measured.",
        "",
    ]
    if record.quick:
        lines[-1:] = [
            "**This was a quick run (QUICK=1), with fewer rounds and smaller work. It shows that the bench"
            " works; draw no conclusions from its numbers. Rows keep their full names.**",
            "",
        ]
    return lines


def _more_machines(record: Record) -> list[str]:
    try:
        tables = list(knee.tables(record))
    except KeyError:
        return []
    return [
        "",
        "## How far more machines go",
        "",
        "Images of 10 KB per second, worked out by `bench/knee.py` from what each costs. A server has a"
        f" machine with {knee.SERVER_CORES} processors, and PostgreSQL one with those of the row. In brackets"
        " stands what keeps the servers from more. At the knee, another server brings less than a tenth of"
        " what the first does.",
        "",
        *tables,
    ]


def _how(record: Record) -> list[str]:
    """With what, where and when it was measured."""
    pieces = record.pieces
    rounds = min((piece.rounds for piece in pieces.values()), default=0)
    lines = [
        "## How it was measured",
        "",
        f"The numbers are medians of {rounds} or more rounds, in which the contenders of a row took turns"
        " within one run. Ratios are of medians of the same run.",
    ]
    for what, told in (
        ("The machine had", lambda piece: piece.machine),
        (
            "Measured at commit",
            lambda piece: piece.commit.replace("+", " with changes that were not committed"),
        ),
    ):
        by: dict[str, list[str]] = {}
        for name, piece in pieces.items():
            by.setdefault(told(piece) or "unknown", []).append(name)
        for value, names in by.items():
            lines.append(f"- {what} {value}" + (f": {', '.join(names)}" if len(by) > 1 else "."))
    for name, piece in pieces.items():
        if piece.failure:
            shown = "the numbers below are those of an earlier run" if piece.values else "it has no numbers"
            lines.append(f"- **{name} failed** when it was last measured ({piece.failure}); {shown}.")
        lines += [f"- {name}: {note}" for note in piece.notes]
    if record.minutes:
        lines.append(f"- It took {record.minutes:.0f} minutes.")
    return [*lines, ""]


def _figures(record: Record) -> list[str]:
    """Beside what is not met stands how far the least of the work gets."""
    found = [(figure, figure.measure(record)) for figure in FIGURES]
    outcomes = [figure.met(value) for figure, value in found if value is not None]
    met, missed, open_ = sum(outcomes), outcomes.count(False), len(found) - len(outcomes)
    lines = [
        "## Figures",
        "",
        f"Goals that were set before anything was measured: {met} are met, {missed} are not"
        + (f", and {open_} were not measured. " if open_ else ". ")
        + "Beside one that is not met stands how far bare software or the disk gets in the same run, where"
        " that is known.",
        "",
        "| work | wanted | measured | |",
        "| --- | --- | --- | --- |",
    ]
    for figure, value in found:
        if value is None:
            lines.append(f"| {figure.work} | {figure.wanted()} | – | not measured |")
        else:
            outcome = "met" if figure.met(value) else f"**not met**{_limit(figure, record)}"
            measured = plain(value, 3)
            lines.append(f"| {figure.work} | {figure.wanted()} | {measured} {figure.unit} | {outcome} |")
    return [line.replace("  |", " |") for line in lines] + [""]


def _limit(figure: Figure, record: Record) -> str:
    limit = figure.measure_limit(record)
    return "" if limit is None else f"; {figure.limited_by}: {plain(limit, 3)}"


def _growth(record: Record) -> list[str]:
    lines = [line for line in series(record, uploads.BY_SIZE) if len(line.points) > 1]
    if not lines:
        return []
    powers = "; ".join(f"{line.name} with size^{exponent(line.points):.2f}" for line in lines)
    return [f"Over the larger images, time grows as follows: {powers}.", ""]


def _rows(record: Record) -> list[str]:
    lines = ["", "## Rows"]
    for piece in record.pieces.values():
        for row, contenders in piece.values.items():
            lines += _row(record, row, contenders)
    return lines


def _row(record: Record, row: str, contenders: dict[str, list[float]]) -> list[str]:
    first = record.median(row, next(iter(contenders)))
    lines = [
        "",
        f"### {row}",
        "",
        f"| | median, {record.unit(row)} | least – most | / first |",
        "| --- | --- | --- | --- |",
    ]
    for name, values in contenders.items():
        median = record.median(row, name)
        spread = f"{plain(min(values), 4)} – {plain(max(values), 4)}"
        lines.append(f"| {name} | {plain(median, 4)} | {spread} | {plain(median / first, 3)} |")
    return lines
