"""`python -m tests.attack [ROW …]`: runs rows of the suite, all if none is named."""

import argparse
import json
import sys
from pathlib import Path

from tests.attack.measure import Result, Seen, Times, measure
from tests.attack.rows import ROWS
from tests.support.paths import ROOT

OUT = ROOT / "build" / "attack"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.attack", description=__doc__)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--times", default="8,12,8")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    times = Times(
        **dict(zip(("alone", "during", "after"), map(float, options.times.split(",")), strict=True))
    )
    for name in options.rows or ROWS:
        result = measure(
            ROWS[name],
            times=times,
            checkout=options.checkout,
            settings=dict(one.split("=") for one in options.set),
        )
        (options.out / f"{name}.json").write_text(json.dumps(result.as_json(), indent=1))
        show(result)
    return 0


def show(result: Result) -> None:
    print(f"{result.row}: did {result.did}; memory {result.memory}; log {len(result.log)} lines")
    for kind in result.phases["alone"]:
        print(
            f"  {kind:13}",
            "  ".join(_shown(phase, kinds.get(kind)) for phase, kinds in result.phases.items()),
        )
    sys.stdout.flush()


def _shown(phase: str, seen: Seen | None) -> str:
    if not seen:
        return f"{phase} none"
    times = "/".join(f"{1000 * seconds:.0f}" for seconds in (seen.p50, seen.p95, seen.most))
    return f"{phase} {seen.count} × {times} {seen.failures or ''}"


if __name__ == "__main__":
    sys.exit(main())
