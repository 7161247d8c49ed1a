"""Have the competitors take turns on the cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case
from bench.competitors import LEADERS
from bench.equations import reference, reference_loss
from bench.inputs import make_inputs
from bench.machine import OthersWatch
from bench.processes import Worker
from bench.statistics import ratios, summary

AGREEMENT = 1e-4
"""Largest difference from the reference at which a competitor is timed at all."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class _Slot:
    """One competitor at one case; what is measured goes into its entry of the result."""

    worker: Worker
    case: str
    entry: Entry

    def repeat(self) -> None:
        answer = self.worker.ask(do="time", name=self.case)
        if answer["status"] == "ok":
            self.entry["times_s"].append(answer["seconds"])
        else:
            self.entry |= answer


def time_together(
    cases: Sequence[Case],
    workers: Sequence[Worker],
    folder: Path,
    *,
    seconds: float,
    rounds: tuple[int, int],
) -> list[dict[str, Any]]:
    """Time cases with all competitors that can do them, in turns among all of both.

    Args:
        cases: What to compute: one case, or those of one curve, all the same work.
        workers: The competitors, started.
        folder: A temporary folder for the inputs.
        seconds: About how long the rounds may take together.
        rounds: The least and the most rounds.

    Returns:
        Each case with its ``competitors`` by name: the status, the first call's time, the largest
        errors, the seconds of each round with their summary, and the ratio of this project's time
        to the competitor's, taken round by round. ``others`` is the share of the processor that
        went to other programs during the rounds.
    """
    entries = [_prepare(case, workers, folder) for case in cases]
    slots = [
        _Slot(worker, case.name, by_name[worker.competitor.name])
        for case, by_name in zip(cases, entries, strict=True)
        for worker in workers
        if by_name.get(worker.competitor.name, {}).get("status") == "ok"
    ]
    watch = OthersWatch([worker.pid for worker in workers])
    _take_turns(slots, seconds, rounds)
    others = watch.share()
    for case in cases:
        for worker in workers:
            worker.ask(do="release", name=case.name)
    for by_name in entries:
        _summarise(by_name, LEADERS[cases[0].work])
    return [
        {**case.describe(), "others": others, "competitors": by_name}
        for case, by_name in zip(cases, entries, strict=True)
    ]


def _take_turns(slots: Sequence[_Slot], seconds: float, rounds: tuple[int, int]) -> None:
    """Have every slot repeat once a round.

    Each round starts with another slot, and every second one goes backwards: nobody always comes
    first, or always after the same neighbour.
    """
    needed = sum(slot.entry["warm_s"] * slot.entry["calls"] for slot in slots)
    count = min(max(round(seconds / needed), rounds[0]), rounds[1]) if slots else 0
    for turn in range(count):
        start = turn % len(slots)
        order = [*slots[start:], *slots[:start]]
        for slot in order[:: -1 if turn % 2 else 1]:
            slot.repeat()


def _prepare(case: Case, workers: Sequence[Worker], folder: Path) -> dict[str, Entry]:
    if case.work != "epoch":  # which has data of its own, and nothing to compare it with
        inputs = make_inputs(case)
        inputs.save(folder / "inputs.npz")
        wanted = reference_loss if case.work == "train" else reference
        expected = wanted(case, inputs)
        np.savez(folder / "reference.npz", **expected)
    entries = {}
    for worker in workers:
        who = worker.competitor
        if case.work not in who.works or (who.slow and not case.loops):
            continue
        if worker.start["status"] != "ok":
            continue
        answer = worker.ask(do="prepare", case=case.to_json(), folder=str(folder))
        entries[worker.competitor.name] = _checked(answer) | {"times_s": []}
    return entries


def _checked(entry: Entry) -> Entry:
    """Mark an entry whose values are not those of the reference: it is not timed."""
    errors = {name: np.nan_to_num(e, nan=np.inf) for name, e in entry.get("errors", {}).items()}
    if not errors or max(errors.values()) <= AGREEMENT:
        return entry
    worst = max(errors, key=lambda name: errors[name])
    message = f"{worst} differs from the reference by {entry['errors'][worst]:.2g}"
    return {**entry, "status": "wrong", "error": message}


def _summarise(entries: dict[str, Entry], leader: str) -> None:
    ours = entries.get(leader, {}).get("times_s")
    for name, entry in entries.items():
        entry |= summary(entry["times_s"])
        if ours and name != leader and len(entry["times_s"]) == len(ours):
            entry["ours_to_theirs"] = ratios(ours, entry["times_s"])
