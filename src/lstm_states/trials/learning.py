"""Stacks that learn made tasks: a seed decides the data, the first weights and the order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import xarray as xr
from sklearn.linear_model import Ridge

from lstm_states.acceleration import accelerate
from lstm_states.schema import PARTS

T = TypeVar("T")

Tasks = Mapping[int, xr.Dataset]
"""By seed, what one of the ``make_`` functions of ``lstm_states.tasks`` returned."""

Models = Mapping[int, keras.Model]
"""By seed, a stack; any callable from ``x (sample, time, feature)`` will do."""

TEST_SAMPLES = 1000
"""Samples of the test part that are used, at most."""


def make_tasks(
    make: Callable[..., xr.Dataset],
    *,
    seeds: Sequence[int],
    training_steps: int,
    batch_size: int,
    **options: Any,
) -> dict[int, xr.Dataset]:
    """Draw a task for each seed, with as many training samples as the steps use up.

    No sample is seen twice in training, so nothing can be learnt by heart.

    Args:
        make: Takes a number of samples, ``seed`` and ``options``; 60 % are its training part.
        seeds: One draw for each.
        training_steps: Batches of the training part.
        batch_size: Samples per batch.
        options: Such as the length of a sequence.
    """
    samples = training_steps * batch_size * 5 // 3
    return {seed: make(samples, seed=seed, **options) for seed in seeds}


def build_models(build: Callable[[], keras.Model], seeds: Sequence[int]) -> dict[int, keras.Model]:
    """Build a stack for each seed, untrained, on the fused kernel where that is exact."""
    models = {}
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        models[seed] = build()
        accelerate(models[seed])
    return models


def fit_models(
    build: Callable[[], keras.Model], tasks: Tasks, *, batch_size: int
) -> dict[int, keras.Model]:
    """Train a stack for each seed, in one pass over the training part of its task.

    Args:
        build: Makes a compiled stack.
        tasks: With ``x``, ``y`` and ``part``.
        batch_size: Samples per step.

    Returns:
        By seed, the trained stack.
    """
    models = build_models(build, list(tasks))
    # All are trained in one stack, which is set back each time: tracing another takes seconds.
    bench = build()
    accelerate(bench)
    fresh = training_state(bench)
    for seed, model in models.items():
        restore(bench, fresh)
        bench.set_weights(model.get_weights())
        train = part_of(tasks[seed], "train")
        keras.utils.set_random_seed(seed)
        bench.fit(train["x"].values, train["y"].values, batch_size=batch_size, verbose=0)
        model.set_weights(bench.get_weights())
    return models


def training_state(model: keras.Model) -> list[np.ndarray]:
    """Return copies of a compiled model's weights and of all that its optimizer remembers."""
    model.optimizer.build(model.trainable_variables)
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def restore(model: keras.Model, state: Sequence[np.ndarray]) -> None:
    """Set a model back to what :func:`training_state` returned, so that it can be trained anew."""
    variables = (*model.variables, *model.optimizer.variables)
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def part_of(task: xr.Dataset, part: str) -> xr.Dataset:
    """Return one part of a task, of the test part at most :data:`TEST_SAMPLES` samples."""
    chosen = np.flatnonzero(task["part"].values == PARTS.index(part))
    return task.isel(sample=chosen[:TEST_SAMPLES] if part == "test" else chosen)


def predict(model: Callable[[np.ndarray], Any], task: xr.Dataset) -> np.ndarray:
    """Predict the test part of a task: ``(sample,)`` or, for a stack on every step, with time."""
    return np.asarray(model(part_of(task, "test")["x"].values))[..., 0]


def squared_error(model: Callable[[np.ndarray], Any], task: xr.Dataset) -> float:
    """Return the mean squared error of ``model`` on the test part."""
    return float(np.mean((predict(model, task) - part_of(task, "test")["y"].values) ** 2))


def predict_by_ridge(task: xr.Dataset) -> np.ndarray:
    """Predict the test part of a task by the best linear function of its flattened sequences."""
    train, test = part_of(task, "train"), part_of(task, "test")
    x, unseen = (part["x"].values.reshape(part.sizes["sample"], -1) for part in (train, test))
    return Ridge(alpha=1.0).fit(x, train["y"].values).predict(unseen)


def named(by_seed: Mapping[int, T]) -> dict[str, T]:
    """Return what is there for each seed by name, ``seed 0`` and so on."""
    return {f"seed {seed}": value for seed, value in by_seed.items()}


def on_order_book(evidence: xr.Dataset) -> xr.Dataset:
    """Return evidence with names and words that say that it is from the order book."""
    data = {
        f"order_book_{name}": values.assign_attrs(
            long_name=f"Order book: {values.attrs['long_name']}"
        )
        for name, values in evidence.data_vars.items()
    }
    return xr.Dataset(data)
