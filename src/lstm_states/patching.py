"""Patch the states of one input into the run of another, place by place.

Activation patching (Vig et al. 2020, Meng et al. 2022): the states that carry what tells two
inputs apart are those that, taken from one run, move the output of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.cells import KINDS
from lstm_states.traces.batches import check_inputs, count_samples, rows_of
from lstm_states.traces.derivative import Output, one_each, only_number
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import Part, plan_edits
from lstm_states.traces.record import record_traces
from lstm_states.traces.recorder import Recorder, check_live_states
from lstm_states.traces.request import check_quantities
from lstm_states.traces.traced_layers import (
    TracedLayer,
    Wanted,
    cells_of_all,
    select_layers,
)
from lstm_states.traces.tree import node_of_samples

OVER = ("layer", "quantity", "time")
"""Along what a grid of patches can go."""


def record_patch_grid(
    model: keras.Model,
    clean: Any,
    corrupted: Any,
    *,
    score: Output | None = None,
    over: Sequence[str] | str = ("layer", "time"),
    mask: np.ndarray | None = None,
    layers: Wanted = None,
    quantities: Sequence[str] | str | None = None,
    rows: int = 1024,
) -> xr.Dataset:
    """Measure how much of an output's difference each state carries, by patching.

    The model runs on ``corrupted``. At one place of the grid, its states are replaced by those of
    the run on ``clean``, and everything later follows. If the output then is that of ``clean``, the
    states at this place carry all of the difference; if it stays, they carry none. Many places run
    in one batch, so that a grid takes little more than its rows' predictions.

    Args:
        model: A built model that processes every sample independently.
        clean: The input whose states are taken, as :func:`lstm_states.record_traces` takes arrays.
        corrupted: The input into whose run they are put, with the same samples and steps.
        score: A function of the model's outputs, as tensors, that returns one number per sample.
            None if the model has one output of one number.
        over: The dimensions of the grid, some of ``layer``, ``quantity`` and ``time``. Along the
            others all is patched at once: without ``quantity``, all states of a layer.
        mask: Bool ``(sample, time)``, true where the step is real in both.
        layers: The layers to patch, as for :func:`lstm_states.record_traces`.
        quantities: What to patch of each layer; None is all its states.
        rows: Most rows in a batch.

    Returns:
        Dataset with ``score`` along ``over`` and ``sample``, the scores ``clean (sample)`` and
        ``corrupted (sample)`` without a patch, and ``carried`` along ``over``: the share of the
        difference that the patch brings back, by least squares over the samples, ``sum((score -
        corrupted) * (clean - corrupted)) / sum((clean - corrupted)**2)``. It is 1 where all of it
        is brought back and 0 where nothing is; a masked step brings nothing. NaN where a layer has
        no such quantity.

    Raises:
        ValueError: if an argument doesn't fit the model or the other input, or if the scores of
            both are the same; it says which.
        UnsupportedLayerError: if a layer can't be recorded, is called several times, or
            receives other rows than the samples: exclude it with ``layers``.

    Example:
        >>> grid = record_patch_grid(model, x, x_without_peak, score=lambda y: y[:, -1, 0])
        >>> grid["carried"].sel(layer="lstm_1").plot()
    """
    over = [over] if isinstance(over, str) else over
    wrong = [name for name in over if name not in OVER]
    if not over or wrong or len(set(over)) < len(over):
        raise ValueError(f"over is {over!r}; it must name some of {OVER}, each once")
    if rows < 1:
        raise ValueError(f"rows is {rows}; it must be at least 1")
    samples = count_samples(clean, mask)
    shapes = [[tuple(leaf.shape) for leaf in keras.tree.flatten(x)] for x in (clean, corrupted)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"clean has the shapes {shapes[0]}, corrupted {shapes[1]}: not the same")
    for x in (clean, corrupted):
        check_inputs(model, x)
    traced = select_layers(model, layers)
    check_quantities(quantities, traced)
    names = [quantities] if isinstance(quantities, str) else quantities
    traces = record_traces(model, clean, mask=mask, layers=layers, quantities=names)
    sources = _sources(traces, traced, names)
    coords = _coords(sources, over)
    plans = plan_edits([Edit(*target, set=0.0) for target in sources], traced, None)
    recorder = Recorder(model, None, (), probe=False, plans=plans)
    plain = Recorder(model, None, (), probe=False)
    runs = _Runs(sources, corrupted, mask, only_number if score is None else score)
    scores = {
        name: runs.scores(plain, np.arange(samples), rows, x=x)
        for name, x in (("clean", clean), ("corrupted", corrupted))
    }
    difference = scores["clean"] - scores["corrupted"]
    if not np.any(difference):
        raise ValueError("score is the same for clean and corrupted: no state carries a difference")
    places = [dict(zip(over, place, strict=True)) for place in product(*coords.values())]
    held = [n for n, place in enumerate(places) if any(_applies(place, t) for t in sources)]
    own = [places[n] for n in held]
    found = np.full((len(places), samples), np.nan, scores["clean"].dtype)
    ran = runs.scores(recorder, np.tile(np.arange(samples), len(own)), rows, places=own)
    found[held] = ran.reshape(-1, samples)
    found = found.reshape(*map(len, coords.values()), samples)
    shares = ((found - scores["corrupted"]) * difference).sum(-1) / (difference**2).sum()
    return xr.Dataset(
        {
            "score": ([*over, "sample"], found),
            **{name: ("sample", values) for name, values in scores.items()},
            "carried": (list(over), shares, {"long_name": "share of the difference carried"}),
        },
        coords=coords,
    )


def _applies(place: Mapping[str, Any], target: tuple[str, str]) -> bool:
    """Tell whether a place of the grid patches a quantity of a layer."""
    layer, quantity = target
    return place.get("layer", layer) == layer and place.get("quantity", quantity) == quantity


def _sources(
    traces: xr.DataTree, traced: Mapping[str, TracedLayer], names: Sequence[str] | None
) -> dict[tuple[str, str], np.ndarray]:
    """Return the values to patch, ``(sample, time, ...)``, by address and quantity."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for address in cells_of_all(traced):
        node = node_of_samples(traces, address)
        own = KINDS[node.attrs["cell"]].states if names is None else names
        found |= {(address, name): node[name].values for name in own if name in node}
    return found


