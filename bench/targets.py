"""What the project promises of its speed and memory, and whether a result keeps it.

The only place with limits. A verdict is computed from a result, never written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.competitors import LEADERS, OURS
from bench.imports import more_than_keras
from bench.statistics import growth
from bench.timing import AGREEMENT

Result = dict[str, Any]
Values = Iterator[tuple[str, float]]

LOOPS = ("eager_loop", "torch_loop")
"""The competitors that loop over a cell in Python."""

FULL_SAMPLES = 100_000
"""Samples of the recording that the memory target is about, 23 GB of the 64/32 stack."""

PROCESSOR = (
    "Where layers are wide and batches large, as at C, the time goes to products of matrices, "
    "which cost the same on both paths. Elsewhere a step's products are small, and it depends on "
    "the processor how much a fused loop saves: a table below shows how far each case is from what "
    "the cores can do, and what was tried."
)
"""Why a limit of training and prediction may be missed."""

COMPILES = (
    "TensorFlow traces the layer in Python, and XLA compiles its loops for the shape of the batch; "
    "later models of the process use them again."
)
"""Why a first call may take longer."""

WRITES = (
    "A prediction gives one number a sample. A recording writes six quantities of every step, "
    "checks them and labels them."
)
"""Why a recording may take longer than a prediction."""

EXPONENT = 1.1
"""Largest exponent of a growth that is still called linear; 1 is proportional."""


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        name: Short and unique.
        text: The promise in words.
        limit: The value that must be kept.
        unit: What the value is a number of.
        at_most: Whether values must stay below the limit, or else above.
        values: From a result, what was measured and where.
    """

    name: str
    text: str
    limit: float
    unit: str
    values: Callable[[Result], Values]
    at_most: bool = True
    if_missed: str = ""

    def verdict(self, result: Result) -> dict[str, Any]:
        """Return the worst value, where it was measured, and "met", "missed" or "not measured"."""
        found = dict(self.values(result))
        fields = {"name": self.name, "text": self.text, "limit": self.limit, "unit": self.unit}
        fields |= {"at_most": self.at_most, "measured": len(found)}
        if not found:
            return {**fields, "verdict": "not measured", "worst": None, "where": "", "why": ""}
        where = (max if self.at_most else min)(found, key=lambda name: found[name])
        kept = found[where] <= self.limit if self.at_most else found[where] >= self.limit
        verdict = "met" if kept else "missed"
        why = "" if kept else self.if_missed
        return {**fields, "verdict": verdict, "worst": found[where], "where": where, "why": why}


def judge(result: Result) -> list[dict[str, Any]]:
    """Return the verdict on every target."""
    return [target.verdict(result) for target in TARGETS]


SMALL = ("small", "tiny")
"""Cases of one sample of 20 steps."""


def _ratio(
    other: str, *, article: bool = False, small: bool | None = None
) -> Callable[[Result], Values]:
    """Return what yields ratios: of the article's cases, of small ones, or of all but those."""

    def values(result: Result) -> Values:
        for case in result["cases"]:
            entry = case["competitors"].get(other, {})
            wanted = (case["is_article"] or not article) and small in (None, case["name"] in SMALL)
            if "ours_to_theirs" in entry and wanted:
                yield case["shape"], entry["ours_to_theirs"]["median"]

    return values


def _training_ratio(work: str, other: str, names: Sequence[str]) -> Callable[[Result], Values]:
    chosen = {f"{work}_{name}" for name in names}

    def values(result: Result) -> Values:
        for case in result["training"]:
            entry = case["competitors"].get(other, {})
            if "ours_to_theirs" in entry and case["name"] in chosen:
                yield case["shape"], entry["ours_to_theirs"]["median"]

    return values


def _first_calls(work: str, other: str) -> Callable[[Result], Values]:
    def values(result: Result) -> Values:
        for case in [*result["cases"], *result["training"]]:
            pair = [case["competitors"].get(name, {}) for name in (LEADERS[work], other)]
            if case["work"] == work and all("first_s" in entry for entry in pair):
                yield case["shape"], pair[0]["first_s"] - pair[1]["first_s"]

    return values


def _imports(result: Result) -> Values:
    yield "import lstm_states", more_than_keras(result["imports"])


def _times_faster(result: Result) -> Values:
    for name in LOOPS:
        for where, ratio in _ratio(name)(result):
            yield f"{result['competitors'][name]['title']}, {where}", 1 / ratio


def _errors(result: Result) -> Values:
    for case in [*result["cases"], *result["training"]]:
        errors = case["competitors"].get(LEADERS[case["work"]], {}).get("errors", {})
        if errors:
            yield case["shape"], max(errors.values())


def _above(result: Result) -> Values:
    for row in result["memory"]:
        if row["status"] == "ok":
            yield row["shape"], row["above_in_batches"]


def _resident(result: Result) -> Values:
    rows = [row for row in result["stores"] if row["status"] == "ok"]
    for row in rows:
        yield f"{row['samples']:,} samples, measured", row["peak_bytes"] / 1e9
    if len(rows) > 1 and rows[-1]["samples"] < FULL_SAMPLES:
        yield f"{FULL_SAMPLES:,} samples, extrapolated", extrapolated_peak(rows) / 1e9


def extrapolated_peak(rows: list[dict[str, Any]]) -> float:
    """Return the peak in bytes that the full recording would have, were the growth to go on."""
    line = store_growth(rows)
    return line["constant"] + line["per_unit"] * FULL_SAMPLES


