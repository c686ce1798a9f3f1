"""`make bench`: measures all rows, or the named ones, and writes the report."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measures import Results
from bench.peers.server_process import ROOT
from bench.report import publish
from bench.rows import (
    Bench,
    access,
    backup,
    catalog,
    folders,
    images,
    metrics,
    node,
    objects,
    page,
    postgres,
    reads,
    renditions,
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
    "originals": reads.run_originals,
    "small": small.run,
    "small-one": small.run_one,
    "watch": watch.run,
    "node": node.run,
    "page": page.run,
    "postgres": postgres.run,
    "objects": objects.run,
}

BUILD = ROOT / "build" / "bench"


def machine() -> str:
    """A description of the machine on which the numbers were measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {platform.release()}, Python {python}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all if none is named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small work and two rounds, to see that it works"
    )
    parser.add_argument(
        "--folder", type=Path, help="a folder on the disk to be measured [BENCH_DIR; build/bench]"
    )
    parser.add_argument(
        "--out", type=Path, help="the folder of the report [docs; build/bench for some rows or a quick run]"
    )
    parser.add_argument("--from", dest="source", type=Path, help="raw numbers from which to write the report")
    options = parser.parse_args()
    # SystemExit lets the `with` blocks end the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unknown = set(options.rows) - ROWS.keys()
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    whole = not options.quick and not options.rows
    out = options.out or (ROOT / "docs" if whole else BUILD)
    if options.source:
        results = Results.from_json(json.loads(options.source.read_text()))
    else:
        results = measure(options.rows or list(ROWS), quick=options.quick, folder=options.folder)
    page = publish(results, out)
    print(page.read_text().partition("\n## Rows")[0])
    print(f"The report is {page}.")


def measure(rows: list[str], *, quick: bool, folder: Path | None = None) -> Results:
    """Measures these rows, one after the other, in an empty folder on the disk to be measured."""
    results = Results(quick=quick, rounds=2 if quick else 5, machine=machine())
    root = folder or Path(os.environ.get("BENCH_DIR") or BUILD)
    root.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with TemporaryDirectory(prefix="run-", dir=root) as run:
        for name in rows:
            print(f"{name}:", flush=True)
            ROWS[name](Bench(Path(run), results))
    results.note(f"It took {(time.perf_counter() - begin) / 60:.1f} minutes.")
    return results


if __name__ == "__main__":
    main()
