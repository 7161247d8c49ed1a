"""The reach of a gradient: the derivative of the last h with respect to earlier inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.memory.variants import VARIANTS
from experiments.shared.stack import options, recurrent, run_layers

STACK = "stack"
"""What the way through all layers is called."""

AT_START = {
    "forget_bias_0": "forget_bias_0",
    "forget_bias_1": "default",
    "chrono": "chrono",
    "gru": "gru",
    "simple_rnn": "simple_rnn",
}
"""By variant the ending of its measure's name, at initialisation; some stand in claims.yaml."""

TRAINED = {
    "forget_bias_0": "forget_bias_0_trained",
    "forget_bias_1": "trained",
    "chrono": "chrono_trained",
}
"""The same after training."""


def measure_slopes(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Measure the gradient of the last h by the input of each step.

    It is the Frobenius norm of the Jacobian, the mean over samples. Each layer is taken by itself,
    its last h by what it is given from below; and the stack as a whole, the top layer's last h by
    ``x``.

    Args:
        models: By name, recurrent layers of any kind in a row, of the same depth.
        x: ``(sample, time, feature)``.

    Returns:
        ``slope (model, part, lag)``; ``part`` is ``layer 1`` and so on and, for more than one
        layer, ``stack``; ``lag`` counts steps back from the last one.
    """
    rows = [_slopes_of_parts(model, x) for model in models.values()]
    about = {"long_name": "Gradient of the last h by the input", "units": "1"}
    return xr.Dataset(
        {"slope": (("model", "part", "lag"), [list(row.values()) for row in rows], about)},
        coords={"model": list(models), "part": list(rows[0]), "lag": np.arange(x.shape[1])},
    )


def _slopes_of_parts(model: keras.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    layers, runs = recurrent(model), run_layers(model, x)
    slopes = {
        f"layer {number}": _slopes(_alone(layer), runs[layer.name].given, layer.units)
        for number, layer in enumerate(layers, 1)
    }
    if len(layers) > 1:
        top = layers[-1]
        whole = lambda given: run_layers(model, given)[top.name].states[0]  # noqa: E731
        slopes[STACK] = _slopes(whole, runs[layers[0].name].given, top.units)
    return slopes


def _alone(layer: keras.layers.RNN) -> Callable[[tf.Tensor], tf.Tensor]:
    def last_hidden(given: tf.Tensor) -> tf.Tensor:
        with options(layer, return_sequences=False, return_state=False):
            return layer(given)

    return last_hidden


def _slopes(
    last_hidden: Callable[[tf.Tensor], tf.Tensor], given: tf.Tensor, units: int
) -> np.ndarray:
    """Return the norm of the Jacobian by lag, ``(lag,)``."""
    samples, steps, features = given.shape
    # Each sample runs once for each unit, so that one pass back gives every row of the Jacobian.
    each = tf.repeat(given, units, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(each)
        hidden = last_hidden(each)
        chosen = tf.reduce_sum(hidden * tf.tile(tf.eye(units, dtype=hidden.dtype), [samples, 1]))
    rows = np.asarray(tape.gradient(chosen, each), np.float64)
    jacobian = rows.reshape(samples, units, steps, features)
    norms = np.sqrt((jacobian**2).sum(axis=(1, 3)))
    return norms.mean(axis=0)[::-1]


def measure_variants(
    variants: Mapping[str, Mapping[str, keras.Model]], x: np.ndarray
) -> xr.Dataset:
    """Measure the gradient of the last h by the input of each step, for single layers.

    Args:
        variants: By variant, models of one layer by name.
        x: ``(sample, time, feature)``.

    Returns:
        ``slope (variant, model, lag)``, as :func:`measure_slopes` has it.
    """
    found = [measure_slopes(models, x).isel(part=0, drop=True) for models in variants.values()]
    return xr.concat(found, xr.DataArray(list(variants), dims="variant", name="variant"))


def as_kept_by_variant(slopes: xr.Dataset, endings: Mapping[str, str], when: str) -> xr.Dataset:
    """Return what is left of the gradient at the first step as evidence, for each variant.

    Args:
        slopes: What :func:`measure_variants` returned.
        endings: By variant the ending of its measure's name.
        when: Before or after training, in words.

    Returns:
        ``slope_kept_default`` and so on over ``model``: the gradient by the first step over that
        by the last.
    """
    kept = {
        f"slope_kept_{ending}": _kept(
            slopes["slope"].sel(variant=variant, drop=True), f"{VARIANTS[variant]}, {when}"
        )
        for variant, ending in endings.items()
    }
    return xr.Dataset(kept)


def as_kept_by_part(slopes: xr.Dataset, name: str, where: str) -> xr.Dataset:
    """Return what is left of the gradient at the first step as evidence, for each part of a stack.

    Args:
        slopes: What :func:`measure_slopes` returned.
        name: Of the stack; the measures are ``slope_kept_<name>_layer_1`` and so on.
        where: Which stack it is, in words.
    """
    kept = {
        f"slope_kept_{name}_{part}".replace(" ", "_"): _kept(
            slopes["slope"].sel(part=part, drop=True), f"{where}, {part}"
        )
        for part in slopes["part"].values
    }
    return xr.Dataset(kept)


def _kept(slope: xr.DataArray, where: str) -> xr.DataArray:
    steps = slope.sizes["lag"] - 1
    kept = slope.isel(lag=-1, drop=True) / slope.isel(lag=0, drop=True)
    words = f"Gradient {steps} steps back over that at the last step, {where}"
    return kept.assign_attrs(long_name=words, units="1")
