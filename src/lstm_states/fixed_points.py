"""Fixed points and slow points of a recurrent layer, with their stability.

Sussillo and Barak (2013), "Opening the Black Box: Low-Dimensional Dynamics in High-Dimensional
Recurrent Neural Networks": under a constant input, a layer's step is a map of its states, and what
it computes is told by the points where that map moves little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.kernels.cells import features_of, kind_of, units_of
from lstm_states.nodes import check_vectors, real_rows, select_nodes
from lstm_states.traces.traced_layers import vector_cell

MOST_STEPS = 200
"""Steps of the search after which a start that has not settled is given up as it is."""

DAMPING = (1e-3, 1e8)
"""Of the search: what it begins with, and the most, at which nothing lowers the speed further."""


def find_fixed_points(
    model: keras.Model,
    layer: str,
    starts: xr.DataTree | Sequence[np.ndarray] | np.ndarray,
    *,
    inputs: np.ndarray | float = 0.0,
    tolerance: float = 1e-5,
    unique: float = 1e-2,
    most: int = 512,
) -> xr.Dataset:
    """Find states that a recurrent layer keeps under a constant input, or leaves but slowly.

    From each start, the search lowers the speed ``|F(s) - s|``, where ``F`` is the layer's own step
    under the input and ``s`` are all its states together (h and c of an LSTM). Where it ends with a
    speed below ``tolerance``, there is a fixed point; where it ends above, a slow point: the speed
    is lowest there, but not zero. The search is that of Levenberg and Marquardt.

    Args:
        model: A built model.
        layer: The address of a layer, or of one cell of stacked cells.
        starts: Where to search from: a tree of :func:`lstm_states.record_traces`, whose states at
            real steps are taken, or states ``(start, unit)`` in Keras's order. More starts find
            more points; none guarantees all.
        inputs: The constant input ``(feature,)``, or a number for all features. A cell with
            equations of its own needs the array: nothing else says how many features it takes.
        tolerance: The speed below which a point counts as fixed.
        unique: Points closer than this, by their largest difference, count as one.
        most: Most starts; of more, a random choice (of a fixed seed) is taken.

    Returns:
        Dataset along ``point``, the lowest speed first: the states ``hidden (point, unit)`` and so
        on; ``speed (point)``, the Euclidean norm of the step; ``fixed (point)``; the ``eigenvalues
        (point, mode)`` of the step's Jacobian, complex, the largest first; ``stable (point)``,
        whether all are smaller than 1 in absolute value; and ``starts (point)``, how many starts
        ended there, or within ``unique`` of it at no lower speed.

    Raises:
        UnsupportedLayerError: if the layer's states are no vectors.
        ValueError: if an argument doesn't fit the layer, or its step is NaN or infinite; it says
            which.

    Example:
        >>> points = find_fixed_points(model, "gru", record_traces(model, x))
        >>> points.isel(point=points["fixed"] & points["stable"])["hidden"]
    """
    for name, value in (("tolerance", tolerance), ("unique", unique)):
        if not isinstance(value, Real) or not value >= 0:
            raise ValueError(f"{name} is {value!r}; it must be a number of at least 0")
    if not isinstance(most, Integral) or most < 1:
        raise ValueError(f"most is {most!r}; it must be an integer of at least 1")
    cell = vector_cell(model, layer)[1]
    names = kind_of(cell).states
    given = _inputs(cell, layer, inputs)
    states = _starts(starts, layer, names, units_of(cell), most)
    move, jacobians = _compiled(cell, given, len(names))
    _check_finite(layer, "step", move(states))
    found, speeds = _settle(states, move, jacobians)
    order = np.argsort(speeds, kind="stable")
    kept: list[int] = []
    merged = np.zeros(len(found), int)
    for n in order:
        near = [k for k in kept if np.abs(found[k] - found[n]).max() < unique]
        merged[near[0] if near else n] += 1
        if not near:
            kept.append(int(n))
    points = found[kept]
    slopes = jacobians(points)
    _check_finite(layer, "Jacobian of the step", slopes)
    eigenvalues = np.linalg.eigvals(slopes)
    by_size = np.argsort(-np.abs(eigenvalues), 1, kind="stable")
    eigenvalues = np.take_along_axis(eigenvalues, by_size, 1).astype(complex)
    parts = np.split(points, len(names), axis=1)
    return xr.Dataset(
        {
            **{name: (("point", "unit"), own) for name, own in zip(names, parts, strict=True)},
            "speed": ("point", speeds[kept]),
            "fixed": ("point", speeds[kept] < tolerance),
            "eigenvalues": (("point", "mode"), eigenvalues),
            "stable": ("point", np.abs(eigenvalues).max(1) < 1),
            "starts": ("point", merged[kept]),
        },
        attrs={"layer": layer, "inputs": given[0].tolist(), "tolerance": tolerance},
    )


def _inputs(cell: keras.Layer, layer: str, inputs: np.ndarray | float) -> np.ndarray:
    """Return the constant input ``(1, feature)``, which the cell casts to its own precision."""
    size = features_of(cell)
    array = np.asarray(inputs)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"inputs is {inputs!r}; it must hold finite real numbers")
    if array.ndim == 0:
        if size is None:
            raise ValueError(
                f"inputs is {inputs!r}, but layer {layer!r} has equations of its own, of which it "
                "isn't known how many features they take; pass an array (feature,)"
            )
        array = np.full(size, array)
    if array.ndim != 1 or size not in (None, array.size):
        raise ValueError(
            f"inputs has shape {array.shape}; layer {layer!r} takes ({size or 'feature'},) at each "
            "step"
        )
    return array[np.newaxis].astype(np.float64)


def _starts(starts: Any, layer: str, names: Sequence[str], units: int, most: int) -> np.ndarray:
    """Return all states side by side, ``(start, number of states * unit)``."""
    if isinstance(starts, xr.DataTree):
        nodes = [select_nodes(starts, name, [layer])[layer] for name in names]
        pairs = zip(nodes, names, strict=True)
        arrays = [_states_of(layer, node, name, most) for node, name in pairs]
    else:
        arrays = [np.asarray(a) for a in (starts if isinstance(starts, list | tuple) else [starts])]
    shapes = [array.shape for array in arrays]
    if len(arrays) != len(names) or len(set(shapes)) > 1 or shapes[0][1:] != (units,):
        raise ValueError(
            f"starts has the shapes {shapes}; layer {layer!r} needs {list(names)}, each (start, "
            f"{units})"
        )
    if not len(arrays[0]):
        raise ValueError(f"starts holds no state of layer {layer!r} at a real step")
    joined = np.concatenate(arrays, 1)
    if joined.dtype.kind not in "biuf" or not np.isfinite(joined).all():
        raise ValueError("starts holds NaN, infinity or what is no real number")
    joined = joined.astype(np.float64)
    if len(joined) > most:
        joined = joined[_choice(len(joined), most)]
    return joined


def _choice(size: int, most: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).choice(size, most, replace=False))


def _states_of(layer: str, node: xr.Dataset, name: str, most: int) -> np.ndarray:
    """Return a state at the real steps; of Dask's arrays those alone that are chosen."""
    if not node.chunks:
        return real_rows(layer, node, name)
    check_vectors(layer, node, name, ("unit",))
    places = np.argwhere(node["mask"].values)
    places = places[_choice(len(places), most)] if len(places) > most else places
    dims = node["mask"].dims
    chosen = {dim: xr.DataArray(own, dims="start") for dim, own in zip(dims, places.T, strict=True)}
    return node[name].isel(chosen).values


