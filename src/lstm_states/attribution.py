"""Attribute a model's output to inputs, tokens or states, so that the shares add up.

Integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks"):
the derivatives of the output are averaged along the straight path from a baseline to the values of
the run. The sum of all attributions is the change of the output, which is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import xarray as xr

from lstm_states.cells import is_start, layers_of
from lstm_states.layers import live_states
from lstm_states.proof.refusals import TraceError
from lstm_states.traces.batches import count_samples
from lstm_states.traces.derivative import Output
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import plan_edits
from lstm_states.traces.gradients import record_gradients
from lstm_states.traces.record import record_traces
from lstm_states.traces.traced_layers import (
    UnsupportedLayerError,
    Wanted,
    cells_of_all,
    select_layers,
)

POINTS = (16, 64, 256)
"""How many points of the path are taken: more where fewer miss the sum."""

AT_ONCE = POINTS[0] + 2
"""Most points, with both ends of the path, that share a batch."""

Baseline = float | np.ndarray | xr.DataTree


def record_attributions(
    model: keras.Model,
    x: Any,
    *,
    layers: Wanted,
    quantity: str = "inputs",
    baseline: Baseline = 0.0,
    output: Output | None = None,
    mask: np.ndarray | None = None,
    tolerance: float = 1e-3,
    rows: int = 1024,
) -> xr.DataTree:
    """Say how much each input or state of a layer contributes to a chosen output.

    The quantity is led from the baseline to what it is in the run, at all steps of all chosen
    layers at once, and everything later follows. Each value's attribution is its change times the
    mean derivative on the way (Sundararajan et al. 2017). All of them together are the change of
    the output from the baseline to the run. A model's tokens are attributed where the layer
    receives their embeddings: the sum over ``feature`` is that of a token. The layers of a
    Bidirectional receive the same values: choose both, and add theirs.

    Args:
        model: A built model that processes every sample independently.
        x: The input, as :func:`lstm_states.record_traces` takes arrays.
        layers: The layers, as for :func:`lstm_states.record_traces`. What one of them has set, no
            lower layer moves any more: for the model's input, choose the lowest.
        quantity: ``"inputs"``, what the layers are given; a state or gate; or ``"initial_hidden"``,
            ``"initial_cell"``, what they start from.
        baseline: Where the path begins: a number; an array that broadcasts to the quantity
            ``(sample, time, unit)``; or the traces of another input, which hold it.
        output: A function of the model's outputs, as tensors, that returns one number per sample.
            None if the model has one output of one number.
        mask: Bool ``(sample, time)``, true where the step is real.
        tolerance: How far the sum of a sample's attributions may be from the change of its output,
            relative to the largest change of all samples.
        rows: Most rows in a batch; several points of the path share one.

    Returns:
        A tree with a node for each layer, in which the quantity ``(sample, time, unit)`` holds the
        attributions, zero at masked steps. The root holds the output ``chosen (sample)``, that of
        the baseline ``chosen_at_baseline (sample)``, and ``residual (sample)``, the difference
        between the sum of all attributions and the change; its attribute ``points`` says how many
        points of the path were taken.

    Raises:
        TraceError: if the sums miss the changes by more than ``tolerance`` with the most points
            that are tried; it says by how much.
        UnsupportedLayerError: if a layer can't be recorded, is called several times, or receives
            other rows than the samples.
        ValueError: if an argument doesn't fit the model; it says which.

    Example:
        >>> shares = record_attributions(model, x, layers="lstm_1", output=lambda y: y[:, 0])
        >>> shares["lstm_1/inputs"].sum("feature")  # how much each step contributes
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance!r}; it must be above 0")
    if not isinstance(rows, int | np.integer) or rows < 1:
        raise ValueError(f"rows is {rows!r}; it must be an integer of at least 1")
    traced = select_layers(model, layers)
    plan_edits([Edit(address, quantity, set=0.0) for address in cells_of_all(traced)], traced, None)
    traces = record_traces(
        model, x, mask=mask, layers=layers, outputs=False, quantities=_recorded(quantity)
    )
    ends = _values(traces, quantity)
    path = _Path(model, x, mask, quantity, ends, _starts(baseline, quantity, ends), output, rows)
    for points in POINTS:
        found = path.integrate(points)
        # Rounding of the two outputs that are subtracted is nobody's miss.
        rounding = 1e-6 * (1 + np.abs(found.after))
        limit = tolerance * np.abs(found.change).max() + rounding
        if np.all(np.abs(found.residual) <= limit):
            return found.tree(traces, quantity, points)
    worst = int(np.argmax(np.abs(found.residual) - limit))
    change, residual = found.change[worst], found.residual[worst]
    raise TraceError(
        f"the attributions of sample {worst} add up to {change + residual:.6g}, but the output "
        f"changes by {change:.6g} from the baseline, with {points} points of the path: on the way "
        "it jumps, bends sharply or isn't a number. Choose a nearer baseline, or a larger tolerance"
    )


