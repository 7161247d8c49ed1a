"""Train a Keras model, or predict with it, for all competitors that do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs
from experiments.forecasting.configuration import load_configuration
from experiments.forecasting.training import training_data
from lstm_states import accelerate

PACKAGES = ("lstm-states", "keras", "tensorflow", "numpy")


def prepare_stock(case: Case, inputs: Inputs | None) -> Callable[[], Any]:
    """Return a function that does the work of the case once with a stock model."""
    return _prepare(case, inputs, accelerated=False)


def prepare_accelerated(case: Case, inputs: Inputs | None) -> Callable[[], Any]:
    """Return a function that does the work of the case once with an accelerated model."""
    return _prepare(case, inputs, accelerated=True)


def _prepare(case: Case, inputs: Inputs | None, *, accelerated: bool) -> Callable[[], Any]:
    if inputs is None:
        configuration = load_configuration(case.configuration)
        settings, model = configuration.settings, configuration.build()
        stride = getattr(settings, "train_stride", 1)
        data = training_data(configuration.samples, train_stride=stride)
        x, y = data["x"], data["y"]
        options = {"epochs": 1, "batch_size": settings.batch_size, "verbose": 0}
        run = lambda: model.fit(x, y, **options)  # noqa: E731
    else:
        model, x, y = build_model(case, inputs), inputs.x, inputs.y
        model.compile("adam", "mse")
        one_batch = {"train": lambda: model.train_on_batch(x, y)}
        one_batch["predict"] = lambda: model.predict_on_batch(x)
        run = one_batch[case.work]
    if accelerated:
        accelerate(model)
    return run


def arrays(result: np.ndarray) -> dict[str, np.ndarray]:
    """Return the loss before the step, or the outputs."""
    return {"outputs": result} if np.ndim(result) else {"loss": np.atleast_1d(result)}
