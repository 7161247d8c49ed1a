"""How much memory recording and training take, each measurement in a process of its own.

`python -m bench.memory` is that process: it reads what to do from its arguments and prints one
line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from bench.cases import Case
from bench.competitors import PIECES, Competitor
from bench.inputs import QUANTITIES, make_inputs
from bench.processes import installed, last_line, run_python, without_paths

AGREEMENT = 1e-5
"""Largest difference of what a store gives back from what is recorded in memory."""

DISK_SHARE = 0.5
"""Share of the free disk that a store may take before compression."""


def measure_peaks(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Record each case in memory; return the peak above what is returned, and a batch's bytes."""
    return [{**case.describe(), **_process("peak", case)} for case in cases]


def measure_stores(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Record each case to a store in a temporary folder; return the memory, time and disk used."""
    rows = []
    for case in cases:
        with TemporaryDirectory(prefix="lstm-states-bench-") as folder:
            free = shutil.disk_usage(folder).free
            if batch_bytes(case, case.size) > DISK_SHARE * free:
                done = {"status": "cannot", "error": "too little free disk"}
            else:
                done = _process("store", case, folder)
        rows.append({**case.describe(), **done})
    return rows


def measure_training(cases: Sequence[Case], competitors: Sequence[Competitor]) -> list[Any]:
    """Return by how much one training step of each case and competitor raises the memory."""
    trainers = [one for one in (*competitors, PIECES) if "train" in one.works and installed(one)]
    return [
        {
            **case.describe(),
            "competitors": {
                one.name: {"title": one.title}
                | _process("train", case, one.module, folder=one.folder)
                for one in trainers
            },
        }
        for case in cases
    ]


def batch_bytes(case: Case, samples: int) -> int:
    """Return the bytes of all six quantities of all layers for some samples."""
    return 4 * samples * case.steps * sum(case.units) * len(QUANTITIES)


def _process(do: str, case: Case, *words: str, folder: str = "") -> dict[str, Any]:
    given = json.dumps(case.to_json())
    done = run_python("-m", "bench.memory", do, given, *words, folder=folder)
    if done.returncode == 0:
        return json.loads(last_line(done))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"status": "failed", "error": without_paths(last)}


def _peak(case: Case) -> dict[str, Any]:
    from bench.competitors.keras_stack import build_model
    from lstm_states import record_traces

    inputs = make_inputs(case)
    model = build_model(case, inputs)
    record_traces(model, inputs.x[: case.batch], batch_size=case.batch)  # compiles
    _give_back_freed_memory()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts over
    traces = record_traces(model, inputs.x, batch_size=case.batch)
    peak = _status("VmHWM")
    returned = owned_bytes(
        variable.values for node in traces.subtree for variable in node.variables.values()
    )
    one_batch = returned * case.batch // case.size
    above = peak - before - returned
    return {
        "status": "ok",
        "before_bytes": before,
        "peak_bytes": peak,
        "returned_bytes": returned,
        "batch_bytes": one_batch,
        "above_bytes": above,
        "above_in_batches": above / one_batch,
    }


def _train(case: Case, module: str) -> dict[str, Any]:
    run = import_module(module).prepare(case, make_inputs(case))
    _give_back_freed_memory()
    before = _status("VmRSS")
    # What a step has freed stays with the process: only the first one shows what it takes.
    run()
    return {"status": "ok", "above_bytes": _status("VmHWM") - before}


def _store(case: Case, folder: str) -> dict[str, Any]:
    from bench.competitors.keras_stack import build_model
    from lstm_states import open_traces, record_traces

    if "store" not in signature(record_traces).parameters:
        return {"status": "cannot", "error": "this version of record_traces has no store="}
    inputs = make_inputs(replace(case, samples=case.batch))
    model = build_model(case, inputs)
    store = Path(folder, "traces.zarr")
    imported = _status("VmHWM")
    start = perf_counter()
    record_traces(model, _batches(inputs.x, case.size), store=store)
    seconds = perf_counter() - start
    peak = _status("VmHWM")
    *_, last = _batches(inputs.x, case.size)
    ends = np.concatenate([inputs.x[:4], last[-4:]])
    error = _largest_difference(
        open_traces(store).isel(sample=np.r_[0:4, case.size - 4 : case.size]),
        record_traces(model, ends),
    )
    size = batch_bytes(case, case.size)
    return {
        **_store_status(error),
        "imported_bytes": imported,
        "peak_bytes": peak,
        "recorded_bytes": size,
        "disk_bytes": sum(f.stat().st_size for f in store.rglob("*") if f.is_file()),
        "seconds": seconds,
        "bytes_per_s": size / seconds,
    }


def _batches(x: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield batches of ``size`` samples in all, one at a time, each ``x`` shifted in time."""
    for start in range(0, size, len(x)):
        yield np.roll(x, start, axis=1)[: size - start]


def _store_status(error: float) -> dict[str, str]:
    if error <= AGREEMENT:
        return {"status": "ok"}
    return {"status": "wrong", "error": f"the store differs from memory by {error:.2g}"}


def owned_bytes(arrays: Any) -> int:
    """Return the bytes of the buffers behind some arrays, each counted once."""
    buffers = {}
    for array in arrays:
        while isinstance(array.base, np.ndarray):
            array = array.base
        buffers[array.__array_interface__["data"][0]] = array.nbytes
    return sum(buffers.values())


def _largest_difference(stored: Any, again: Any) -> float:
    errors = [
        np.abs(stored[f"{name}/{quantity}"].values - node[quantity].values).max()
        for name, node in again.children.items()
        for quantity in QUANTITIES
    ]
    return float(max(errors))


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes: VmRSS is the memory now, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def _give_back_freed_memory() -> None:
    """Collect garbage and have the C library return what was freed: nothing is left over."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    do = {"peak": _peak, "store": _store, "train": _train}[sys.argv[1]]
    print(json.dumps(do(Case.from_json(json.loads(sys.argv[2])), *sys.argv[3:])))
