"""`make bench`: measures all rows, or the named ones, and writes the report."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measures import Results
from bench.peers.server_process import ROOT
from bench.record import Record
from bench.report import publish
from bench.rows import (
    Bench,
    access,
    backup,
    catalog,
    folders,
    images,
    metrics,
    objects,
    originals,
    page,
    postgres,
    reads,
    renditions,
    servers,
    small,
    traces,
    transfers,
    uploads,
    users,
    watch,
)

ROWS: dict[str, Callable[[Bench], None]] = {
    "gibibyte": uploads.run_gibibyte,
    "streams": images.run_streams,
    "users": users.run,
    "large": images.run_large,
    "ping-pong": images.run_ping_pong,
    "folders": folders.run,
    "memory": uploads.run_memory,
    "catalog": catalog.run,
    "backup": backup.run,
    "transfers": transfers.run,
    "fragments": uploads.run_fragments,
    "sizes": uploads.run_sizes,
    "access": access.run,
    "metrics": metrics.run,
    "traces": traces.run,
    "renditions": renditions.run,
    "hot": reads.run_hot,
    "originals": originals.run,
    "small": small.run,
    "small-one": small.run_one,
    "watch": watch.run,
    "page": page.run,
    "postgres": postgres.run,
    "objects": objects.run,
    "servers": servers.run,
}

BUILD = ROOT / "build" / "bench"

RECORD = Path("performance", "results.json")
"""The record in the folder of a report."""


def machine() -> str:
    """A description of the machine on which the numbers were measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {platform.release()}, Python {python}"


def commit() -> str:
    """The commit of this checkout; with a + if files were changed since, and "" if it is no checkout."""
    about = ["git", "-C", str(ROOT)]
    found = subprocess.run(
        [*about, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    # What this program writes itself is no change.
    others = [":!docs/performance", ":!docs/performance.md"]
    changed = subprocess.run(
        [*about, "status", "--porcelain", "--untracked-files=no", "--", ".", *others],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() + ("+" if changed.stdout else "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all if none is named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small work and two rounds, to see that it works"
    )
    parser.add_argument(
        "--missing", action="store_true", help="leave out the rows that were measured at this commit already"
    )
    parser.add_argument(
        "--folder", type=Path, help="a folder on the disk to be measured [BENCH_DIR; build/bench]"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the folder of the report, in which the rows that are not measured now stay"
        " [docs; build/bench for some rows or a quick run]",
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, and write the report again")
    options = parser.parse_args()
    # SystemExit lets the `with` blocks end the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unknown = set(options.rows) - ROWS.keys()
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    whole = not options.quick and not options.rows
    out = options.out or (ROOT / "docs" if whole else BUILD)
    rows = [] if options.report else (options.rows or list(ROWS))
    record = Record.read(out / RECORD)
    if rows and record.pieces and record.quick != options.quick:
        if out != BUILD:
            parser.error(f"the report in {out} is of another kind of run (--quick): name another folder")
        record = Record()
    run = Run(record, out, quick=options.quick, folder=options.folder)
    failed = run.measure(rows, missing=options.missing)
    page = run.publish()
    print(page.read_text().partition("\n## Rows")[0])
    print(f"The report is {page}.")
    if failed:
        sys.exit(f"These rows failed: {', '.join(failed)}")


class Run:
    """Measures rows into a record, and keeps it in the folder of its report."""

    def __init__(self, record: Record, out: Path, *, quick: bool, folder: Path | None = None) -> None:
        self._record = record
        self._out = out
        self._quick = quick
        self._folder = folder or Path(os.environ.get("BENCH_DIR") or BUILD)

    def measure(self, rows: list[str], *, missing: bool = False) -> list[str]:
        """Measures these rows, one after the other. Each is kept as soon as it is measured. Returns the names
        of those that failed, whose earlier results stay."""
        self._folder.mkdir(parents=True, exist_ok=True)
        failed = []
        with TemporaryDirectory(prefix="run-", dir=self._folder) as folder:
            for name in rows:
                if missing and self._record.has(name, commit()):
                    continue
                print(f"{name}:", flush=True)
                results = self._one(name, Path(folder))
                failed += [name] if results.failure else []
                self._record.take(name, results)
                self.publish()
        return failed

    def _one(self, name: str, folder: Path) -> Results:
        results = self._empty()
        begin = time.perf_counter()
        try:
            ROWS[name](Bench(folder, results))
        except Exception as error:
            traceback.print_exc()
            text = (str(error).strip() or repr(error)).splitlines()[-1]
            # What was measured before the failure does not count: bytes may be wrong.
            results = self._empty()
            results.failure = f"{type(error).__name__}: {text}"
        results.minutes = round((time.perf_counter() - begin) / 60, 2)
        return results

    def _empty(self) -> Results:
        return Results(quick=self._quick, rounds=2 if self._quick else 5, machine=machine(), commit=commit())

    def publish(self) -> Path:
        """Writes the record and the report. Returns the path of the page."""
        self._record.sort(list(ROWS))
        (self._out / RECORD).parent.mkdir(parents=True, exist_ok=True)
        self._record.write(self._out / RECORD)
        return publish(self._record, self._out)


if __name__ == "__main__":
    main()
