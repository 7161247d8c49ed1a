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

from lstm_states.cells import INPUTS, is_start, layers_of
from lstm_states.layers import live_states
from lstm_states.proof.refusals import TraceError
from lstm_states.traces.batches import count_samples, is_stream
from lstm_states.traces.derivative import Output
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import plan_edits
from lstm_states.traces.gradients import check_exact, record_gradients
from lstm_states.traces.record import record_traces
from lstm_states.traces.traced_layers import (
    TracedLayer,
    Wanted,
    is_matched,
    select_layers,
    supported_layers,
)
from lstm_states.traces.tree import node_of_samples

POINTS = (16, 64, 256)
"""How many points of the path are taken: more where fewer miss the sum."""

Baseline = float | np.ndarray | xr.DataTree


def record_attributions(
    model: keras.Model,
    x: Any,
    *,
    layers: Wanted,
    quantity: str = INPUTS,
    baseline: Baseline = 0.0,
    y: Any = None,
    output: Output | str | None = None,
    mask: np.ndarray | None = None,
    tolerance: float = 1e-3,
    batch_size: int | None = None,
) -> xr.DataTree:
    """Say how much each input or state of a layer contributes to a chosen output.

    The quantity is led from the baseline to what it is in the run, at all steps of all chosen
    layers at once, and everything later follows. Each value's attribution is its change times the
    mean derivative on the way (Sundararajan et al. 2017). All of them together are the change of
    the output from the baseline to the run.

    A model's tokens are attributed where the layer receives their embeddings: the sum over
    ``feature`` is that of a token. The layers of a Bidirectional receive the same values: choose
    both, and add theirs. What one layer has set, no lower layer moves any more: for the model's
    input, choose the lowest.

    Args:
        model: A built model that processes every sample independently.
        x: The input, as :func:`lstm_states.record_traces` takes arrays.
        layers: Addresses or shell patterns of layers or of cells of stacked cells, or layers of the
            model, one or several.
        quantity: ``"inputs"``, what the layers are given, of stacked cells the lowest chosen one; a
            state or gate; or ``"initial_hidden"``, ``"initial_cell"``, what they start from.
        baseline: Where the path begins: a number; an array that broadcasts to the quantity
            ``(sample, time, unit)``; or the traces of another input, which hold it.
        y: Targets, as for :func:`lstm_states.record_gradients`.
        output: What to attribute, as for :func:`lstm_states.record_gradients`.
        mask: Bool ``(sample, time)``, true where the step is real.
        tolerance: How far the sum of a sample's attributions may be from the change of its output,
            relative to the largest change of all samples; rounding of the outputs, 1e-6 of their
            size, comes on top.
        batch_size: Samples per batch.

    Returns:
        A tree with a node for each layer, in which the quantity ``(sample, time, unit)`` holds the
        attributions, zero at masked steps. The root holds the output ``chosen (sample)``, that of
        the baseline ``chosen_at_baseline (sample)``, and ``residual (sample)``, the difference
        between the sum of all attributions and the change; its attribute ``points`` says how many
        points of the path were taken: 16, or 64 or 256 where fewer miss the change.

    Raises:
        TraceError: if the sums miss the changes by more than ``tolerance`` with 256 points; it says
            by how much.
        UnsupportedLayerError: if a layer can't be recorded, computes in half precision, is called
            several times, or receives other rows than the samples.
        ValueError: if an argument doesn't fit the model; it says which.

    Example:
        >>> shares = record_attributions(model, x, layers="lstm_1", output=lambda y: y[:, 0])
        >>> shares["lstm_1/inputs"].sum("feature")  # how much each step contributes
    """
    if not isinstance(tolerance, int | float | np.number) or not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance!r}; it must be a number above 0")
    if is_stream(x):
        raise ValueError("x is an iterator, but it must be read at each point of the path: arrays")
    check_exact(model)
    _check_live_states(model, count_samples(x, mask))
    holding, cells = _choose(model, layers, quantity)
    plan_edits([Edit(cell, quantity, set=0.0) for cell in cells], holding, None)
    traces = record_traces(
        model, x, mask=mask, layers=list(holding), outputs=False, quantities=_recorded(quantity),
        batch_size=batch_size,
    )  # fmt: skip
    ends, starts = {}, {}
    for cell in cells:
        node = node_of_samples(traces, cell)
        starts[cell] = _start(baseline, cell, quantity, node)
        # Masked steps can't be edited: there, the path stands still.
        ends[cell] = node[quantity].where(_real(node, quantity), 0.0).values
    given = {"y": y, "output": output, "mask": mask, "batch_size": batch_size}
    path = _Path(model, x, quantity, ends, starts, {**given, "layers": list(holding)})
    for points in POINTS:
        found = path.integrate(points)
        sizes = np.maximum(np.abs(found.before), np.abs(found.after))
        limit = tolerance * np.abs(found.change).max() + 1e-6 * (1 + sizes)
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
    """What was found along a path, ``(sample, ...)``, by the address of a cell."""

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
        for address, values in self.shares.items():
            node = traces[address].to_dataset()
            shares = node[quantity].copy(data=values)
            shares.attrs = {"long_name": f"attribution of the output to {quantity}"}
            nodes[f"/{address}"] = node[["mask"]].assign({quantity: shares})
        return xr.DataTree.from_dict(nodes)


