"""Progress that people can watch: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from mar.terminal import Terminal, visible


class Bar(Protocol):
    """One piece of work under way."""

    def advance(self, by: int = 1, *, note: str = "") -> None:
        """So much more is done."""
        ...


class Progress:
    """Shows what a run is doing, on standard error, so that tables on standard output stay clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Terminal(stderr=True)

    def say(self, text: str) -> None:
        """One line for people."""
        if not self.quiet:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, what: str, *, total: int) -> Generator[Bar]:
        """A bar for one piece of work."""
        if self.quiet:
            yield _Silent()
        elif self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            remaining, note = TimeRemainingColumn(), TextColumn("{task.fields[note]}")
            with RichProgress(*columns, remaining, note, console=self._console, transient=True) as shown:
                yield _Rich(shown, shown.add_task(what, total=total, note=""))
        else:
            yield _Lines(what, total)


class _Silent:
    def advance(self, by: int = 1, *, note: str = "") -> None:
        """Nothing to show."""


class _Rich:
    def __init__(self, shown: RichProgress, task: object) -> None:
        self._shown, self._task = shown, task

    def advance(self, by: int = 1, *, note: str = "") -> None:
        """Move the bar."""
        self._shown.update(self._task, advance=by, note=note)  # pyright: ignore[reportArgumentType]


class _Lines:
    """A line at most every ten seconds, for logs."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._last = time.monotonic()

    def advance(self, by: int = 1, *, note: str = "") -> None:
        """Count, and say so when it is time."""
        self._done += by
        now = time.monotonic()
        if now - self._last >= 10:
            self._last = now
            print(visible(f"{self._what}: {self._done}/{self._total} {note}".rstrip()), file=sys.stderr, flush=True)
