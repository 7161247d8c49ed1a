"""How far a sweep is, in one line."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from notebook_pipeline.repro.progress import INTERVAL, make_console


class PointsLine:
    """The points that are done, in a line that changes in its place; without a terminal, some."""

    def __init__(self, count: int) -> None:
        """Count on ``count`` points."""
        console = make_console()
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("points{task.description}"),
            TimeRemainingColumn(), console=console, disable=not self._live,
        )  # fmt: skip
        self._count = count
        self._task = self._progress.add_task("", total=count)
        self._told = monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def show_kept(self, kept: int) -> None:
        """Say how many points are there already."""
        print(f"{kept} of {self._count} points are kept from before", flush=True)
        self.show(kept, 0)

    def show(self, done: int, failed: int) -> None:
        """Say how many points are done, and how many have failed."""
        words = f", {failed} failed" if failed else ""
        self._progress.update(self._task, completed=done + failed, description=words)
        is_last = done + failed == self._count
        if not self._live and (is_last or monotonic() - self._told >= INTERVAL):
            self._told = monotonic()
            print(f"{done} of {self._count} points done{words}", flush=True)