@dataclass(frozen=True)
class _Path:
    """The straight path of a quantity from a baseline to the values of a run."""

    model: keras.Model
    x: Any
    quantity: str
    ends: Mapping[str, np.ndarray]
    starts: Mapping[str, np.ndarray]
    given: Mapping[str, Any]
    """Further arguments of :func:`record_gradients`."""

    def integrate(self, points: int) -> _Attributed:
        """Average the derivatives at so many points, by the rule of Gauss and Legendre."""
        places, weights = np.polynomial.legendre.leggauss(points)
        means = {cell: np.zeros(end.shape) for cell, end in self.ends.items()}
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):  # on [0, 1]
            slopes = self._slopes(place)
            for cell, mean in means.items():
                own = slopes[cell].dataset[self.quantity].values
                mean += weight * np.nan_to_num(own)  # masked steps have no gate to go back to
        shares = {c: mean * (self.ends[c] - self.starts[c]) for c, mean in means.items()}
        return _Attributed(shares, *self._outputs)

    @cached_property
    def _outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """The chosen output ``(sample,)`` at the baseline and in the run."""
        before, after = (self._slopes(place).dataset["chosen"].values for place in (0.0, 1.0))
        return before, after

    def _slopes(self, place: float) -> xr.DataTree:
        """Record the derivatives at one place of the path, 0 at the baseline and 1 in the run."""
        edits = []
        for cell, end in self.ends.items():
            along = self.starts[cell] + place * (end - self.starts[cell])
            edits.append(Edit(cell, self.quantity, set=along.astype(end.dtype)))
        return record_gradients(
            self.model, self.x, quantities=_recorded(self.quantity), edits=edits, **self.given
        )


def _check_live_states(model: keras.Model, samples: int) -> None:
    """Refuse samples of which later ones start from the states of earlier ones."""
    rows = {variable.shape[0] for variable in live_states(model).values()}
    if rows - {samples}:
        raise ValueError(
            f"x has {samples} samples, but model {model.name!r} is stateful for batches of "
            f"{rows.pop()}: later batches start from what earlier ones do. Pass one batch, or "
            "stateless_twin(model)"
        )


def _choose(
    model: keras.Model, layers: Wanted, quantity: str
) -> tuple[dict[str, TracedLayer], list[str]]:
    """Return the layers asked for, and the addresses of their cells that are to be edited."""
    found = supported_layers(model)
    cells = [cell for layer in found.values() for cell in layer.cells]
    chosen: set[str] = set()
    for pattern in [layers] if isinstance(layers, str | keras.Layer) else layers or ["*"]:
        if isinstance(pattern, str):
            own = {cell for cell in cells if is_matched(cell, pattern)}
        else:
            own = {c for layer in select_layers(model, pattern).values() for c in layer.cells}
        if not own:
            raise ValueError(f"no recurrent layer matches {pattern!r}; available are {cells}")
        chosen |= own
    holding = {a: layer for a, layer in found.items() if chosen.intersection(layer.cells)}
    edited = []
    for layer in holding.values():
        own_cells = [cell for cell in layer.cells if cell in chosen]
        # What the upper cells of a stack are given follows from what the lowest one is given.
        edited += own_cells[:1] if quantity == INPUTS else own_cells
    return holding, edited


def _recorded(quantity: str) -> str:
    """Return what to ask a recording for; it holds what layers start from in any case."""
    return "hidden" if is_start(quantity) else quantity


def _start(baseline: Baseline, address: str, quantity: str, node: xr.Dataset) -> np.ndarray:
    """Return where the path of a cell begins, zero at masked steps."""
    own: Any = baseline
    if isinstance(baseline, xr.DataTree):
        own = _held(baseline, address, quantity)
    end = node[quantity]
    try:
        start = end.copy(data=np.broadcast_to(np.asarray(own, np.float64), end.shape))
    except (TypeError, ValueError):
        raise ValueError(
            f"baseline is {own!r}; {quantity!r} of layer {address!r} needs numbers that broadcast "
            f"to the shape {end.shape}"
        ) from None
    start = start.where(_real(node, quantity), 0.0)
    if not np.isfinite(start).all():
        raise ValueError(f"baseline holds NaN or infinity for a real step of layer {address!r}")
    return start.values


def _real(node: xr.Dataset, quantity: str) -> Any:
    """Tell at which steps a quantity can be edited."""
    return node["mask"] if "time" in node[quantity].dims else True


def _held(baseline: xr.DataTree, address: str, quantity: str) -> np.ndarray:
    """Return what traces of another input hold of a quantity."""
    if {"derivatives", "attributions"} & baseline.attrs.keys():
        raise ValueError("baseline holds derivatives or attributions, which are no values")
    node = layers_of(baseline).get(address, xr.Dataset())
    if quantity not in node:
        raise ValueError(f"baseline holds no {quantity!r} of layer {address!r}")
    own = node[quantity]
    for dim in own.dims:
        if not np.array_equal(own[dim], np.arange(own.sizes[dim])):
            raise ValueError(f"baseline holds only some of {dim} of layer {address!r}: record all")
    return own.values
