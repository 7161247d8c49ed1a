"""The output of the command `repro` while it runs: a line per stage, and the end of a log."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

CELLS = re.compile(r"Executing:[^\r\n]*?\d+/\d+")
"""How papermill's bar says at which cell it is."""

BAR_BYTES = 400
"""More than a bar takes at the end of a log."""

INTERVAL = 50.0
"""Seconds after which, without a terminal, a stage that still runs is told of again."""

WIDTH = 100
"""Letters that are told of what a cell shows."""


def make_console() -> Console:
    """Return a console that takes standard output for a terminal only if it is one."""
    # Where FORCE_COLOR is set, rich takes a log for a terminal.
    return Console(force_terminal=None if sys.stdout.isatty() else False)


class StageLines:
    """One line a stage, which changes in its place.

    Without a terminal they are plain lines, and one more each minute for each stage that runs.
    """

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
        self._told: dict[str, float] = {}  # when there was a line of a stage
        self._cells: dict[str, tuple[str, float]] = {}  # at which cell it is, and since when

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def start(self, stage: str) -> None:
        """Say that a stage runs."""
        self._progress.start_task(self._tasks[stage])
        self._say(stage, "running")

    def advance(self, stage: str, cells: str, attempt: Path | None) -> None:
        """Say at which cell a stage that runs is, and without a terminal what the cell shows.

        Args:
            stage: Its name.
            cells: Such as "cell 9/20"; "" if it has not come to a notebook.
            attempt: The folder with the notebook that it runs, if it runs one.
        """
        self._progress.update(self._tasks[stage], cells=cells)
        now = monotonic()
        if cells != self._cells.get(stage, ("", now))[0]:
            self._cells[stage] = (cells, now)
        if not self._live and now - self._told[stage] >= INTERVAL:
            elapsed = self._progress.tasks[self._tasks[stage]].elapsed or 0.0
            far = [f" for {_time(elapsed)}"]
            if cells:
                shown = last_shown(attempt) if attempt else ""
                far += [f"{cells} since {_time(now - self._cells[stage][1])}", shown]
            self._say(stage, "running", ", ".join(filter(None, far)))

    def restart(self, stage: str, why: str) -> None:
        """Say that a stage has begun anew, and why."""
        self._say(stage, "running again", f": {why}")
        self._progress.update(self._tasks[stage], cells=why)

    def end(self, stage: str, state: str, log: str = "") -> None:
        """Say how a stage ended, after what time if it ran, and which log says why."""
        task = self._progress.tasks[self._tasks[stage]]
        if task.elapsed is None:
            self._say(stage, state)
        else:
            self._progress.stop_task(task.id)
            self._say(stage, state, f" after {task.elapsed:.0f} s{log and f', see {log}'}")
            self._progress.update(task.id, cells=log)

    def _say(self, stage: str, state: str, then: str = "") -> None:
        self._progress.update(self._tasks[stage], state=state, cells="")
        self._told[stage] = monotonic()
        if not self._live:
            print(f"{stage}: {state}{then}", file=self._console.file, flush=True)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def last_shown(attempt: Path) -> str:
    """Return the last line that the running cell of a notebook shows, such as how far it has come.

    Args:
        attempt: The folder in which papermill keeps the notebook up to there; it saves it each
            half minute.

    Returns:
        The line, cut to :data:`WIDTH`; "" if there is none, or papermill is just writing.
    """
    for path in attempt.glob("*.ipynb"):
        with suppress(OSError, ValueError):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            outputs = [
                output
                for cell in cells
                if cell["metadata"].get("papermill", {}).get("status") == "running"
                for output in cell.get("outputs", ())
            ]
            if outputs:
                shown = outputs[-1].get("text") or outputs[-1].get("data", {}).get("text/plain", "")
                return re.split(r"[\r\n]", "".join(shown).strip())[-1][:WIDTH]
    return ""


def read_cells(log: Path) -> str:
    """Return how far papermill is by its last bar in a log, such as "cell 9/20"; "" without one."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - BAR_BYTES))
        found = CELLS.findall(file.read().decode(errors="replace"))
    return f"cell {found[-1].rpartition(' ')[2]}" if found else ""


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log, without bars of progress and empty lines."""
    lines = log.read_text(errors="replace", encoding="utf-8").split("\n")
    shown = [line.rpartition("\r")[2] for line in lines]
    return "\n".join([s for s in shown if s.strip() and not CELLS.match(s)][-count:])
