"""What importing this project costs beside importing Keras, in processes of their own."""

from __future__ import annotations

from statistics import median

from bench.processes import last_line, run_python

MODULES = ("keras", "lstm_states")


def measure_imports(rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each import took, by module; they take turns."""
    seconds: dict[str, list[float]] = {module: [] for module in MODULES}
    for _ in range(rounds):
        for module, taken in seconds.items():
            taken.append(_seconds(module))
    return seconds


def more_than_keras(seconds: dict[str, list[float]]) -> float:
    """Return the median of the seconds more, round by round."""
    keras, ours = (seconds[module] for module in MODULES)
    return median(mine - theirs for mine, theirs in zip(ours, keras, strict=True))


def _seconds(module: str) -> float:
    code = f"from time import perf_counter as now; t = now(); import {module}; print(now() - t)"
    return float(last_line(run_python("-c", code)))
