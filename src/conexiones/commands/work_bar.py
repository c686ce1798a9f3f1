"""How far long work in this process has come: a bar on a terminal, or lines of JSON."""

import sys
import time
from typing import Any

import click

from conexiones.commands.text import json_line

REFRESH_SECONDS = 0.1

JSON_SECONDS = 1.0
"""Time between two lines about the progress."""


class WorkBar:
    """A Progress. On standard error it shows a bar if that is a terminal; with `as_json`, it prints a line
    with `step`, `done` and `total` now and then, on standard error too."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._next = time.monotonic() + (JSON_SECONDS if as_json else 0.0)
        self._progress: Any = None
        self._task: Any = None
        self._step = ""
        if as_json or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            auto_refresh=False,
        )

    def __enter__(self) -> "WorkBar":
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next and step == self._step:
            return
        if self._json:
            if now >= self._next:
                self._next = now + JSON_SECONDS
                click.echo(json_line(step=step, done=done, total=total), err=True)
            self._step = step
            return
        self._next = now + REFRESH_SECONDS
        if self._progress:
            if step != self._step:
                if self._task is not None:
                    self._progress.remove_task(self._task)
                self._task = self._progress.add_task(step, total=total)
            self._progress.update(self._task, completed=done, total=total)
            self._progress.refresh()
        self._step = step

    def say(self, text: str) -> None:
        """Prints a line on standard output, above the bar."""
        if self._progress and sys.stdout.isatty():
            self._progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
        else:
            click.echo(text)
