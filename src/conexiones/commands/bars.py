"""Progress bars for transfers, on standard error."""

import asyncio
import sys
from typing import Any

import click

REFRESH_SECONDS = 0.1
"""Time between two redraws of the progress bars."""


class Bars:
    """A progress bar for each transfer, on standard error. Shows none if `hidden` or if that is no terminal.

    The event loop redraws them. rich's own thread would leave stray bars behind when it redraws while a line
    is printed.
    """

    def __init__(self, *, hidden: bool) -> None:
        self._progress: Any = None
        if hidden or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        # Names are shortened first, so that the bar stays visible with a long name or a narrow terminal.
        name = Column(ratio=2, no_wrap=True, overflow="ellipsis")
        numbers = [Column(no_wrap=True, justify="right") for _ in range(3)]
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            DownloadColumn(table_column=numbers[0]),
            TransferSpeedColumn(table_column=numbers[1]),
            TimeRemainingColumn(table_column=numbers[2]),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            auto_refresh=False,
        )

    @property
    def hidden(self) -> bool:
        return self._progress is None

    def __enter__(self) -> "Bars":
        if self._progress:
            self._progress.start()
            self._refresh()
        return self

    def _refresh(self) -> None:
        self._progress.refresh()
        self._later = asyncio.get_running_loop().call_later(REFRESH_SECONDS, self._refresh)

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._later.cancel()
            self._progress.stop()

    def add(self, name: str, total: int | None) -> "Bar":
        return Bar(self._progress, name, total)

    def say(self, text: str, *, err: bool = False) -> None:
        """Prints lines on standard output or error, above the bars if they share the terminal."""
        if self._progress and (err or sys.stdout.isatty()):
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            click.echo(text, err=err)


class Bar:
    """The bar of one transfer. It is called as the SDK calls `progress`."""

    def __init__(self, progress: Any, name: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total) if progress else None

    def __call__(self, done: int, total: int | None) -> None:
        if self._progress:
            self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        if self._progress:
            self._progress.remove_task(self._task)
