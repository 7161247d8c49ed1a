"""A side of a comparison: reports in one state, and how their outputs are brought to be read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.names import near_or_all

if TYPE_CHECKING:
    from notebook_pipeline.comparison.recorded import Recorded

SHORT = 7
"""Digits of a commit that are shown."""

ENOUGH = 6
"""Digits by which an MLflow run may be named."""

LONGEST = 32
"""Digits of its whole id, which are fewer than those of a commit."""


def _lies_there(output: str) -> None:
    """Bring nothing: the output of a folder is where it is read."""


@dataclass(frozen=True)
class Report:
    """What a notebook left, on one side.

    Attributes:
        name: The notebook's.
        digests: By the name of an output, a file or folder, its digest by DVC; empty if unknown.
        folder: Where outputs are read, once they are brought.
        bring: Called with the name of an output; OutputsError if it can't be had.
    """

    name: str
    digests: Mapping[str, str]
    folder: Path
    bring: Callable[[str], None] = _lies_there


@dataclass(frozen=True)
class Side:
    """Reports in one state.

    Attributes:
        label: What the page calls it.
        kind: What it is: "report folder", "MLflow run", "DVC experiment", "revision", ...
        commit: The first digits of its commit; empty if unknown.
        reports: Its reports, by the notebook's name.
        identity: Equal for two sides that are one state.
        is_single: Whether it is one report, which may be compared with one of another name.
    """

    label: str
    kind: str
    commit: str
    reports: Mapping[str, Report]
    identity: str
    is_single: bool = False


@contextmanager
def opened_sides(
    root: Path, given: Sequence[str], names: Sequence[str] = ()
) -> Iterator[tuple[Side, ...]]:
    """Yield what is to be compared; the first is what the others are compared with.

    Args:
        root: The repository.
        given: Folders, MLflow runs, DVC experiments or revisions. One is compared with the work
            tree; without one, the last commit is.
        names: Notebooks to compare; none for all.

    Raises:
        ConfigError: naming what is unknown, ambiguous, or the same as another.
        OutputsError: if there is no report in one of them.
        StoreError: if the store of runs is needed and can't be used.
    """
    from notebook_pipeline.comparison.folders import work_tree

    with ExitStack() as stack:
        kept = Path(stack.enter_context(TemporaryDirectory(prefix="notebook-pipeline-")))
        finder = _Finder(root, kept, stack)
        sides = [finder.find(text) for text in (given or ["HEAD"])]
        if len(sides) < 2:
            sides.append(work_tree(root))
        _check_different(sides)
        yield tuple(_chosen(_distinctly_labelled(sides), names))


@dataclass(frozen=True)
class _Finder:
    """What turns the words of a user into sides.

    Attributes:
        root: The repository.
        kept: A temporary folder, for what is brought from elsewhere.
        stack: Closes what was opened.
    """

    root: Path
    kept: Path
    stack: ExitStack

    @cached_property
    def _recorded(self) -> Recorded:
        """The runs of the store, which is asked once, and only if it is needed."""
        from notebook_pipeline.comparison.recorded import recorded_runs

        return recorded_runs(self.root)

    def find(self, text: str) -> Side:
        """Return the folder, revision or run of this name, looked for in this order."""
        from notebook_pipeline.comparison.folders import folder_side
        from notebook_pipeline.comparison.recorded import run_side
        from notebook_pipeline.comparison.revisions import revision_side

        if (side := folder_side(text, self.root)) is not None:
            return side
        side = revision_side(text, self.root, self.kept, self.stack)
        is_id = bool(re.fullmatch(rf"[0-9a-f]{{{ENOUGH},{LONGEST}}}", text))
        if side is not None and not is_id:
            return side
        run = run_side(text, self._recorded, self.kept)
        if side is not None and run is not None:
            raise ConfigError(
                f"{text!r} begins both the commit {side.commit} and the id of the MLflow run "
                f"{run.label}; give more digits"
            )
        found = side or run
        if found is None:
            raise ConfigError(_unknown(text, self.root, self._recorded))
        return found


def _unknown(text: str, root: Path, recorded: Recorded) -> str:
    """Say that a name is none of what can be compared, and which one is near."""
    from notebook_pipeline.comparison.revisions import experiment_names
    from notebook_pipeline.stages.states import notebook_stages

    if Path(text).is_dir():
        return f"{text}: neither report.ipynb nor reports/*/report.ipynb is in this folder"
    runs = sorted({run.info.run_name for run in recorded.runs})
    known = {name: f"reports/{name}" for name in notebook_stages(root)}
    known |= {name: name for name in experiment_names(root)}
    near = difflib.get_close_matches(text, [*known, *runs], n=1)
    if near:
        hint = f"did you mean {known.get(near[0], near[0])!r}?"
    else:
        hint = f"there are {', '.join(known.values())}, and {len(runs)} MLflow runs"
    return (
        f"{text!r} is no folder with reports, revision of git, DVC experiment or MLflow run; {hint}"
    )


def _check_different(sides: Sequence[Side]) -> None:
    """Refuse to compare a state with itself."""
    seen: dict[str, Side] = {}
    for side in sides:
        other = seen.setdefault(side.identity, side)
        if other is not side:
            raise ConfigError(
                f"{other.label} and {side.label} are one and the same state; name two that differ"
            )


def _distinctly_labelled(sides: Sequence[Side]) -> list[Side]:
    """Number labels that another side has, too, such as those of two clones of one name."""
    labels = [side.label for side in sides]
    return [
        replace(side, label=f"{side.label} ({labels[:at].count(side.label) + 1})")
        if labels.count(side.label) > 1
        else side
        for at, side in enumerate(sides)
    ]


def _chosen(sides: Sequence[Side], names: Sequence[str]) -> Iterator[Side]:
    """Yield sides with the reports of some notebooks alone; with all of them if none is named."""
    known = sorted({name for side in sides for name in side.reports})
    for name in names:
        if name not in known:
            raise ConfigError(f"--name {name}: none of them has it; {near_or_all(name, known)}")
    for side in sides:
        reports = {name: report for name, report in side.reports.items() if name in names}
        yield replace(side, reports=reports) if names else side
