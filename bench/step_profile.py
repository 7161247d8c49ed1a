"""Where the time of one training step goes, as TensorFlow's own profiler traces it.

`python -m bench.step_profile MODULE CASE` is the process that is traced, and prints a line of JSON.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.cases import Case
from bench.competitors import COMPETITORS
from bench.inputs import make_inputs
from bench.processes import last_line, run_python

TRACED = ("stock", "accelerated")
STEPS = 10

KINDS = (
    ("started", "Starting and ending operations", ("Execut", "Function", "Kernel", "end: ")),
    ("fused", "TensorFlow's fused forward pass", ("BlockLSTMV2",)),
    ("products", "Other products of matrices", ("MatMul", "matmul", "dot")),
    ("others", "All else: activations, copies, sums", ("",)),
)
"""A kind of work, what it is called, and what is in the names of its operations; the first counts.
"""

_OPERATION = re.compile(r"[^: ]+:(\w+)")
"""An operation of TensorFlow: its node in the graph and its own name. XLA's have other names."""


def measure_profile(case: Case) -> dict[str, Any]:
    """Return where a step spends its time, of stock Keras and on the kernel.

    Returns:
        The fields of the ``case``, and by competitor in ``traced`` the ``seconds`` a step by kind
        of work, all threads together. Being traced takes time itself: it is shares that count.
    """
    modules = {who.name: who.module for who in COMPETITORS if who.name in TRACED}
    traced = {}
    for name in TRACED:
        done = run_python("-m", "bench.step_profile", modules[name], json.dumps(case.to_json()))
        traced[name] = json.loads(last_line(done))
    return {**case.describe(), "traced": traced}


def _trace(module: str, case: Case) -> dict[str, Any]:
    run = import_module(module).prepare(case, make_inputs(case))
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    for _ in range(2 * STEPS):
        run()
    with TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(STEPS):
            run()
        tf.profiler.experimental.stop()
        [file] = Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(file.read_bytes())
    seconds = Counter[str]()
    for plane in space.planes:
        names = {number: event.name for number, event in plane.event_metadata.items()}
        for line in plane.lines:
            if not line.name.startswith("python"):  # which waits for the threads that compute
                for number, own in _own_time(line.events):
                    operation = _OPERATION.fullmatch(names[number])
                    kind = _kind(operation[1] if operation else names[number])
                    seconds[kind] += own * 1e-12 / STEPS
    return {"seconds": dict(seconds)}


def _own_time(events: Any) -> Iterator[tuple[int, int]]:
    """Yield the kind of each event and the picoseconds that it spent outside of events within."""
    inside: list[list[int]] = []  # the end, the kind and the own time of those that are open
    for event in sorted(events, key=lambda event: (event.offset_ps, -event.duration_ps)):
        while inside and inside[-1][0] <= event.offset_ps:
            yield tuple(inside.pop()[1:])
        if inside:
            inside[-1][2] -= event.duration_ps
        end = event.offset_ps + event.duration_ps
        inside.append([end, event.metadata_id, event.duration_ps])
    for _, kind, own in inside:
        yield kind, own


def _kind(name: str) -> str:
    return next(kind for kind, _, parts in KINDS if any(part in name for part in parts))


if __name__ == "__main__":
    print(json.dumps(_trace(sys.argv[1], Case.from_json(json.loads(sys.argv[2])))))
