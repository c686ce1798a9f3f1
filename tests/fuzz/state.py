"""What fuzzing has learnt and counted so far, in build/fuzz: another run goes on from there."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tests.support.paths import ROOT

FOLDER = ROOT / "build" / "fuzz"


@dataclass(slots=True, kw_only=True)
class Counts:
    """Of one target, over all runs. `slowest` are seconds; its input has the name `slowest.bin`."""

    inputs: int = 0
    cpu_seconds: float = 0.0
    crashes: int = 0
    slow: int = 0
    slowest: float = 0.0


class State:
    """The folder of one target: its corpus and its counts."""

    def __init__(self, target: str) -> None:
        self._folder = FOLDER / target
        self.corpus = self._folder / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)
        self._file = self._folder / "counts.json"

    def counts(self) -> Counts:
        return Counts(**json.loads(self._file.read_text())) if self._file.exists() else Counts()

    def save(self, counts: Counts, slowest: bytes) -> None:
        if slowest:
            (self._folder / "slowest.bin").write_bytes(slowest)
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(asdict(counts)))
        whole.replace(self._file)

    def add(self, data: bytes) -> None:
        (self.corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def inputs(self) -> Iterator[bytes]:
        for path in sorted(self.corpus.iterdir()):
            yield path.read_bytes()
