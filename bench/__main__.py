"""`python -m bench`: measure, write results.json and results.html, say what was met."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from bench.cases import full_plan, quick_plan
from bench.page import render_page
from bench.processes import ROOT
from bench.run import run_plan


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny shapes: shows that it works")
    parser.add_argument(
        "--out", type=Path, help="folder to write to; bench, or build/bench if quick"
    )
    parser.add_argument(
        "--store-samples", type=int, default=16000, help="samples of the largest store"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # removes the temporary folders too
    plan = quick_plan() if options.quick else full_plan(options.store_samples)
    out = options.out or ROOT / ("build/bench" if options.quick else "bench")
    result = run_plan(plan)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "results.html").write_text(render_page(result), encoding="utf-8")
    for row in result["verdicts"]:
        worst = (
            "" if row["worst"] is None else f" ({row['worst']:.3g} {row['unit']}, {row['where']})"
        )
        print(f"{row['verdict']:>12}  {row['text']}{worst}")
    print(f"{out / 'results.html'}, {result['seconds']:.0f} s")


if __name__ == "__main__":
    main()
