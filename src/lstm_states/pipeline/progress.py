"""What `lstm-states repro` shows while it runs: a line a stage, and the end of a log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

CELLS = re.compile(r"Executing:[^\r\n]*?\d+/\d+")
"""How papermill's bar says at which cell it is."""

BAR_BYTES = 400
"""More than a bar takes at the end of a log."""


class StageLines:
    """One line a stage, which changes in its place; plain lines where that isn't a terminal."""

    def __init__(self, stages: Iterable[str], console: Console) -> None:
        self._console = console
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[cells]}"),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {
            stage: self._progress.add_task(stage, start=False, state="waiting", cells="")
            for stage in stages
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def start(self, stage: str) -> None:
        """Say that a stage runs."""
        self._progress.start_task(self._tasks[stage])
        self._say(stage, "running")

    def advance(self, stage: str, cells: str) -> None:
        """Say at which cell a stage that runs is, where lines can change."""
        self._progress.update(self._tasks[stage], cells=cells)

    def end(self, stage: str, state: str) -> None:
        """Say how a stage ended, and after what time if it ran."""
        task = self._progress.tasks[self._tasks[stage]]
        if task.elapsed is None:
            self._say(stage, state)
        else:
            self._progress.stop_task(task.id)
            self._say(stage, state, f" after {task.elapsed:.0f} s")

    def _say(self, stage: str, state: str, then: str = "") -> None:
        self._progress.update(self._tasks[stage], state=state, cells="")
        if not self._live:
            print(f"{stage}: {state}{then}", file=self._console.file, flush=True)


def read_cells(log: Path) -> str:
    """Return how far papermill is by its last bar in a log, such as "cell 9/20"; "" without one."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - BAR_BYTES))
        found = CELLS.findall(file.read().decode(errors="replace"))
    return f"cell {found[-1].rpartition(' ')[2]}" if found else ""


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log, without bars of progress and empty lines."""
    lines = log.read_text(errors="replace").split("\n")
    shown = [line.rpartition("\r")[2] for line in lines]
    return "\n".join([s for s in shown if s.strip() and not CELLS.match(s)][-count:])
