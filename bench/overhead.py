"""`python -m bench.overhead`: the pipeline's wall time against the computing inside it.

What DVC, starting processes and kernels, imports and papermill add to the cells of the notebooks,
which record their results themselves, in MLflow too; and what stages side by side save.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from bench.processes import ROOT
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.stages.states import notebook_stages
from notebook_pipeline.system.environment import clone_environment
from notebook_pipeline.verification.clone import temporary_clone

LIMIT = 1.3
"""Wall time over computing time that the project promises at most."""


def main() -> bool:
    """Run the pipeline from nothing, serially and side by side, each in a clone of its own.

    Returns:
        Whether the ratio keeps to the limit.
    """
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time, beside 1")
    options = parser.parse_args()
    runs = {str(jobs): measure_pipeline(jobs) for jobs in (1, options.jobs)}
    serial = runs["1"]
    result = {
        "machine": describe_machine(),
        "limit": LIMIT,
        "ratio": serial["wall"] / serial["computing"],
        "side_by_side": runs[str(options.jobs)]["wall"] / serial["wall"],
        "runs": runs,
    }
    path = ROOT / "bench" / "overhead.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"wall time over computing time {result['ratio']:.2f}, at most {LIMIT} is promised")
    print(f"{options.jobs} stages at a time take {result['side_by_side']:.2f} of the time of one")
    print(path)
    return bool(result["ratio"] <= LIMIT)


def measure_pipeline(jobs: int) -> dict[str, Any]:
    """Run all stages from nothing in a temporary clone.

    Returns:
        ``wall`` seconds of the whole; ``computing``, those of the notebooks' cells without their
        imports; ``stages``, by notebook, what run.json says.
    """
    with temporary_clone(ROOT) as clone:
        began = time.monotonic()
        command = ["lstm-states", "repro", "--jobs", str(jobs)]
        subprocess.run(command, cwd=clone, env=clone_environment(clone), check=True)
        wall = time.monotonic() - began
        stages = {name: _seconds(clone / "reports" / name) for name in notebook_stages(ROOT)}
    computing = sum(stage["cells"] - stage["imports"] for stage in stages.values())
    return {"wall": wall, "computing": computing, "stages": stages}


def _seconds(folder: Path) -> dict[str, float]:
    record = read_run(folder)
    assert record is not None
    return dict(record["seconds"])


if __name__ == "__main__":
    sys.exit(not main())