def _check_finite(layer: str, what: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"the {what} of layer {layer!r} holds NaN or infinity: its weights do, or the starts "
            "or inputs are too large for it"
        )


def _compiled(
    cell: keras.Layer, given: np.ndarray, number: int
) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Return the step of the cell, ``(start, state)`` to the same, and its Jacobians."""
    options = {"training": False} if cell._call_has_training_arg else {}

    def step(states: tf.Tensor) -> tf.Tensor:
        parts = tuple(tf.split(states, number, axis=1))
        x = tf.repeat(tf.constant(given, states.dtype), tf.shape(states)[0], axis=0)
        after = keras.tree.flatten(cell(x, parts, **options)[1])
        return tf.concat(after, 1)

    @tf.function(autograph=False, reduce_retracing=True)
    def jacobians(states: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(states)
            after = step(states)
        return tape.batch_jacobian(after, states)

    moved = tf.function(step, autograph=False, reduce_retracing=True)

    def run(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        dtype = cell.compute_dtype
        return lambda states: np.asarray(function(tf.constant(states, dtype)), np.float64)

    return run(moved), run(jacobians)


def _settle(
    states: np.ndarray,
    move: Callable[[np.ndarray], np.ndarray],
    jacobians: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Lower the speed from each start; return where it is lowest, and how low.

    Each start has a damping of its own, smaller after a step that helped and larger after one that
    did not, as Marquardt (1963) has it.
    """
    states = states.copy()
    away = move(states) - states
    speeds = np.linalg.norm(away, axis=1)
    damping = np.full(len(states), DAMPING[0])
    unit = np.eye(states.shape[1])
    for _ in range(MOST_STEPS):
        open_still = np.flatnonzero((speeds > 0) & (damping < DAMPING[1]))
        if not len(open_still):
            break
        slope = jacobians(states[open_still]) - unit
        normal = np.swapaxes(slope, 1, 2) @ slope + damping[open_still, None, None] * unit
        descent = np.swapaxes(slope, 1, 2) @ away[open_still, :, None]
        tried = states[open_still] - np.linalg.solve(normal, descent)[..., 0]
        left = move(tried) - tried
        now = np.linalg.norm(left, axis=1)
        better = now < speeds[open_still]
        chosen = open_still[better]
        states[chosen], away[chosen], speeds[chosen] = tried[better], left[better], now[better]
        damping[open_still] *= np.where(better, 0.2, 10.0)
        damping = damping.clip(1e-12)
    return states, speeds
