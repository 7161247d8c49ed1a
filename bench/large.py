"""Record more than memory holds on a cluster of this machine's cores, and summarise it.

`python -m bench.large [SAMPLES [STEPS]]` prints one line of JSON for each part: the time, and the
peak of the memory of all processes together. Not a part of `make bench`: it takes minutes and
gigabytes of disk.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from bench.processes import ROOT, environment

UNITS = (64, 32)
FEATURES = 4
BATCH = 256
CORES = 2


def _record(store: str, samples: int, steps: int) -> None:
    import keras
    from distributed import Client, LocalCluster

    from lstm_states import record_traces

    keras.utils.set_random_seed(0)
    stack = [keras.layers.LSTM(units, return_sequences=True) for units in UNITS]
    model = keras.Sequential([keras.Input((steps, FEATURES)), *stack])
    x = np.random.default_rng(0).normal(size=(samples, steps, FEATURES)).astype("float32")
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=CORES, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        record_traces(model, x, batch_size=BATCH, store=store, client=client, outputs=False)


def _measure(store: str, samples: int, steps: int) -> None:
    import dask

    import lstm_states as ls

    traces = ls.open_traces(store, chunks="auto")
    first, last = traces.attrs["layers"]
    measures: dict[str, Callable[[], Any]] = {
        "measure_states": lambda: ls.measure_states(traces),
        "measure_saturation": lambda: ls.measure_saturation(traces),
        "measure_norms": lambda: ls.measure_norms(traces),
        "measure_half_lives": lambda: ls.measure_half_lives(traces),
        "check_traces": lambda: ls.check_traces(traces),
        "find_idle_units": lambda: ls.find_idle_units(traces),
        "measure_principal_directions": lambda: ls.measure_principal_directions(
            traces, first
        ).drop_vars("projection"),
        "measure_memory": lambda: (
            abs(ls.measure_memory(traces, last)["written"]).mean(["sample", "unit"]).compute()
        ),
        "measure_time_scales": lambda: ls.measure_time_scales(
            ls.measure_distances(traces, traces.isel(sample=slice(None, None, -1)), layers=last),
            time=0,
        ),
        "final_states": lambda: ls.final_states(traces),
    }
    with dask.config.set(num_workers=CORES):
        for name, measure in measures.items():
            start = perf_counter()
            measure()
            print(json.dumps({name: round(perf_counter() - start, 1)}), flush=True)


def _watched(part: str, *words: str) -> dict[str, Any]:
    """Run a part in a process of its own; return its time, and the most memory that it took."""
    start = perf_counter()
    command = [sys.executable, "-m", "bench.large", part, *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment())
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, _resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    over.set()
    watcher.join()
    seconds = round(perf_counter() - start, 1)
    return {"part": part, "code": code, "seconds": seconds, "peak_bytes": peak}


def _resident(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # it has just ended
        pass
    return total


def main(samples: int = 100_000, steps: int = 50) -> None:
    """Record, then measure in a fresh process."""
    with TemporaryDirectory(prefix="lstm-states-large-") as folder:
        store = Path(folder, "states.zarr")
        recorded = 4 * samples * steps * sum(UNITS) * 6
        print(json.dumps({"samples": samples, "steps": steps, "recorded_bytes": recorded}))
        if recorded > shutil.disk_usage(folder).free / 2:
            raise SystemExit(f"too little free disk for {recorded} bytes")
        for part in ("record", "measure"):
            done = _watched(part, str(store), str(samples), str(steps))
            files = (file.stat().st_size for file in store.rglob("*") if file.is_file())
            print(json.dumps(done | {"disk_bytes": sum(files)}), flush=True)


if __name__ == "__main__":
    parts = {"record": _record, "measure": _measure}
    if sys.argv[1:2] and sys.argv[1] in parts:
        parts[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(*map(int, sys.argv[1:]))
