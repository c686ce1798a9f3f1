"""`make soak`: works with a server for SOAK_MINUTES (30), and fails if something grows that should not.

The data stays in build/soak, and the next run goes on with it: so many runs are one long one. Each writes a
line for each minute to build/soak/minutes.jsonl, and draws all minutes so far in build/soak/soak.svg; with
--page, in docs/performance/soak.svg. --new begins again.
"""

import argparse
import asyncio
import json
import shutil
import sys
from pathlib import Path

from conexiones.testing import Server
from tests.soak.minute import Minute
from tests.soak.plot import draw
from tests.soak.soak import SETTINGS, soak
from tests.soak.verdict import MIB, QUIET, broken, errors_of, quiet
from tests.soak.work import Amounts
from tests.support.paths import ROOT

OUT = ROOT / "build" / "soak"
PAGE = ROOT / "docs" / "performance" / "soak.svg"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--pace", type=float, default=1.0, help="2 is half as much work in the same time")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for the data and the figures")
    parser.add_argument("--page", action="store_true", help="write the plot into docs, too")
    parser.add_argument("--new", action="store_true", help="begin again, with no data")
    options = parser.parse_args()
    if options.new and options.out.exists():
        shutil.rmtree(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = options.out / "minutes.jsonl"
    before = _read(lines)
    piece = max((minute.piece for minute in before), default=0) + 1
    minutes: list[Minute] = []

    def on_minute(minute: Minute) -> None:
        minutes.append(minute)
        with lines.open("a") as file:
            file.write(json.dumps(minute.as_json()) + "\n")
        _show(minute)

    server = Server(options.out / "data", SETTINGS)
    server.start()
    with server:
        wrong = asyncio.run(
            soak(
                server,
                piece=piece,
                minutes=options.minutes,
                amounts=Amounts(pace=options.pace),
                on_minute=on_minute,
            )
        )
    wrong += errors_of(server.log, killed=sum(minute.faults.get("writer", 0) for minute in minutes))
    wrong += broken(minutes)
    plot = draw([*before, *minutes])
    (options.out / "soak.svg").write_text(plot)
    if options.page:
        PAGE.write_text(plot)
    for line in wrong:
        print(f"! {line}")
    if not quiet(minutes):
        print(
            "Latencies were not judged: in too few minutes did other programs take at most"
            f" {QUIET:.0%} of the processors."
        )
    calls = sum(minute.calls for minute in minutes)
    verdict = "failed" if wrong else "as it should be"
    print(f"Piece {piece}: {len(minutes)} minutes, {calls:,} calls, {verdict}.")
    return 1 if wrong else 0


def _read(lines: Path) -> list[Minute]:
    if not lines.exists():
        return []
    return [Minute.from_json(json.loads(line)) for line in lines.read_text().splitlines()]


def _show(minute: Minute) -> None:
    errors = ", ".join(f"{count} × {what}" for what, count in minute.errors.items())
    print(
        f"{minute.piece}.{minute.minute}: {minute.calls:,} calls; {minute.memory / MIB:.0f} MiB,"
        f" {minute.descriptors} descriptors, {minute.threads} threads; disk {minute.disk / MIB:.0f} MiB"
        f" for {minute.content / MIB:.0f}; GetUser p95 {1000 * minute.p95.get('GetUser', 0):.0f} ms;"
        f" others {minute.others:.0%}; {errors or 'no error'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
