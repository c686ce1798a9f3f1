"""The search for the files that cost the most: hill climbing over the units of a grammar.

`python -m tests.domain.formats.search [MIB] [GRAMMAR …]` climbs by the CPU time of files of that size (64),
in memory and as files, and prints the worst of each grammar, also as the beginning of a file of 16 GiB.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from conexiones.adapters.blobs.local.file_view import FileView
from conexiones.direct_file import DirectFile
from conexiones.domain.formats import PEEK_BYTES, peek, probe
from conexiones.errors import ImageError
from tests.domain.formats.grammars import GRAMMARS, Grammar

Units = Sequence[bytes]

HUGE = 16 << 30
"""Bytes of the largest image."""


def climbed(
    grammar: Grammar, cost: Callable[[Units], float], steps: int, random: Random
) -> tuple[float, Units]:
    """The highest cost that was found, and the units with it."""
    best: Units = [grammar.unit(random)]
    highest = cost(best)
    for _ in range(steps):
        units = _changed(best, grammar, random)
        found = cost(units)
        if found >= highest:
            highest, best = found, units
    return highest, best


def _changed(units: Units, grammar: Grammar, random: Random) -> Units:
    changed = list(units)
    match random.randrange(4):
        case 0:
            return [grammar.unit(random)]
        case 1 if len(changed) > 1:
            changed.pop(random.randrange(len(changed)))
        case 2:
            changed[random.randrange(len(changed))] = grammar.unit(random)
        case _:
            changed.insert(random.randrange(len(changed) + 1), grammar.unit(random))
    return changed


def seconds(work: Callable[[], object]) -> float:
    """The CPU time of the work."""
    before = time.thread_time()
    with suppress(ImageError):
        work()
    return time.thread_time() - before


def timed(data: bytes, path: Path) -> dict[str, float]:
    """The CPU seconds of judging a file in memory and on a disk, and of looking at its first bytes."""
    path.write_bytes(data)
    with closing(DirectFile(path)) as file, closing(FileView(file, len(data))) as view:
        return {
            "in memory": seconds(lambda: probe(data)),
            "as a file": seconds(lambda: probe(view)),
            "peek": seconds(lambda: peek(data[:PEEK_BYTES])),
        }


def huge(data: bytes, path: Path) -> float:
    """The CPU seconds, with those of reading, of a file of HUGE bytes that begins so and has no end."""
    path.write_bytes(data[:-12])
    with path.open("r+b") as sparse:
        sparse.truncate(HUGE)
    with closing(DirectFile(path)) as file, closing(FileView(file, HUGE)) as view:
        return seconds(lambda: probe(view))


def main(mib: float, names: Sequence[str], steps: int = 15) -> None:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="conexiones-search-", dir=shm if shm.is_dir() else None
    ) as folder:
        for name in names or GRAMMARS:
            worst: dict[str, float] = {}

            def cost(
                units: Units, grammar: Grammar = GRAMMARS[name], worst: dict[str, float] = worst
            ) -> float:
                data = grammar.file(units, int(mib * (1 << 20)))
                found = timed(data, Path(folder) / "image")
                for key, value in found.items():
                    worst[key] = max(value, worst.get(key, 0.0))
                return max(found.values())

            _, units = climbed(GRAMMARS[name], cost, steps, Random(name))
            longest = GRAMMARS[name].file(units, int(mib * (1 << 20)))
            worst["16 GiB"] = huge(longest, Path(folder) / "image")
            figures = ", ".join(f"{key} {value:.3f} s" for key, value in worst.items())
            print(f"{name}: {figures}; the worst repeats {[unit[:8].hex() for unit in units]}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 64, sys.argv[2:])
