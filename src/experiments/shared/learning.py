"""Train stacks on synthetic tasks: a seed determines data, initial weights and order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from lstm_states import accelerate  # isort: skip (it starts TensorFlow without its greetings)

import keras
import numpy as np
import tensorflow as tf
import xarray as xr
from sklearn.linear_model import Ridge

from experiments.data.schema import PARTS

T = TypeVar("T")

Tasks = Mapping[int, xr.Dataset]
"""By seed, what one of the ``make_`` functions of ``experiments.data.made`` returned."""

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
    """Draw a task for each seed, with as many training samples as the steps use.

    Training sees no sample twice, so that nothing can be memorised.

    Args:
        make: Function of a number of samples, ``seed`` and ``options``; 60 % are the training part.
        seeds: One draw for each.
        training_steps: Batches of the training part.
        batch_size: Samples per batch.
        options: Further arguments of ``make``, such as the length of a sequence.
    """
    samples = training_steps * batch_size * 5 // 3
    return {seed: make(samples, seed=seed, **options) for seed in seeds}


def build_each(
    build: Callable[[], keras.Model], seeds: Iterable[int]
) -> Iterator[tuple[int, keras.Model]]:
    """Yield each seed with a new, untrained stack, on the fused kernel where that is exact.

    Random numbers drawn before the next stack is built, such as the order of batches, belong to the
    same seed.
    """
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = build()
        accelerate(model)
        yield seed, model


def in_one_stack(
    build: Callable[[], keras.Model], models: Iterable[tuple[int, keras.Model]]
) -> Iterator[tuple[int, keras.Model, keras.Model]]:
    """Yield each seed, its model, and one stack to train in the model's place.

    The stack starts in the model's state. When the next seed is asked for, the model takes on the
    state in which the stack ended. Tracing another stack for each seed would take seconds.

    Args:
        build: Returns a compiled stack; called once, before the first model is taken.
        models: Seeds and compiled models.
    """
    bench = build()
    accelerate(bench)
    for seed, model in models:
        restore(bench, training_state(model))
        yield seed, model, bench
        restore(model, training_state(bench))


def fit_models(
    build: Callable[[], keras.Model], tasks: Tasks, *, batch_size: int
) -> dict[int, keras.Model]:
    """Train a stack for each seed, in one pass over the training part of its task.

    Args:
        build: Returns a compiled stack.
        tasks: Tasks with ``x``, ``y`` and ``part``.
        batch_size: Samples per step.

    Returns:
        The trained stack of each seed.
    """
    models = dict(build_each(build, tasks))
    for seed, _, stack in in_one_stack(build, models.items()):
        train = part_of(tasks[seed], "train")
        keras.utils.set_random_seed(seed)
        stack.fit(train["x"].values, train["y"].values, batch_size=batch_size, verbose=0)
    return models


def training_state(model: keras.Model) -> list[np.ndarray]:
    """Return copies of a compiled model's weights and of its optimizer's variables."""
    model.optimizer.build(model.trainable_variables)
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def restore(model: keras.Model, state: Sequence[np.ndarray]) -> None:
    """Restore a model to the result of :func:`training_state`, to train it again."""
    model.optimizer.build(model.trainable_variables)
    variables = (*model.variables, *model.optimizer.variables)
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def part_of(task: xr.Dataset, part: str) -> xr.Dataset:
    """Return one part of a task; of the test part at most :data:`TEST_SAMPLES` samples."""
    chosen = np.flatnonzero(task["part"].values == PARTS.index(part))
    return task.isel(sample=chosen[:TEST_SAMPLES] if part == "test" else chosen)


def predict(model: Callable[[np.ndarray], Any], task: xr.Dataset) -> np.ndarray:
    """Predict the test part of a task: ``(sample,)``, or with time for a stack on every step."""
    return np.asarray(model(part_of(task, "test")["x"].values))[..., 0]


def squared_error(model: Callable[[np.ndarray], Any], task: xr.Dataset) -> float:
    """Return the mean squared error of ``model`` on the test part."""
    return error_of(predict(model, task), task)


def error_of(predicted: np.ndarray | float, task: xr.Dataset) -> float:
    """Return the mean squared error of what was ``predicted`` of the test part, ``(sample,)``."""
    return float(np.mean((predicted - part_of(task, "test")["y"].values) ** 2))


def predict_by_ridge(task: xr.Dataset) -> np.ndarray:
    """Predict the test part of a task with ridge regression on its flattened sequences."""
    train, test = part_of(task, "train"), part_of(task, "test")
    x, unseen = (part["x"].values.reshape(part.sizes["sample"], -1) for part in (train, test))
    return Ridge(alpha=1.0).fit(x, train["y"].values).predict(unseen)


def named(by_seed: Mapping[int, T]) -> dict[str, T]:
    """Return values by seed under the names ``seed 0`` and so on."""
    return {f"seed {seed}": value for seed, value in by_seed.items()}


def on_data(evidence: xr.Dataset, *, title: str) -> xr.Dataset:
    """Return evidence whose names and descriptions mention the data called ``title``."""
    data = {
        f"data_{name}": values.assign_attrs(long_name=f"{title}: {values.attrs['long_name']}")
        for name, values in evidence.data_vars.items()
    }
    return xr.Dataset(data)


def make_deterministic(threads: int = 2) -> None:
    """Make every later TensorFlow operation return the same bits on each run of this machine class.

    Keras's settings are set to the documented ones, whatever the user's ``keras.json`` says:
    float32, an epsilon of 1e-7, channels last.

    Args:
        threads: Number of operations that run in parallel, each on one thread, as
            :func:`lstm_states.accelerate` recommends. A batch is split into as many parts, and sums
            depend on that.

    Raises:
        RuntimeError: if Keras uses another backend than TensorFlow, or if TensorFlow has already
            run something, so that threads cannot be set.
    """
    if keras.config.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {keras.config.backend()}: set KERAS_BACKEND=tensorflow before it starts"
        )
    if keras.config.floatx() != "float32":
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    threading = tf.config.threading
    set_before = (
        threading.get_intra_op_parallelism_threads(),
        threading.get_inter_op_parallelism_threads(),
    )
    if set_before != (1, threads):
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    # Every seed has a model of its own, traced again; TensorFlow would warn that this is slow.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