@dataclass(frozen=True)
class _Attributed:
    """What was found along a path, ``(sample, ...)``, by the address of a layer."""

    shares: Mapping[str, np.ndarray]
    before: np.ndarray
    after: np.ndarray

    @property
    def change(self) -> np.ndarray:
        """How much the output changes from the baseline to the run, ``(sample,)``."""
        return self.after - self.before

    @cached_property
    def residual(self) -> np.ndarray:
        """By how much the attributions exceed the change, ``(sample,)``."""
        sums = [values.reshape(len(values), -1).sum(1) for values in self.shares.values()]
        return np.sum(sums, 0) - self.change

    def tree(self, traces: xr.DataTree, quantity: str, points: int) -> xr.DataTree:
        """Lay the attributions out as the traces are."""
        root = xr.Dataset(
            {
                "chosen": ("sample", self.after),
                "chosen_at_baseline": ("sample", self.before),
                "residual": ("sample", self.residual),
            },
            attrs={**traces.attrs, "attributions": quantity, "points": points},
        )
        nodes = {"/": root}
        for address, node in layers_of(traces).items():
            shares = node[quantity].copy(data=self.shares[address])
            shares.attrs = {"long_name": f"attribution of the output to {quantity}"}
            nodes[f"/{address}"] = node[["mask"]].assign({quantity: shares})
        return xr.DataTree.from_dict(nodes)


@dataclass(frozen=True)
class _Path:
    """The straight path of a quantity from a baseline to the values of a run."""

    model: keras.Model
    x: Any
    mask: np.ndarray | None
    quantity: str
    ends: Mapping[str, np.ndarray]
    starts: Mapping[str, np.ndarray]
    output: Output | None
    rows: int

    def integrate(self, points: int) -> _Attributed:
        """Average the derivatives at so many points, by the rule of Gauss and Legendre."""
        places, weights = np.polynomial.legendre.leggauss(points)
        # On [0, 1], and both ends, which tell the change of the output and weigh nothing.
        places = np.array([0.0, 1.0, *(places + 1) / 2])
        weights = np.array([0.0, 0.0, *weights / 2])
        samples = count_samples(self.x, self.mask)
        # A stateful model runs batches of its own size alone; one of another size is compiled anew.
        at_once = 1 if live_states(self.model) else max(1, min(self.rows // samples, AT_ONCE))
        filled = -len(places) % at_once
        places = np.append(places, np.ones(filled))
        weights = np.append(weights, np.zeros(filled))
        means = {address: np.zeros(values.shape) for address, values in self.ends.items()}
        chosen = []
        for first in range(0, len(places), at_once):
            own = slice(first, first + at_once)
            slopes = self._slopes(places[own], samples)
            chosen += [*slopes.dataset["chosen"].values.reshape(-1, samples)]
            for address, mean in means.items():
                values = np.nan_to_num(slopes[address].dataset[self.quantity].values)
                mean += np.tensordot(weights[own], values.reshape(-1, *mean.shape), 1)
        shares = {a: mean * (self.ends[a] - self.starts[a]) for a, mean in means.items()}
        return _Attributed(shares, *chosen[:2])

    def _slopes(self, places: np.ndarray, samples: int) -> xr.DataTree:
        """Record the derivatives at some points of the path, all samples of the first first."""
        times = len(places)

        def repeated(values: Any) -> np.ndarray:
            return np.concatenate([np.asarray(values)] * times)

        edits = []
        for address, end in self.ends.items():
            start = self.starts[address]
            along = np.concatenate([start + place * (end - start) for place in places])
            edits.append(Edit(address, self.quantity, set=along.astype(end.dtype)))
        fixed = bool(live_states(self.model))
        return record_gradients(
            self.model,
            keras.tree.map_structure(repeated, self.x),
            output=self.output,
            mask=None if self.mask is None else repeated(self.mask),
            layers=list(self.ends),
            batch_size=None if fixed else min(times * samples, self.rows),
            edits=edits,
            quantities=_recorded(self.quantity),
        )


def _recorded(quantity: str) -> str:
    """Return what to ask a recording for; it holds what layers start from in any case."""
    return "hidden" if is_start(quantity) else quantity


def _values(traces: xr.DataTree, quantity: str) -> dict[str, np.ndarray]:
    """Return the quantity of each layer, zero at masked steps, which nothing changes."""
    found = {}
    for address, node in layers_of(traces).items():
        if address.rpartition("/")[2].startswith("call_"):
            raise UnsupportedLayerError(
                f"layer {address.rpartition('/')[0]!r} is called several times: an attribution "
                "can't tell its calls apart; exclude it with layers=[...]"
            )
        if "row" in node.dims:
            raise UnsupportedLayerError(
                f"layer {address!r} receives other rows than the samples; exclude it with "
                "layers=[...]"
            )
        own = node[quantity]
        found[address] = (own.where(node["mask"], 0.0) if "time" in own.dims else own).values
    return found


def _starts(
    baseline: Baseline, quantity: str, ends: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return where the path begins, by layer."""
    found = {}
    for address, end in ends.items():
        own: Any = baseline
        if isinstance(baseline, xr.DataTree):
            if address not in layers_of(baseline) or quantity not in baseline[address]:
                raise ValueError(f"baseline holds no {quantity!r} of layer {address!r}")
            own = np.nan_to_num(baseline[address].dataset[quantity].values)
        try:
            found[address] = np.broadcast_to(np.asarray(own, np.float64), end.shape)
        except (TypeError, ValueError):
            raise ValueError(
                f"baseline has shape {np.shape(own)}; that of {quantity!r} of layer {address!r} is "
                f"{end.shape}"
            ) from None
        if not np.isfinite(found[address]).all():
            raise ValueError("baseline holds NaN or infinity; it must be numbers")
    return found
