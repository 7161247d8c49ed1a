"""Run a plan and gather its result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from bench.cases import Plan
from bench.competitors import COMPETITORS, OURS, Competitor
from bench.imports import measure_imports
from bench.limits import measure_limits
from bench.machine import describe_machine, describe_run
from bench.memory import measure_peaks, measure_stores, measure_training
from bench.processes import Worker, installed
from bench.step_profile import measure_profile
from bench.targets import judge
from bench.timing import time_together

ON_CURVES = (OURS, "predict", "predict_on_batch", "torch_lstm")
"""Who is timed along the curves."""

_BEGUN = perf_counter()


def run_plan(plan: Plan, competitors: Sequence[Competitor] = COMPETITORS) -> dict[str, Any]:
    """Measure everything in a plan; return the result, ready for JSON."""
    start = perf_counter()
    result = {**describe_run(), "quick": plan.quick, "machine": describe_machine()}
    _say("what the cores can do")
    batches = [case for case in plan.training if case.work in ("train", "predict")]
    result["limits"] = measure_limits([*plan.cases, *batches])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lstm-states-bench-")))
        workers = _start(competitors, folder, stack)
        result["competitors"] = {c.name: _describe(c, workers) for c in competitors}
        result |= _time(plan, workers, folder)
    _say("a profile of a training step, and imports")
    result["profile"] = measure_profile(plan.profile)
    result["imports"] = measure_imports(plan.rounds[0])
    _say("memory")
    result["memory"] = measure_peaks(plan.memory)
    result["memory_training"] = measure_training(plan.memory_training, competitors)
    result["stores"] = measure_stores(plan.stores)
    result["seconds"] = round(perf_counter() - start, 1)
    return {**result, "verdicts": judge(result)}


def _start(competitors: Sequence[Competitor], folder: Path, stack: ExitStack) -> list[Worker]:
    _say("starting the competitors")
    workers = [Worker(c, folder) for c in competitors if installed(c)]
    for worker in workers:
        stack.callback(worker.stop)
    for worker in workers:
        worker.await_start()
    return workers


def _describe(competitor: Competitor, workers: Sequence[Worker]) -> dict[str, Any]:
    answers = {worker.competitor.name: worker.start for worker in workers}
    missing = {"status": "not installed", "error": "make bench-env installs it"}
    answer = answers.get(competitor.name, missing)
    fields = ("title", "what", "slow", "works")
    return {**{name: getattr(competitor, name) for name in fields}, **answer}


def _time(plan: Plan, workers: Sequence[Worker], folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"cases": [], "training": [], "curves": {}}
    limits = {"seconds": plan.seconds, "rounds": plan.rounds}
    for section, cases in (("cases", plan.cases), ("training", plan.training)):
        for case in cases:
            _say(f"{case.name}: {case.shape}")
            result[section] += time_together([case], workers, folder, **limits)
    runners = [worker for worker in workers if worker.competitor.name in ON_CURVES]
    for axis, cases in plan.curves.items():
        _say(f"curve along {axis}")
        result["curves"][axis] = time_together(cases, runners, folder, **limits)
    return result


def _say(what: str) -> None:
    print(f"bench: {perf_counter() - _BEGUN:4.0f} s  {what}", file=sys.stderr, flush=True)
