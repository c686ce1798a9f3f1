"""Writes the report: docs/performance.md or another page, with its plots and raw numbers beside it."""

import json
import math
import re
import statistics
from pathlib import Path

from bench.figures import FIGURES
from bench.measures import Results
from bench.plot import Line, draw
from bench.rows import uploads

_UNITS = {"KiB": 2**10, "MiB": 2**20}


def publish(results: Results, folder: Path) -> Path:
    """Writes the page, its plots and its raw numbers into the folder. Returns the path of the page."""
    pictures = folder / "performance"
    pictures.mkdir(parents=True, exist_ok=True)
    data = json.dumps(results.as_json(), indent=1, ensure_ascii=False)
    (pictures / "results.json").write_text(data + "\n")
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
        lines = series(results, prefix)
        if lines:
            (pictures / f"{name}.svg").write_text(draw(lines, title=title, x_label=x_label, y_label=y_label))
            drawn.append(f"![{title}](performance/{name}.svg)")
    page = folder / "performance.md"
    page.write_text(
        "\n".join([*_head(results), *_figures(results), *_growth(results), *drawn, *_rows(results)]) + "\n"
    )
    return page


def series(results: Results, prefix: str) -> list[Line]:
    """A line for each contender, over the rows whose names begin with `prefix`. The number in the name is
    x."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row, contenders in results.values.items():
        found = re.fullmatch(r"[ ,]*(\d+) (\w+)", row.removeprefix(prefix))
        if row.startswith(prefix) and found:
            x = int(found[1]) * _UNITS.get(found[2], 1)
            for name in contenders:
                lines.setdefault(name, []).append((x, results.median(row, name)))
    return [Line(name, sorted(points)) for name, points in lines.items()]


def exponent(points: list[tuple[float, float]]) -> float:
    """The exponent with which y grows with x, over the upper half of the points: 1 means linear, 2
    quadratic."""
    upper = points[len(points) // 2 - (len(points) < 4) :] if len(points) > 1 else points
    slope, _ = statistics.linear_regression([math.log(x) for x, _ in upper], [math.log(y) for _, y in upper])
    return slope


def _head(results: Results) -> list[str]:
    how = (
        f"The numbers are medians of {results.rounds} or more rounds, in which the contenders took turns"
        " within one run. Ratios are of medians of this run."
    )
    lines = [
        "# Performance",
        "",
        "This page is written by `make bench`, from [the raw numbers](performance/results.json);"
        " `bench/README.md` says how they are measured.",
        how,
        f"The machine has {results.machine}.",
    ]
    if results.quick:
        lines.append(
            "**This was a quick run (QUICK=1), with fewer rounds and smaller work. It shows that the bench"
            " works; draw no conclusions from its numbers. Rows keep their full names.**"
        )
    return [*lines, *(f"- {note}" for note in results.notes), ""]


def _figures(results: Results) -> list[str]:
    lines = ["## Figures", "", "| work | wanted | measured | |", "| --- | --- | --- | --- |"]
    for figure in FIGURES:
        value = figure.measure(results)
        if value is None:
            lines.append(f"| {figure.work} | {figure.wanted()} | – | not measured |")
        else:
            outcome = "met" if figure.met(value) else "**not met**"
            lines.append(f"| {figure.work} | {figure.wanted()} | {value:.3g} {figure.unit} | {outcome} |")
    return [line.replace("  |", " |") for line in lines] + [""]


def _growth(results: Results) -> list[str]:
    lines = [line for line in series(results, uploads.BY_SIZE) if len(line.points) > 1]
    if not lines:
        return []
    powers = "; ".join(f"{line.name} with size^{exponent(line.points):.2f}" for line in lines)
    return [f"Over the larger images, time grows as follows: {powers}.", ""]


def _rows(results: Results) -> list[str]:
    lines = ["", "## Rows"]
    for row, contenders in results.values.items():
        unit = results.units[row]
        first = results.median(row, next(iter(contenders)))
        lines += [
            "",
            f"### {row}",
            "",
            f"| | median, {unit} | least – most | / first |",
            "| --- | --- | --- | --- |",
        ]
        for name, values in contenders.items():
            median = results.median(row, name)
            spread = f"{min(values):.4g} – {max(values):.4g}"
            lines.append(f"| {name} | {median:.4g} | {spread} | {median / first:.3g} |")
    return lines
