"""Training on a long sequence: in one piece, or in pieces that carry the states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import xarray as xr

from experiments.cost.costs import make_costs
from experiments.cost.process import Prepare, measure_growth
from experiments.shared.learning import make_deterministic
from experiments.shared.stack import distance, recurrent
from lstm_states.cells import QUANTITIES
from lstm_states.stateful import reset_states
from lstm_states.twins import stateful_twin

UNITS = (64, 32)
FEATURES = 8
MB = 1e6

WAYS = ("in one piece", "in pieces")


def prepare_training(steps: int, piece: int, batch_size: int) -> Callable[[], object]:
    """Return a function that trains on one batch of long sequences, piece after piece.

    Each piece is a step of the optimizer, and the states go on from piece to piece.

    Args:
        steps: Length of the sequences.
        piece: Steps of a piece; ``steps`` itself is the whole back-propagation.
        batch_size: Sequences side by side.
    """
    make_deterministic()
    model = _stack(batch_size)
    x = _sequences(batch_size, steps)
    y = x[..., :1]

    def train() -> None:
        for start in range(0, steps, piece):
            model.train_on_batch(x[:, start : start + piece], y[:, start : start + piece])

    return train


def measure_training(
    lengths: Sequence[int],
    *,
    piece: int,
    batch_size: int,
    processes: int,
    prepare: Prepare = prepare_training,
) -> xr.Dataset:
    """Train on long sequences in one piece and in pieces, in a process of its own each time.

    Args:
        lengths: Steps of the sequences, multiples of ``piece``; a case each.
        piece: Steps of a piece.
        batch_size: Sequences side by side.
        processes: Of each way, in turns with those of the other.
        prepare: Makes what is trained; only tests change it.

    Returns:
        As :func:`make_costs`: the megabytes by which the peak of memory grew, and those of all
        states and gates that back-propagation needs at once.
    """
    per_step = _bytes_per_step(_stack(batch_size), batch_size) / MB
    taken, counted, apart = {}, {}, []
    for steps in lengths:
        sizes = dict(zip(WAYS, (steps, piece), strict=True))
        ways = {
            way: {"steps": steps, "piece": size, "batch_size": batch_size}
            for way, size in sizes.items()
        }
        taken[f"{steps} steps"] = _growth(prepare, ways, processes)
        counted[f"{steps} steps"] = [size * per_step for size in sizes.values()]
        apart.append(_apart(steps, piece, batch_size))
    return make_costs(
        taken,
        counted,
        apart=apart,
        counts="States and gates that back-propagation needs at once",
        unit="MB",
    )


def _growth(
    prepare: Prepare, ways: Mapping[str, Mapping[str, int]], processes: int
) -> xr.DataArray:
    """Return the megabytes by which the peak of memory grew, ``(way, round)``."""
    grown = [measure_growth(prepare, ways) for _ in range(processes)]
    return xr.DataArray(
        [[growth[way] / MB for growth in grown] for way in ways],
        dims=("way", "round"),
        coords={"way": list(ways)},
        attrs={"long_name": "Growth of peak memory", "units": "MB"},
    )


def _stack(batch_size: int) -> keras.Model:
    """Build a stack of stock Keras layers that carries its states and predicts at every step."""
    keras.utils.set_random_seed(0)
    # A bare head: over a fixed number of steps TimeDistributed would be unrolled.
    layers = [keras.layers.LSTM(units, return_sequences=True) for units in UNITS]
    model = keras.Sequential([keras.Input((None, FEATURES)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return stateful_twin(model, batch_size=batch_size)


def _sequences(batch_size: int, steps: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch_size, steps, FEATURES)).astype(np.float32)


def _bytes_per_step(model: keras.Model, batch_size: int) -> int:
    """Return the size of h, c and the four gates of all layers in one step."""
    units = sum(layer.units for layer in recurrent(model))
    return len(QUANTITIES) * units * batch_size * np.dtype(np.float32).itemsize


def _apart(steps: int, piece: int, batch_size: int) -> float:
    """Return how far the predictions in one piece and in pieces are apart."""
    x = _sequences(batch_size, steps)
    model = _stack(batch_size)
    whole = model.predict_on_batch(x)
    reset_states(model)
    cuts = np.split(x, steps // piece, axis=1)
    pieces = [model.predict_on_batch(cut) for cut in cuts]
    return distance(whole, np.concatenate(pieces, axis=1))