def store_growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Fit how the peak of a process that records to a store grows with the samples."""
    return growth([row["samples"] for row in rows], [row["peak_bytes"] for row in rows])


def curve_points(result: Result, axis: str, competitor: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes along a curve and the median seconds of a competitor."""
    points = [
        (_size(case, axis), case["competitors"][competitor]["median_s"])
        for case in result["curves"].get(axis, [])
        if "median_s" in case["competitors"].get(competitor, {})
    ]
    sizes, seconds = np.array(points, float).reshape(-1, 2).T
    return sizes, seconds


def _size(case: dict[str, Any], axis: str) -> int:
    return len(case["units"]) if axis == "layers" else case[axis]


def _exponents(result: Result) -> Values:
    for axis in result["curves"]:
        sizes, seconds = curve_points(result, axis, OURS)
        if len(sizes) > 1:
            yield f"along {axis}", growth(sizes, seconds)["exponent"]


def _on_kernels() -> Iterator[Target]:
    """Yield the targets of training and prediction on the kernels."""
    sizes = ("A", "B", "C", "D")
    ways = (
        ("train", "stock", "A training step", "Keras's", 0.5),
        ("train", "torch_training", "A training step", "PyTorch's", 1.0),
        ("predict", "torch_training", "Predicting a batch", "PyTorch's", 1.0),
    )
    stacks = {
        "lstm": ("of LSTMs at the shapes A to D", sizes),
        "gru": ("of GRUs at the shapes A to D", [f"{size}_gru" for size in sizes]),
        "masked": ("of masked batches at the shape A", ["A_padded", "A_gaps", "A_gru_padded"]),
        "both_ways": (
            "of bidirectional LSTMs at the shape A",
            ["A_both_ways", "A_both_ways_padded"],
        ),
    }
    for stack, (what, names) in stacks.items():
        for work, other, words, whose, limit in ways:
            yield Target(
                f"{work}_{other}_{stack}",
                f"{words} {what} costs at most {limit:g} of {whose} time",
                limit,
                f"of {whose} time",
                _training_ratio(work, other, names),
                if_missed=PROCESSOR,
            )


TARGETS = (
    Target(
        "agreement",
        "All six quantities of all layers, outputs and losses equal the equations in float64",
        AGREEMENT,
        "largest difference",
        _errors,
    ),
    Target(
        "predict_article",
        "At the article's sizes, all six quantities cost at most what model.predict costs",
        1.0,
        "of predict's time",
        _ratio("predict", article=True),
        if_missed=WRITES,
    ),
    Target(
        "predict_anywhere",
        "At any size, they cost at most half as much again as model.predict",
        1.5,
        "of predict's time",
        _ratio("predict"),
    ),
    Target(
        "on_batch_article",
        "At the article's sizes, they cost at most what predict_on_batch costs",
        1.0,
        "of predict_on_batch's time",
        _ratio("predict_on_batch", article=True),
        if_missed=WRITES,
    ),
    Target(
        "on_batch_anywhere",
        "At any size but one small sample, at most half as much again as predict_on_batch",
        1.5,
        "of predict_on_batch's time",
        _ratio("predict_on_batch", small=False),
        if_missed=WRITES,
    ),
    Target(
        "predict_small",
        "One sample of 20 steps costs at most twice what predict_on_batch costs",
        2.0,
        "of predict_on_batch's time",
        _ratio("predict_on_batch", small=True),
        if_missed="To check a recording and to label its tree takes about as long for one sample "
        "as for a batch.",
    ),
    Target(
        "step",
        "A step of a StreamingSession costs at most 1.2 of one of stateful layers",
        1.2,
        "of predict_on_batch's time",
        _training_ratio("step", "stateful", ["one"]),
        if_missed="Before each step, the session looks for changes of the model.",
    ),
    Target(
        "loops",
        "At least ten times as fast as a Python loop over cells",
        10.0,
        "times as fast",
        _times_faster,
        at_most=False,
        if_missed="Keras's cell, called eagerly, is that slow at the article's sizes. PyTorch's is "
        "not: at 64 samples its loop takes about as long as record_traces, for h and c alone. With "
        "one sample of 20 steps, making a labelled tree outweighs the LSTM itself.",
    ),
    Target(
        "memory_batch",
        "Memory peaks above what is returned by one batch's arrays at most",
        1.0,
        "batches",
        _above,
        if_missed="The kernel gives tanh(c) as well, which nobody asked for, and the next layer "
        "takes the hidden states in the kernel's order: both are held while a batch runs.",
    ),
    Target(
        "memory_store",
        f"Recording {FULL_SAMPLES:,} samples to a store stays under 1.5 GB resident",
        1.5,
        "GB",
        _resident,
    ),
    Target(
        "linear",
        "Cost grows linearly at most in samples, steps and layers",
        EXPONENT,
        "as exponent",
        _exponents,
    ),
    Target(
        "first_recording",
        "The first recording of a model takes at most half a second more than its first prediction",
        0.5,
        "s more",
        _first_calls("record", "predict_on_batch"),
        if_missed=COMPILES,
    ),
    Target(
        "first_training",
        "The first training step takes at most half a second more than stock Keras's",
        0.5,
        "s more",
        _first_calls("train", "stock"),
        if_missed=COMPILES,
    ),
    Target(
        "import",
        "Importing lstm_states takes at most a tenth of a second more than importing Keras",
        0.1,
        "s more",
        _imports,
    ),
    *_on_kernels(),
)
