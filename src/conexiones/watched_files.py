"""Files that are read again whenever they change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

WATCH_SECONDS = 2.0
"""Time between two looks at the files."""

Versions = tuple[tuple[int, int, int], ...]

log = logging.getLogger("conexiones.files")


class WatchedFiles:
    """Files, and `load`, which reads them and raises ValueError, with a sentence for the operator, if they
    are bad, or OSError: then what was read before goes on. `what` names the files in the log.

    With `every`, in seconds, `load` is also called at intervals, for what is no file.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        load: Callable[[], Awaitable[None]],
        *,
        what: str,
        every: float | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._load = load
        self._what = what
        self._every = every
        self._again = asyncio.Event()
        self._seen: Versions = ()

    async def first(self, load: Callable[[], Awaitable[None]] | None = None) -> None:
        """Loads the files at the start, in another way if `load` is given, and raises what that raises. What
        changes from now on is found by `watch`, however much later that begins."""
        self._seen = self._versions()
        await (load or self._load)()

    def again(self) -> None:
        """Has `watch` read the files at once."""
        self._again.set()

    async def watch(self) -> None:
        """Loads the files whenever they change, until it is cancelled. Logs once that they are bad."""
        seen = refused = self._seen
        said = ""
        while True:
            asked = await self._asked()
            versions = self._versions()
            if versions == seen and not asked and not self._every:
                continue
            try:
                await self._load()
            except (ValueError, OSError) as error:
                # Not when it is first seen: another file that belongs to it may not have been replaced yet.
                if versions == refused or asked:
                    if asked or said != str(error):
                        log.error("%s The old ones go on.", error)
                    said, seen = str(error), versions
                refused = versions
            else:
                if asked or said or versions != seen:
                    log.info("The %s were read again", self._what)
                said, seen = "", versions

    async def _asked(self) -> bool:
        """Waits for the next time to look; says whether somebody asked for it."""
        asked = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every or WATCH_SECONDS):
                asked = await self._again.wait()
        self._again.clear()
        return asked

    def _versions(self) -> Versions:
        found = []
        for path in self._paths:
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)
