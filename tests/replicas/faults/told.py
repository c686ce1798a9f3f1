"""What clients of both languages were told."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tests.support.waiting import DEADLINE

Line = tuple[str, str]
"""What happened, as the database calls it, and the id of the image."""


@dataclass
class Told:
    """`stored` has the name of the content by the id of each image that was acknowledged, `owners` whose it
    is. `unsure` are the ids of images of which it is not known whether they were deleted. `heard` has the
    events of each watcher. `failed` counts calls that were given up, by reason; `wrong` are sentences about
    what must not happen."""

    stored: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    heard: dict[str, list[Line]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    def kept(self, owner: str = "") -> list[str]:
        """The ids of images that are there, of one owner or of all."""
        gone = self.deleted | self.unsure
        return [id for id in self.stored if id not in gone and owner in ("", self.owners[id])]

    async def note(self) -> None:
        async with self.more:
            self.more.notify_all()

    async def store(self, id: str, content: str, owner: str, what: str) -> None:
        if id in self.stored:
            self.wrong.append(f"{id} was acknowledged twice")
        self.stored[id], self.owners[id] = content, owner
        await self.did(what)

    async def did(self, what: str) -> None:
        self.done[what] += 1
        await self.note()

    async def progress(self, least: int) -> None:
        """Waits until clients of both languages were told so often that something is stored."""

        def count() -> tuple[int, int]:
            languages = Counter(what.partition(" ")[0] for what in self.done.elements())
            return languages["Python"], languages["Node"]

        python, node = count()
        async with asyncio.timeout(DEADLINE), self.more:
            await self.more.wait_for(
                lambda: self.wrong or (count()[0] >= python + least and count()[1] >= node + least // 2)
            )
