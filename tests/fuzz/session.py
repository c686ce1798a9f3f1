"""One run of one target: it tries inputs, keeps those with faults, and adds to the counts."""

import random
import resource
import sys
import time
from dataclasses import replace

from tests.fuzz import cases
from tests.fuzz.mutation import mutated
from tests.fuzz.state import State
from tests.fuzz.target import MAX_BYTES, Check, Judge, Target

SAVE_SECONDS = 2.0


class Session:
    def __init__(self, target: Target, check: Check) -> None:
        self._target = target
        self._judge = Judge(target, check)
        self._state = State(target.name)
        self._before = self._state.counts()
        self._found = {"crash": 0, "slow": 0}
        self._saved = time.monotonic()

    def try_one(self, data: bytes) -> None:
        fault = self._judge(data)
        if fault:
            self._found[fault.kind] += 1
            if not cases.is_kept(self._target.name, fault):
                shorter = cases.reduced(data, fault, self._judge)
                path = cases.keep(self._target.name, fault, shorter)
                print(f"{self._target.name}: {fault.kind}, kept as {path}\n{fault.text}", flush=True)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        before, judge = self._before, self._judge
        counts = replace(
            before,
            inputs=before.inputs + judge.inputs,
            cpu_seconds=before.cpu_seconds + _cpu_seconds(),
            crashes=before.crashes + self._found["crash"],
            slow=before.slow + self._found["slow"],
            slowest=max(before.slowest, judge.slowest),
        )
        self._state.save(counts, judge.slowest_input if judge.slowest > before.slowest else b"")

    def blind(self, seconds: float) -> None:
        """Tries mutations of the seeds."""
        choice = random.Random(self._before.inputs)  # Another run makes other inputs.
        seeds = list(self._target.seeds())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.try_one(mutated(seeds, self._target.words, choice, MAX_BYTES))
        self.save()

    def guided(self, seconds: float) -> None:
        """Tries inputs that Atheris makes. It ends the process when the time is over."""
        import atheris

        for seed in self._target.seeds():
            self._state.add(seed)
        folder = self._state.corpus.parent
        words = folder / "words.txt"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in self._target.words))
        options = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={MAX_BYTES}",
            f"-dict={words}",
            f"-artifact_prefix={folder}/",
            "-timeout=30",
            "-rss_limit_mb=1024",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], str(self._state.corpus), *options], self.try_one)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(who)[:2]) for who in both)


def run(name: str, seconds: float, *, guided: bool) -> None:
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    with target.opened() as check:
        session = Session(target, check)
        if guided:
            session.guided(seconds)
        else:
            session.blind(seconds)
    session.save()  # Now that it has ended, the CPU time of a server counts, too.
