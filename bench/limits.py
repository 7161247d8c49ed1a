"""What the cores could do a case in, if products and copies were all there is to it.

The floating-point operations of its products over what a plain product does, and the bytes that it
must move over what a plain copy does. No LSTM reaches that: a step's product waits for the step
before, and is small. The same products one after the other are timed, too, by NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import cpu_count
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.cases import Case

GATES = {"LSTM": 4, "GRU": 3}
"""Columns of the kernels, in units."""

QUANTITIES = {"LSTM": 6, "GRU": 4}
"""States and gates, in units: what a recording gives, and what going back needs."""

BYTES = 4
"""Of a float32."""

SIDE = 2048
"""Rows and columns of the plain product."""

COPIED = 2**26
"""Numbers of the plain copy, which no cache holds."""

STEPS = 50
"""Steps that stand for all of a case's."""


def measure_limits(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the cores do a second, and the least that each case needs of it.

    Returns:
        ``operations_per_s`` of a plain product; ``bytes_per_s``, read and written, of a plain copy;
        ``cases``, by name the ``operations``, the ``bytes``, ``least_s``, the seconds that both
        take, and ``in_steps_s``, the seconds of the products one step after the other.
    """
    operations_per_s, bytes_per_s = _product(), _copy()
    found = {}
    for case in cases:
        operations, moved = operations_of(case), bytes_of(case)
        found[case.name] = {
            "operations": operations,
            "bytes": moved,
            "least_s": operations / operations_per_s + moved / bytes_per_s,
            "in_steps_s": _in_steps(case),
        }
    return {"operations_per_s": operations_per_s, "bytes_per_s": bytes_per_s, "cases": found}


def operations_of(case: Case) -> int:
    """Return the floating-point operations of a case's products.

    Going back takes one for the gradients of the weights, and one for those of what a product was
    given; nobody asks for the gradients of the first layer's inputs.
    """
    found = 0
    for number, (width, units) in enumerate(case.widths):
        rows = width + units
        if case.work == "train":
            rows = 3 * rows - (0 if number else width)
        found += rows * GATES[case.kind] * units
    return 2 * case.size * case.steps * case.directions * found


def bytes_of(case: Case) -> int:
    """Return the bytes that a case must read and write.

    A layer's hidden states are written and read by the next. A recording writes all quantities
    besides. Training writes and reads them, and the gradients of the sums before the gates.
    """
    read = {"record": 1, "predict": 1, "train": 2}[case.work] * case.features
    kept = {
        "predict": 2,
        "record": 2 + QUANTITIES[case.kind],
        "train": 2 * (QUANTITIES[case.kind] + GATES[case.kind]),
    }[case.work]
    units = sum(case.units) * case.directions
    return case.size * case.steps * (read + kept * units) * BYTES


def _product() -> float:
    import tensorflow as tf  # whose products are faster than NumPy's

    one = tf.constant(np.random.default_rng(0).normal(size=(SIDE, SIDE)), tf.float32)
    return 2 * SIDE**3 / _best(lambda: (one @ one).numpy())


def _copy() -> float:
    cores = cpu_count() or 1
    parts = [np.ones(COPIED // cores, np.float32) for _ in range(cores)]
    copies = [np.empty_like(part) for part in parts]
    with ThreadPoolExecutor(cores) as pool:
        seconds = _best(lambda: list(pool.map(np.copyto, copies, parts)))
    return 2 * BYTES * COPIED / seconds


def _in_steps(case: Case) -> float:
    """Return the seconds of a case's products with each core taking its share of a batch."""
    rows = -(-case.batch // (cpu_count() or 1))
    rng, seconds = np.random.default_rng(0), 0.0
    with threadpool_limits(1):
        for _, units in case.widths:
            h = rng.normal(size=(rows, units)).astype(np.float32)
            kernel = rng.normal(size=(units, GATES[case.kind] * units)).astype(np.float32)
            out = np.empty((rows, kernel.shape[1]), np.float32)
            seconds += _best(partial(_step_by_step, h, kernel, out))
    steps = case.steps * case.size / case.batch * case.directions / STEPS
    return seconds * steps * (2 if case.work == "train" else 1)


def _step_by_step(h: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
    for _ in range(STEPS):
        np.matmul(h, kernel, out=out)


def _best(work: Callable[[], Any], rounds: int = 5) -> float:
    """Return the least time of some: what a machine can do, others' work left out."""
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return min(taken)