def _coords(
    sources: Mapping[tuple[str, str], np.ndarray], over: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the labels along each dimension of the grid."""
    steps = {values.shape[1] for values in sources.values()}
    if "time" in over and len(steps) > 1:
        raise ValueError(
            f"the layers have {sorted(steps)} steps, so a grid over time has no common one; choose "
            "layers of the same number with layers=[...]"
        )
    labels: dict[str, list[Any]] = {
        "layer": list(dict.fromkeys(address for address, _ in sources)),
        "quantity": list(dict.fromkeys(name for _, name in sources)),
        "time": list(range(max(steps))),
    }
    return {name: labels[name] for name in over}


@dataclass(frozen=True)
class _Runs:
    """Runs of many rows, each a sample of an input with a patch of its own."""

    sources: Mapping[tuple[str, str], np.ndarray]
    x: Any
    mask: np.ndarray | None
    score: Output

    def scores(
        self,
        recorder: Recorder,
        samples: np.ndarray,
        rows: int,
        *,
        places: Sequence[Mapping[str, Any]] = (),
        x: Any = None,
    ) -> np.ndarray:
        """Return the score of each row.

        Args:
            recorder: Runs them, with an edit for each source if there are ``places``.
            samples: Which sample each row is; of several places, first all samples of the first.
            rows: Most rows in a batch.
            places: The places of the grid.
            x: The input in place of the corrupted one.
        """
        total, found = len(samples), []
        each = total // max(len(places), 1)
        size = min(rows, total)
        for first in range(0, total, size):
            # The last batch is filled up: one of another size would be compiled.
            chosen = np.minimum(np.arange(first, first + size), total - 1)
            own = samples[chosen]
            inputs = keras.tree.map_structure(
                lambda values, own=own: rows_of(values, own), self.x if x is None else x
            )
            mask = None if self.mask is None else tf.constant(np.asarray(self.mask)[own], bool)
            check_live_states(recorder.model, size)
            here = [places[n] for n in chosen // each] if places else []
            edits = [self._patch(target, here, own) for target in self.sources] if places else []
            outputs = recorder(inputs, mask, {}, edits)[0]["outputs"]
            found.append(one_each("score", self.score(outputs), size).numpy())
        return np.concatenate(found)[:total]

    def _patch(
        self, target: tuple[str, str], places: Sequence[Mapping[str, Any]], samples: np.ndarray
    ) -> Part:
        """Return where a source counts in each row, and its values there."""
        values = self.sources[target]
        applies = np.array([_applies(place, target) for place in places])
        where = np.broadcast_to(applies, (values.shape[1], len(places)))
        taken = values[samples]
        if "time" in places[0]:
            steps = np.array([place["time"] for place in places])
            where = where & (np.arange(values.shape[1])[:, np.newaxis] == steps)
            taken = taken[np.arange(len(samples)), steps][:, np.newaxis]
        return Part(where, None, np.ones([1] * (values.ndim - 2), bool), (taken.swapaxes(0, 1),))
