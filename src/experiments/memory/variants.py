"""The compared layers: LSTMs with different initial gates, SimpleRNN and GRU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from experiments.shared.learning import build_each, named

VARIANTS = {
    "forget_bias_0": "LSTM, forget bias 0",
    "forget_bias_1": "LSTM, forget bias 1 (default)",
    "chrono": "LSTM, chrono initialisation",
    "gru": "GRU",
    "simple_rnn": "SimpleRNN",
}
"""The variants, and what they are in words."""

LSTMS = ("forget_bias_0", "forget_bias_1", "chrono")
"""Those that have a cell state."""

AT_ONCE = 20
"""Training steps that TensorFlow takes without coming back to Python; results are the same."""


def build_variant(
    variant: str, timesteps: int, features: int, *, units: int, learning_rate: float = 0.001
) -> keras.Model:
    """Build one recurrent layer with a head of one unit on its last h.

    Args:
        variant: One of :data:`VARIANTS`.
        timesteps: Length of every sequence; chrono initialisation spreads its units over it.
        features: Numbers per timestep.
        units: Width of the layer.
        learning_rate: Adam's step size.

    Returns:
        A compiled model from ``(batch, timesteps, features)`` to ``(batch, 1)``.

    Raises:
        ValueError: if there is no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}; allowed are {', '.join(VARIANTS)}")
    layer = _layer(variant, units, timesteps)
    model = keras.Sequential([keras.Input((timesteps, features)), layer, keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer=optimizer, loss="mse", steps_per_execution=AT_ONCE)
    return model


def build_variants(
    timesteps: int, features: int, *, units: int, seeds: Sequence[int]
) -> dict[str, dict[str, keras.Model]]:
    """Build all variants for each seed, untrained.

    Returns:
        By variant, models by name, ``seed 0`` and so on.
    """
    return {
        variant: named(dict(build_each(build, seeds)))
        for variant in VARIANTS
        for build in [partial(build_variant, variant, timesteps, features, units=units)]
    }


def _layer(variant: str, units: int, timesteps: int) -> keras.layers.RNN:
    if variant == "gru":
        return keras.layers.GRU(units)
    if variant == "simple_rnn":
        return keras.layers.SimpleRNN(units)
    if variant == "forget_bias_1":
        return keras.layers.LSTM(units)
    bias = chrono(timesteps) if variant == "chrono" else "zeros"
    return keras.layers.LSTM(units, unit_forget_bias=False, bias_initializer=bias)


def chrono(longest: int) -> Callable[..., Any]:
    """Return an initialiser of an LSTM's biases that spreads its units over time scales.

    Source: Tallec and Ollivier (2018), "Can recurrent neural networks warp time?", equation 16: the
    forget bias is ``log(uniform(1, longest - 1))`` and the input bias minus that.

    Args:
        longest: Steps over which something may have to be remembered, at least 3.

    Raises:
        ValueError: if ``longest`` leaves nothing to draw from.
    """
    if longest < 3:
        raise ValueError(f"longest is {longest}; chrono initialisation needs 3 steps or more")

    def initialise(shape: tuple[int, ...], dtype: Any = None) -> Any:
        spread = keras.random.uniform((shape[0] // 4,), 1.0, longest - 1.0, dtype=dtype)
        forget = keras.ops.log(spread)
        nothing = keras.ops.zeros_like(forget)
        return keras.ops.concatenate([-forget, forget, nothing, nothing])  # i, f, c, o

    return initialise


def set_forget_bias(layer: keras.layers.RNN, value: float) -> None:
    """Set all forget biases of an LSTM layer to ``value``."""
    bias = np.asarray(layer.cell.bias).copy()
    bias[layer.units : 2 * layer.units] = value  # Keras's order is i, f, c, o
    layer.cell.bias.assign(bias)
