"""Verify that the pipeline produces the same bytes again: run it in a clone and compare."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage

from notebook_pipeline.errors import NotebookError, OutputsError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.stages.states import (
    changes,
    current_inputs,
    locked_inputs,
    notebook_stages,
    open_repo,
    output_problems,
)
from notebook_pipeline.system.environment import clone_environment
from notebook_pipeline.system.machine import class_difference, machine_class
from notebook_pipeline.system.signals import ended_by_signals
from notebook_pipeline.verification.clone import temporary_clone
from notebook_pipeline.verification.differences import Difference, differences
from notebook_pipeline.verification.tolerances import (
    Tolerances,
    beyond_tolerance,
    is_compared,
    load_tolerances,
)


@dataclass(frozen=True)
class Verification:
    """What a comparison came to.

    Attributes:
        outputs: Paths of the outputs that were compared.
        comparison: Which comparison was made, and why.
        found: Where they differ, in the order of the pipeline; empty if they agree.
    """

    outputs: tuple[str, ...]
    comparison: str
    found: tuple[Difference, ...]


def verify(root: Path, names: Sequence[str] = ()) -> Verification:
    """Run stages from nothing in a temporary clone and compare what they give with what is here.

    On one class of machine every byte must be the same. Where bytes differ and what is here was
    made on another class, or nobody knows on which, all files must be there, metrics must agree
    within tolerances.yaml, and verdicts must be the same.

    Args:
        root: The repository; uncommitted changes are verified as they are.
        names: Notebooks, verified with all that they depend on; none for the whole
            pipeline.

    Raises:
        ConfigError: if tolerances.yaml breaks its rules, or the repository can't be cloned.
        OutputsError: if outputs here are missing or not up to date; nothing was run.
        NotebookError: if the pipeline fails in the clone.
    """
    stages = notebook_stages(root)
    targets = [stages[name] for name in names]
    tolerances = load_tolerances(root / "tolerances.yaml")
    plan = _plan(root, targets)
    _check_outputs(root, list(plan))
    with ended_by_signals(), temporary_clone(root, _check_data(root)) as clone:
        _reproduce(clone, targets)
        return _compare(root, clone, plan, tolerances)


def _compare(
    root: Path, clone: Path, plan: Mapping[str, Sequence[str]], tolerances: Tolerances
) -> Verification:
    """Compare outputs byte by byte; those of another class of machine within tolerances."""
    outputs = tuple(path for paths in plan.values() for path in paths)
    found = tuple(
        difference
        for path in outputs
        for difference in differences(root / path, clone / path, path)
    )
    reason = _other_class(root, plan) if found else ""
    if not reason:
        return Verification(outputs, "byte by byte", found)
    known = project_of(root).compared
    compared = tuple(path for path in outputs if is_compared(path, known))
    beyond = tuple(
        difference
        for path in compared
        for difference in beyond_tolerance(root / path, clone / path, path, tolerances, known)
    )
    return Verification(
        compared,
        f"metrics within tolerances.yaml and verdicts alone: bytes differ (first {found[0]}), "
        f"and {reason}",
        (*(difference for difference in found if difference.is_missing), *beyond),
    )


def _plan(root: Path, targets: Sequence[str]) -> dict[str, list[str]]:
    """Return stages, what they depend on first, each with the paths of its outputs."""
    with open_repo(root) as repo:
        stages = [repo.stage.load_one(name=target) for target in targets]
        return {
            stage.addressing: [out.def_path for out in stage.outs]
            for stage in plan_repro(repo.index.graph, stages or None)
            if isinstance(stage, PipelineStage)
        }


def _check_outputs(root: Path, stages: Sequence[str]) -> None:
    """Refuse to compare with outputs that are not those of the code and parameters here."""
    locked, current = locked_inputs(root), current_inputs(root, *stages)
    with open_repo(root) as repo:
        problems = [problem for stage in stages for problem in output_problems(repo, stage)]
    for stage in stages:
        changed = changes(locked[stage], current[stage]) if stage in locked else ["all of it"]
        if changed:
            problems.append(f"{stage} has changed since it ran: {', '.join(changed)}")
    if problems:
        more = f"\n  and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise OutputsError(
            "nothing to compare with; `dvc repro` makes it:\n  " + "\n  ".join(problems[:3]) + more
        )


def _check_data(root: Path) -> list[str]:
    """Return the paths of what `dvc add` keeps, which git doesn't; refuse to go on without it."""
    with open_repo(root) as repo:
        kept = [stage for stage in repo.index.stages if not isinstance(stage, PipelineStage)]
        paths = [os.path.relpath(out.fs_path, root) for stage in kept for out in stage.outs]
    if missing := [path for path in paths if not (root / path).exists()]:
        raise OutputsError(f"{missing[0]} is missing; `dvc pull` or `dvc checkout` restores it")
    return paths


def _reproduce(clone: Path, targets: Sequence[str]) -> None:
    """Run stages and all that they depend on, whatever DVC may know of them."""
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--no-run-cache", "--no-commit"]
    process = subprocess.Popen(
        [*command, *targets], cwd=clone, env=clone_environment(clone), start_new_session=True
    )
    try:
        status = process.wait()
    except BaseException:
        # The clone must not go before all that writes to it has ended.
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
    if status:
        raise NotebookError("the pipeline failed in a fresh clone; see its output above")


def _other_class(root: Path, stages: Collection[str]) -> str:
    """Say why what is here may come from another class of machine; empty if it doesn't."""
    locked, this = locked_inputs(root), machine_class(project_of(root).packages)
    for name, stage in notebook_stages(root).items():
        if stage not in stages:
            continue
        record = read_run(root / "reports" / name)
        if record is None or record["key"] != locked[stage].key or "machine" not in record:
            return f"it is unknown on which machine reports/{name} was made"
        if apart := class_difference(record["machine"], this):
            return f"reports/{name} was made on another class of machine than this: {apart}"
    return ""
