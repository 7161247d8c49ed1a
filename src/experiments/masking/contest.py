"""Train stacks on each encoding of missing values, and measure their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import keras
import numpy as np
import xarray as xr

from experiments.data.schema import PARTS
from experiments.masking.encodings import MASK_VALUE
from experiments.shared.baselines import fit_baselines
from experiments.shared.learning import build_each, restore, training_state
from experiments.shared.models import build_variable_length


def build_contestants(
    samples: xr.Dataset,
    *,
    seeds: Sequence[int],
    units: Sequence[int],
    learning_rate: float,
    batch_size: int,
    epochs: int,
) -> keras.Model:
    """Build the documented stack for variable length once for each seed, side by side.

    They share the input and nothing else. Adam takes each weight by itself, so each is trained as
    if it were alone, and one model is traced instead of five.

    Args:
        samples: What ``load_blocks`` returned.
        seeds: Each decides the initial weights of one stack.
        units: Width of each LSTM layer.
        learning_rate: Adam's first step size; it falls to 0 along a cosine, by which seeds end
            nearer to each other.
        batch_size: Samples per step.
        epochs: Passes over the training part, after which the step size is 0.

    Returns:
        A compiled model from ``(batch, any T, 3 * feature)``, what encodings return, to ``(batch,
        seed)``.
    """
    columns = 3 * samples.sizes["feature"]
    x = keras.Input((None, columns))
    build = partial(build_variable_length, columns, units=units, mask_value=MASK_VALUE)
    outputs = []
    for seed, stack in build_each(build, seeds):
        stack.name = f"seed_{seed}"
        outputs.append(stack(x))
    model = keras.Model(x, keras.layers.Concatenate()(outputs) if len(seeds) > 1 else outputs[0])
    batches = -(-int((samples["part"] == PARTS.index("train")).sum()) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, batches * epochs)
    model.compile(keras.optimizers.Adam(rate), loss="mse")
    return model


def measure_errors(
    model: keras.Model,
    samples: xr.Dataset,
    inputs: Mapping[str, np.ndarray],
    *,
    seeds: Sequence[int],
    batch_size: int,
    epochs: int,
) -> xr.Dataset:
    """Train the stacks on each encoding, all from the same weights and in the same batches.

    Args:
        model: What :func:`build_contestants` returned; it is left as it was.
        samples: ``y`` and ``part (sample)``.
        inputs: By encoding, ``(sample, time, column)``.
        seeds: As for the model.
        batch_size: As for the model.
        epochs: As for the model.

    Returns:
        Mean squared errors: ``validation`` and ``test (encoding, seed)``, and of ridge on the same
        windows ``ridge (encoding)``, on the test part.
    """
    y, part = samples["y"].values, samples["part"].values
    targets = np.repeat(y[:, np.newaxis], len(seeds), axis=1)
    train, validation, test = (part == index for index in range(len(PARTS)))
    start = training_state(model)
    errors = np.empty((2, len(inputs), len(seeds)))
    for row, x in enumerate(inputs.values()):
        keras.utils.set_random_seed(seeds[0])  # the order of the batches
        model.fit(x[train], targets[train], batch_size=batch_size, epochs=epochs, verbose=0)
        for which, held_out in enumerate((validation, test)):
            off = model.predict_on_batch(x[held_out]) - targets[held_out]
            errors[which, row] = np.mean(off**2, axis=0, dtype=np.float64)
        restore(model, start)
    ridge = [_ridge_error(samples, x) for x in inputs.values()]
    return xr.Dataset(
        {
            "validation": (("encoding", "seed"), errors[0]),
            "test": (("encoding", "seed"), errors[1]),
            "ridge": ("encoding", ridge),
        },
        coords={"encoding": list(inputs), "seed": list(seeds)},
    )


def _ridge_error(samples: xr.Dataset, x: np.ndarray) -> float:
    encoded = samples[["y", "part"]].assign(x=(("sample", "time", "column"), x))
    test = samples["part"].values == PARTS.index("test")
    off = fit_baselines("regression", encoded)["ridge"] - samples["y"].values[test]
    return float(np.mean(off**2, dtype=np.float64))


def best_encoding(errors: xr.Dataset) -> str:
    """Return the encoding whose median validation error is the lowest; the test part has no say."""
    medians = errors["validation"].median("seed", skipna=False).values
    best = np.argmin(np.where(np.isnan(medians), np.inf, medians))  # no number is no best one
    return str(errors["encoding"].values[int(best)])


def measure_zero_over_best(errors: xr.Dataset, *, missing: str) -> xr.Dataset:
    """Divide the test error with zeros by that of the best encoding, seed by seed, by claim 25.

    Args:
        errors: What :func:`measure_errors` returned, zeros being called "0".
        missing: ``"numbers"`` or ``"steps"``, what was missing.

    Returns:
        ``error_zero_over_best_<missing>`` over ``model``, which are the seeds.
    """
    best = best_encoding(errors)
    ratio = errors["test"].sel(encoding="0") / errors["test"].sel(encoding=best)
    about = {"long_name": f"Test error with 0 over that with {best}", "units": "1"}
    names = [f"seed {seed}" for seed in errors["seed"].values]
    return xr.Dataset(
        {f"error_zero_over_best_{missing}": ("model", ratio.values, about)},
        coords={"model": names},
    )
