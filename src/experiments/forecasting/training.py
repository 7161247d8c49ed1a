"""Train one configuration with several seeds, deterministically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xarray as xr

from experiments.data.schema import PARTS
from experiments.forecasting.backup import Backup, digest_of_training
from experiments.shared.learning import build_each, in_one_stack
from lstm_states.layers import check_model

EpochListener = Callable[[int, int, dict[str, float]], None]
"""Called as ``listener(seed, epoch, losses)`` after every epoch, epochs counted from 1."""


def fit_seeds(
    build: Callable[[], keras.Model],
    samples: xr.Dataset,
    *,
    seeds: Sequence[int],
    epochs: int,
    batch_size: int,
    patience: int,
    train_stride: int = 1,
    listeners: Sequence[EpochListener] = (),
    backup: Path | None = None,
) -> tuple[list[keras.Model], xr.Dataset]:
    """Train a new model for each seed, accelerated, and keep the weights of its best epoch.

    Args:
        build: Returns a compiled model; called once more than there are seeds, for each of them
            after the seed is set.
        samples: ``x (sample, time, feature)``, ``y`` and ``part (sample)``; with ``level
            (sample)``, the models learn the difference ``y - level``.
        seeds: Each determines the initial weights and the order of the batches.
        epochs: Maximum number of passes over the training part.
        batch_size: Samples per step.
        patience: Epochs without a better validation loss before training stops and restores the
            best weights; 0 trains all epochs and keeps the last weights.
        train_stride: Train on every n-th sample, because neighbouring windows are nearly equal.
        listeners: Called after every epoch.
        backup: A folder for the progress of the training. If an interrupted training of the same
            models on the same data left its progress there, it resumes and ends with the same bits
            as an uninterrupted one; listeners receive the earlier epochs again.

    Returns:
        The models, and ``loss`` and ``val_loss (seed, epoch)``, NaN after an early stop, with
        ``kept_epoch (seed)``, the epoch of the kept weights.
    """
    data = training_data(samples, train_stride=train_stride)
    models, histories = [], []
    for seed, model, stack in in_one_stack(build, build_each(build, seeds)):
        told = _Listeners(seed, listeners)
        options = {"epochs": epochs, "batch_size": batch_size}
        file = backup / f"seed_{seed}.npz" if backup else None
        _fit(stack, data, told, patience=patience, backup=file, **options)
        models.append(model)
        histories.append(told.losses)
    return models, _history(histories, seeds, epochs, best=patience > 0)


def training_data(samples: xr.Dataset, *, train_stride: int = 1) -> dict[str, Any]:
    """Return the arguments ``x``, ``y`` and ``validation_data`` of ``keras.Model.fit``.

    Args:
        samples: As for :func:`fit_seeds`.
        train_stride: As there.
    """
    x, part = samples["x"].values, samples["part"].values
    y = (samples["y"] - samples["level"] if "level" in samples else samples["y"]).values
    train = np.flatnonzero(part == PARTS.index("train"))[::train_stride]
    validation = np.flatnonzero(part == PARTS.index("validation"))
    return {"x": x[train], "y": y[train], "validation_data": (x[validation], y[validation])}


def _fit(
    model: keras.Model,
    data: dict[str, Any],
    told: _Listeners,
    *,
    patience: int,
    backup: Path | None,
    **options: int,
) -> None:
    callbacks: list[keras.callbacks.Callback] = [told]
    stop = None
    if patience:
        stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
        callbacks.append(stop)
    first = 0
    if backup:
        arrays = (data["x"], data["y"], *data["validation_data"])
        made_from = digest_of_training(model, arrays, patience=patience, **options)
        kept = Backup(backup, made_from=made_from, stop=stop)
        callbacks.append(kept)
        for epoch, losses in enumerate(kept.losses):
            told.on_epoch_end(epoch, losses)
        first = options["epochs"] if kept.stopped else len(kept.losses)
    model.fit(**data, **options, initial_epoch=first, callbacks=callbacks, verbose=0)


def typical_seed(history: xr.Dataset) -> int:
    """Return the index of the seed with the median kept validation loss (the lower of two).

    It represents all seeds when only one model is shown. The test part does not influence it.
    """
    kept = history["val_loss"].sel(epoch=history["kept_epoch"])
    return int(np.argsort(kept.values, kind="stable")[(len(kept) - 1) // 2])


def predict_test(models: Sequence[keras.Model], samples: xr.Dataset) -> np.ndarray:
    """Predict the test part with every model, and add ``level`` again if there is one.

    Returns:
        ``(seed, test sample)`` or ``(seed, test sample, time)`` for a head of one unit; for a wider
        head the most probable class.

    Raises:
        TypeError: if one of ``models`` is not a model of the installed Keras.
    """
    for model in models:
        check_model(model)
    test = samples["part"].values == PARTS.index("test")
    x = samples["x"].values[test]
    predicted = np.stack([model.predict(x, batch_size=512, verbose=0) for model in models])
    if predicted.shape[-1] > 1:
        return predicted.argmax(axis=-1)
    level = samples["level"].values[test] if "level" in samples else 0.0
    return predicted[..., 0] + level


class ProgressLine:
    """A listener that shows the latest epoch in one line and updates it in place."""

    def __init__(self, seeds: Sequence[int], epochs: int) -> None:
        """Count on ``epochs`` epochs for each of ``seeds``."""
        from IPython.display import Pretty, display

        self._seeds = list(seeds)
        self._epochs = epochs
        self._pretty = Pretty
        self._line = display(Pretty("training"), display_id=True)

    def __call__(self, seed: int, epoch: int, losses: dict[str, float]) -> None:
        """Show where the training is."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        number = self._seeds.index(seed) + 1
        line = f"seed {number} of {len(self._seeds)}, epoch {epoch} of {self._epochs}: {shown}"
        if self._line is not None:
            self._line.update(self._pretty(line))


class _Listeners(keras.callbacks.Callback):
    """Hand the losses of each epoch on, and keep them."""

    def __init__(self, seed: int, listeners: Sequence[EpochListener]) -> None:
        super().__init__()
        self.losses: list[dict[str, float]] = []
        self._seed = seed
        self._listeners = listeners

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        losses = {name: float(value) for name, value in (logs or {}).items()}
        self.losses.append(losses)
        for listener in self._listeners:
            listener(self._seed, epoch + 1, losses)


def _history(
    histories: list[list[dict[str, float]]], seeds: Sequence[int], epochs: int, *, best: bool
) -> xr.Dataset:
    losses = {
        name: np.array([[e[name] for e in h] + [np.nan] * (epochs - len(h)) for h in histories])
        for name in ("loss", "val_loss")
    }
    # A loss that is no number is no best one; where none is, Keras keeps the first epoch's weights.
    known = np.where(np.isnan(losses["val_loss"]), np.inf, losses["val_loss"])
    kept = known.argmin(axis=1) + 1 if best else np.full(len(seeds), epochs)
    return xr.Dataset(
        {name: (("seed", "epoch"), values) for name, values in losses.items()}
        | {"kept_epoch": ("seed", kept)},
        coords={"seed": list(seeds), "epoch": np.arange(1, epochs + 1)},
    )


def save_model(model: keras.Model, folder: Any) -> None:
    """Write ``model.json`` and ``model.weights.h5`` to ``folder``, with the same bytes each time.

    Raises:
        TypeError: if ``model`` is not a model of the installed Keras.
    """
    check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(model.to_json(indent=2) + "\n", encoding="utf-8")
    model.save_weights(folder / "model.weights.h5")
