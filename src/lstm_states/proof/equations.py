"""Check traces against the equations that define them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import xarray as xr

from lstm_states.cells import KINDS, CellKind, layers_of
from lstm_states.nodes import by_piece

RESIDUALS = (*sorted({e.state for kind in KINDS.values() for e in kind.equations}), "carried")

ELEMENTWISE = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "softplus", "elu")

TOLERANCES = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-1}
"""Largest difference allowed in each precision, relative to 1 + the largest state."""


def check_traces(traces: xr.DataTree) -> xr.Dataset:
    """Measure how far traces deviate from the equations that define them.

    Args:
        traces: A tree from :func:`record_traces` with all quantities of its layers. If only some
            steps were kept, a step is checked if the step before it was kept as well.

    Returns:
        Dataset along ``layer`` of the largest absolute residuals over all samples, units and real
        steps that are not edited: ``cell`` of ``c = f * c_prev + i * g``; ``hidden`` of ``h = o *
        tanh(c)`` (with the layer's own activation), for a GRU of ``h = z * h_prev + (1 - z) * g``;
        ``carried`` of the states at masked steps against the step before; ``layer_output`` of the
        recorded states against the layer's own output for the sample that was probed during
        recording. A residual
        is NaN if there is no such equation, if Keras does not know the activation by name, or if
        units that the equation needs are missing.

    Raises:
        ValueError: if a layer lacks a quantity, naming both.

    Example:
        >>> check_traces(record_traces(model, x))["cell"].max()
    """
    if "derivatives" in traces.attrs:
        raise ValueError("traces holds derivatives, which do not obey the equations of the cell")
    nodes = layers_of(traces)
    rows = []
    for address, node in nodes.items():
        kind = KINDS[node.attrs["cell"]]
        missing = [name for name in kind.quantities if name not in node]
        if missing:
            raise ValueError(f"layer {address!r} has no {missing}; a check needs all quantities")
        pieces = by_piece(partial(_residuals, kind=kind, attrs=node.attrs), node)
        # Where one is NaN, there is no such equation, and all are.
        row = {name: float(np.max([own[name] for own in pieces])) for name in pieces[0]}
        rows.append({**row, "layer_output": node.attrs["layer_output_error"]})
    return xr.Dataset(
        {name: ("layer", [row[name] for row in rows]) for name in rows[0]},
        coords={"layer": list(nodes)},
    )


def _residuals(node: xr.Dataset, kind: CellKind, attrs: Mapping[str, Any]) -> dict[str, float]:
    return measure_residuals(
        kind,
        {str(name): variable.values for name, variable in node.data_vars.items()},
        activation=_activation(attrs, node.sizes["unit"]),
        go_backwards=bool(attrs["go_backwards"]),
        time=node["time"].values if "time" in node.coords else None,
    )


@np.errstate(invalid="ignore", over="ignore")  # states may explode
def measure_residuals(
    kind: CellKind,
    values: Mapping[str, np.ndarray],
    *,
    activation: Callable[..., Any] | None,
    go_backwards: bool,
    time: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the largest residual of each equation of one cell.

    Args:
        kind: The kind of the cell.
        values: Quantities ``(sample, time, unit)``, ``initial_hidden``, ``initial_cell``, ``mask
            (sample, time)`` and, if there were edits, ``edited (sample, time)``: an edited step
            obeys no equation, and those after it do again.
        activation: The activation that computes h from c; None skips that equation.
        go_backwards: Whether the steps run from the last to the first.
        time: Indices of the steps in the input; None if all steps are present.
    """
    real = values["mask"]
    before = {name: _previous(values, name, go_backwards) for name in kind.states}
    known = _known(real.shape[1], go_backwards, time)
    residuals = dict.fromkeys(RESIDUALS, np.nan)
    residuals["carried"] = 0.0
    if (masked := ~real & known).any():
        moved = [_apart(values[name], previous) for name, previous in before.items()]
        residuals["carried"] = _largest(np.max(moved, axis=0), masked)
    real = real & ~values.get("edited", np.zeros_like(real))
    apply = None if activation is None else partial(_by_unit, activation)
    for equation in kind.equations:
        if equation.activates and activation is None:
            continue
        due = equation.value(values, before, apply)
        where = real & known if equation.looks_back else real
        residuals[equation.state] = _largest(_apart(values[equation.state], due), where)
    return residuals


def _activation(attrs: Mapping[str, Any], units: int) -> Callable[..., Any] | None:
    """Return the activation if Keras knows it and the units are there that it looks at."""
    name = attrs.get("activation", "")
    try:
        return (
            keras.activations.get(name) if units == attrs["units"] or name in ELEMENTWISE else None
        )
    except ValueError:
        return None


def _by_unit(activation: Callable[..., Any], values: np.ndarray) -> np.ndarray:
    """Apply an activation that may look at all units, as to ``(row, unit)``."""
    if isinstance(activation, np.ufunc):
        return activation(values)
    rows = keras.ops.convert_to_tensor(values.reshape(-1, values.shape[-1]))
    return np.asarray(activation(rows)).reshape(values.shape)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how far two arrays are apart: 0 where both are NaN, infinite where one is."""
    apart = np.abs(a - b)
    if np.isfinite(apart).all():
        return apart
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0, np.nan_to_num(apart, nan=np.inf))


def _previous(values: Mapping[str, np.ndarray], name: str, go_backwards: bool) -> np.ndarray:
    """The state before each step, ``(sample, time, unit)``."""
    first = values[f"initial_{name}"][:, np.newaxis]
    if go_backwards:
        return np.concatenate([values[name][:, 1:], first], axis=1)
    return np.concatenate([first, values[name][:, :-1]], axis=1)


def _known(steps: int, go_backwards: bool, time: np.ndarray | None) -> np.ndarray:
    """Which steps follow right on the step before them, or on the start."""
    if time is None:
        return np.ones(steps, bool)
    follows = np.diff(time) == 1
    if go_backwards:
        return np.append(follows, False)
    return np.insert(follows, 0, time[0] == 0) if steps else np.ones(0, bool)


def _largest(values: np.ndarray, where: np.ndarray) -> float:
    """Return the largest of ``values (sample, time, ...)`` at steps ``where (sample, time)``."""
    return float(np.max(values[where], initial=0.0))
