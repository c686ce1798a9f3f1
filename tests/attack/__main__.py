"""`make attack`: measures what a good client sees while a greedy one attacks the server.

It writes the figures of each row to build/attack/ROW.json, and all of them into docs/security.md. With names
of rows, only these are measured, and the page is left alone. With --tokens both clients come from one address
with tokens of their own: shares are by owner then. The exit status is 1 if a row breaks the
promise.
"""

import argparse
import json
import sys
from pathlib import Path

from tests.attack.measure import Result, Seen, Times, measure
from tests.attack.page import PAGE, page
from tests.attack.rows import ROWS
from tests.attack.verdict import broken
from tests.support.paths import ROOT

OUT = ROOT / "build" / "attack"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="one of " + ", ".join(ROWS))
    parser.add_argument("--checkout", type=Path, default=ROOT, help="the checkout whose server is attacked")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for the figures")
    parser.add_argument("--set", action="append", default=[], help="a setting of the server, NAME=VALUE")
    parser.add_argument("--seconds", default="3,6,3", help="how long: alone, during, after")
    parser.add_argument("--tokens", action="store_true", help="one address, a token for each client")
    parser.add_argument("--page", action="store_true", help="write the page from the figures that are there")
    options = parser.parse_args()
    if options.tokens and not options.rows:
        parser.error("--tokens needs names of rows: the page has the figures by address")
    if options.tokens and any(ROWS[row].tls for row in options.rows if row in ROWS):
        parser.error("--tokens has no rows with TLS")
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    kept = True
    if not options.page:
        alone, during, after = map(float, options.seconds.split(","))
        times = Times(alone=alone, during=during, after=after)
        settings = dict(setting.split("=", 1) for setting in options.set)
        for name in options.rows or ROWS:
            try:
                result = measure(
                    ROWS[name],
                    times=times,
                    checkout=options.checkout,
                    settings=settings,
                    by_token=options.tokens,
                )
            except RuntimeError as error:
                print(f"{name}: not measured. {error}", flush=True)
                kept = False
                continue
            (options.out / f"{name}.json").write_text(json.dumps(result.as_json(), indent=1))
            show(result)
            kept = kept and not any(broken(result))
    if not options.rows:
        PAGE.write_text(page(dict(_read(options.out))))
        print(f"The page {PAGE.relative_to(ROOT)} is written.")
    return 0 if kept else 1


def _read(folder: Path):
    for name in ROWS:
        if (file := folder / f"{name}.json").exists():
            yield name, Result.from_json(json.loads(file.read_text()))


def show(result: Result) -> None:
    did = ", ".join(f"{name} {count:,}" for name, count in result.did.items())
    memory = ", ".join(f"{when} {size}" for when, size in result.memory.items())
    print(f"{result.row}: {did}; MiB: {memory}")
    for kind in result.phases["alone"]:
        cells = (_shown(phase, kinds.get(kind)) for phase, kinds in result.phases.items())
        print(f"  {kind:13}", "   ".join(cells))
    for line in [*broken(result), *result.log[:3]]:
        print(f"  ! {line}")
    sys.stdout.flush()


def _shown(phase: str, seen: Seen | None) -> str:
    if not seen:
        return f"{phase} none"
    times = "/".join(f"{1000 * seconds:.0f}" for seconds in (seen.p50, seen.p95, seen.most))
    return f"{phase} {seen.count} × {times}"


if __name__ == "__main__":
    sys.exit(main())
