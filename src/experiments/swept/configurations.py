"""What a point of a sweep over a documented configuration gives: a stack, trained with one seed."""

from __future__ import annotations

from typing import Any

from experiments.shared.learning import make_deterministic  # isort: skip (TensorFlow starts silently)

import keras

from experiments.forecasting.configuration import load_configuration
from experiments.forecasting.settings import Masked
from experiments.forecasting.training import fit_seeds, predict_test
from experiments.shared.scores import SCORES
from experiments.swept.settings import UNREAD


def train_variable_length(parameters: dict[str, Any], seed: int, root: str) -> dict[str, float]:
    """Train a stack as the notebook `variable_length` does, and score it.

    Args:
        parameters: Of the section, but for those that no point reads.
        seed: Of the initial weights and the order of the batches.
        root: The repository.

    Returns:
        ``loss`` on the validation part, of the epoch whose weights are kept; ``score`` on the test
        part; the number of ``weights``.
    """
    make_deterministic()
    keras.backend.clear_session()  # of the worker's last point
    settings = Masked(**{**UNREAD, **parameters})
    configuration = load_configuration("variable_length", settings)
    samples = configuration.samples
    [model], history = fit_seeds(
        configuration.build,
        samples,
        seeds=[seed],
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        patience=settings.patience,
    )
    _, score = SCORES[configuration.task]
    actual = configuration.part("test")["y"].values
    kept = history["val_loss"].sel(epoch=history["kept_epoch"])
    return {
        "loss": float(kept.values[0]),
        "score": score(actual, predict_test([model], samples)[0]),
        "weights": model.count_params(),
    }
