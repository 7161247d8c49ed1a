"""`python -m bench.overhead`: the pipeline's wall time against the computing inside it.

What DVC, starting processes and kernels, imports and papermill add to the cells of the notebooks,
which record their results themselves, in MLflow too; what stages side by side save; and what a
cluster costs, where one is named.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import describe_machine
from bench.processes import ROOT
from notebook_pipeline.repository import LOCK
from notebook_pipeline.repro.snapshot import files_of, pack, unpack
from notebook_pipeline.repro.stage_process import ONE_STAGE
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.stages.states import notebook_stages
from notebook_pipeline.system.environment import clone_environment
from notebook_pipeline.system.packages import engine_digest, package_differences
from notebook_pipeline.verification.clone import temporary_clone

LIMIT = 1.15
"""Wall time over computing time that the project promises at most."""

LIMIT_A_STAGE = 10.0
"""Seconds that DVC, and sending it to a worker, add to a stage at most."""

ENDED = re.compile(r"^(\S+): done after (\d+) s$", re.MULTILINE)
"""How `lstm-states repro` says how long a stage took, without a terminal."""

HEAD = """\
| stages run | whole | same bytes | DVC, sending | kernel, papermill | imports |
|---|---|---|---|---|---|"""


def main() -> bool:
    """Run the pipeline from nothing, serially and side by side, each in a clone of its own.

    Returns:
        Whether the ratio keeps to its limit, and what is added to a stage to its own.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time, beside 1")
    parser.add_argument("--cluster", type=Path, help="a cluster.yaml, to run it there as well")
    options = parser.parse_args()
    ways = {"one at a time": ["--jobs", "1"]}
    ways[f"{options.jobs} at a time"] = ["--jobs", str(options.jobs)]
    if options.cluster:
        ways["on the cluster"] = ["--cluster", str(options.cluster.resolve())]
    machine = describe_machine()
    runs: dict[str, Any] = {}
    steps: dict[str, float] = {}
    for way, arguments in ways.items():
        with temporary_clone(ROOT) as clone:
            runs[way] = measure_pipeline(clone, arguments)
            steps = steps or measure_steps(clone)
        print(f"{way}: {runs[way]['wall']:.0f} s")
    serial, beside, *_ = runs.values()
    result = {
        "machine": machine,
        "limit": LIMIT,
        "limit_a_stage": LIMIT_A_STAGE,
        "ratio": serial["wall"] / serial["computing"],
        "side_by_side": beside["wall"] / serial["wall"],
        "steps": steps,
        "runs": runs,
    }
    path = ROOT / "bench" / "overhead.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"wall time over computing time {result['ratio']:.2f}, at most {LIMIT} is promised")
    print(table(result))
    print(path)
    added = [adds(run["stages"])["sending"] for run in runs.values()]
    return bool(result["ratio"] <= LIMIT and max(added) <= LIMIT_A_STAGE)


def measure_pipeline(clone: Path, arguments: list[str]) -> dict[str, Any]:
    """Run all stages from nothing in a clone.

    Args:
        clone: Without outputs.
        arguments: Of `lstm-states repro`.

    Returns:
        ``wall`` seconds of the whole; ``computing``, those of the notebooks' cells without their
        imports; ``stages``, by notebook, what run.json says and ``elapsed``, from the start of the
        stage to its end; ``lock``, the digest of the dvc.lock that is made.
    """
    began = time.monotonic()
    command = ["lstm-states", "repro", *arguments]
    printed = subprocess.run(
        command, cwd=clone, env=clone_environment(clone), check=True, stdout=subprocess.PIPE,
        encoding="utf-8",
    ).stdout  # fmt: skip
    wall = time.monotonic() - began
    ended = dict(ENDED.findall(printed))
    stages = {
        name: {"elapsed": float(ended[stage]), **_seconds(clone / "reports" / name)}
        for name, stage in notebook_stages(ROOT).items()
    }
    computing = sum(stage["cells"] - stage["imports"] for stage in stages.values())
    lock = sha256((clone / "dvc.lock").read_bytes()).hexdigest()
    return {"wall": wall, "computing": computing, "stages": stages, "lock": lock}


def _seconds(folder: Path) -> dict[str, float]:
    record = read_run(folder)
    assert record is not None
    return dict(record["seconds"])


def measure_steps(clone: Path) -> dict[str, float]:
    """Take the steps apart by which a stage gets to a worker of a cluster and back.

    Args:
        clone: In which all stages are up to date.

    Returns:
        Seconds of each: ``pack`` the files of the clone; ``unpack`` them; ``check`` packages and
        engine; have ``dvc`` start and find that a stage is up to date, which happens on both sides.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        seconds[step] = time.monotonic() - began

    stage = next(iter(notebook_stages(clone).values()))
    with tempfile.TemporaryDirectory() as folder:
        with timed("pack"):
            packed = pack(clone, files_of(clone, stage).other)
        with timed("unpack"):
            unpack(packed, Path(folder))
        with timed("check"):
            package_differences(clone / LOCK)
            engine_digest()
        with timed("dvc"):
            command = [sys.executable, "-m", ONE_STAGE, stage]
            subprocess.run(
                command, cwd=clone, env=clone_environment(clone), check=True, stdout=subprocess.PIPE
            )
    return seconds


def adds(stages: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return where a stage takes time besides its computing: seconds, medians of all stages."""
    parts = {
        "sending": lambda stage: stage["elapsed"] - stage["wall"],
        "kernel": lambda stage: stage["wall"] - stage["cells"],
        "imports": lambda stage: stage["imports"],
    }
    return {part: median(map(of, stages.values())) for part, of in parts.items()}


def table(result: Mapping[str, Any]) -> str:
    """Return the table of docs/cluster.md, Markdown."""
    rows, first = [HEAD], next(iter(result["runs"].values()))
    for way, run in result["runs"].items():
        same = "yes" if run["lock"] == first["lock"] else "no"
        seconds = " | ".join(f"{part:.1f} s" for part in adds(run["stages"]).values())
        rows.append(f"| {way} | {run['wall'] / 60:.1f} min | {same} | {seconds} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(not main())
