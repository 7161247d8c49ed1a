"""What DVC says of the stages: what they need, and which have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dvc.repo.reproduce import plan_repro

from notebook_pipeline.stages.states import notebooks_of, open_repo, sweeps_of


@dataclass(frozen=True)
class Plan:
    """What DVC says of the stages.

    Attributes:
        needs: The stages that each stage needs, in DVC's order.
        changed: Those that have changed.
        measuring: Those that measure time, as ``meta: {alone: true}`` in dvc.yaml tells: nothing
            runs beside them.
        notebooks: The stages that run notebooks, by the notebook's name.
        sweeps: The stages that run sweeps, by the sweep's name.
    """

    needs: Mapping[str, set[str]]
    changed: frozenset[str]
    measuring: frozenset[str]
    notebooks: Mapping[str, str]
    sweeps: Mapping[str, str]


def make_plan(root: Path) -> Plan:
    """Ask DVC for the plan of a repository.

    Raises:
        ReproError: if DVC refuses dvc.yaml.
    """
    with open_repo(root) as repo:
        graph = repo.index.graph
        return Plan(
            needs={
                stage.addressing: {other.addressing for other in graph.successors(stage)}
                for stage in plan_repro(graph)
            },
            changed=frozenset(repo.status()),
            measuring=frozenset(s.addressing for s in graph if (s.meta or {}).get("alone")),
            notebooks=notebooks_of(repo, root),
            sweeps=sweeps_of(repo, root),
        )
