"""Keep a training on disk after each epoch, so that what ends it early costs one epoch at most."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lstm_states.arrays import write_arrays

PACKAGES = ("keras", "lstm-states", "numpy", "tensorflow")


class Backup(keras.callbacks.Callback):
    """Write all that a training has come to after each epoch, and go on from there.

    A training that was killed and is started again ends with the same bits as one that was left
    alone. ``keras.callbacks.BackupAndRestore`` doesn't do that: it knows nothing of dropout's
    seeds, of the patience that ``EarlyStopping`` has left or of the losses so far, and it writes
    weights and epoch one after the other, so that a kill in between pairs different epochs.

    The order of batches needs no keeping: after ``keras.utils.set_random_seed`` Keras shuffles
    every epoch alike.

    Attributes:
        losses: Of each epoch that is done.
        stopped: Whether early stopping has ended the training.
    """

    def __init__(
        self, path: Path, *, made_from: str, stop: keras.callbacks.EarlyStopping | None
    ) -> None:
        """Read ``path`` if it is whole and made from the same; else a training starts over.

        Args:
            path: The file, replaced as a whole after each epoch.
            made_from: A digest of what decides the training, from :func:`digest_of_training`.
            stop: Comes before this callback in the list of callbacks.
        """
        super().__init__()
        self._path = path
        self._stop = stop
        self._made_from = made_from
        record, self._values, self._best = _read(path, made_from)
        self.losses: list[dict[str, float]] = record.get("losses", [])
        self.stopped: bool = record.get("stopped", False)
        self._patience: dict[str, Any] = record.get("patience", {})

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put back what was read, after ``stop`` has forgotten everything."""
        self.model.optimizer.build(self.model.trainable_variables)
        if not self.losses:
            return
        for variable, value in zip(self._variables(), self._values, strict=True):
            variable.assign(value)
        if self._stop:
            vars(self._stop).update(self._patience, best_weights=self._best or None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Replace the file; until that is done the old one stands."""
        self.losses.append({name: float(value) for name, value in (logs or {}).items()})
        stop = self._stop
        names = ("wait", "best", "best_epoch", "stopped_epoch") if stop else ()
        record = {
            "made_from": self._made_from,
            "losses": self.losses,
            "stopped": self.model.stop_training,
            "patience": {name: getattr(stop, name) for name in names},
        }
        values = {f"variable_{i}": v.numpy() for i, v in enumerate(self._variables())}
        best = {f"best_{i}": w for i, w in enumerate((stop and stop.best_weights) or [])}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(self._path, {"record": np.array(json.dumps(record)), **values, **best})

    def _variables(self) -> list[Any]:
        """Weights, dropout's seeds, and all that the optimizer remembers."""
        return [*self.model.variables, *self.model.optimizer.variables]


def digest_of_training(model: keras.Model, arrays: Iterable[np.ndarray], **settings: Any) -> str:
    """Return a digest of what decides a training: model, first weights, data, settings, versions.

    Args:
        model: Compiled and not trained yet.
        arrays: The data, validation included.
        settings: Arguments of ``fit``, and the seed.
    """
    threading = tf.config.threading
    words = {
        "model": model.to_json(),  # with optimizer and loss
        "settings": settings,
        "versions": {name: version(name) for name in PACKAGES},
        "threads": [
            threading.get_intra_op_parallelism_threads(),
            threading.get_inter_op_parallelism_threads(),
        ],
    }
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for array in (*(variable.numpy() for variable in model.variables), *arrays):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(
    path: Path, made_from: str
) -> tuple[Mapping[str, Any], list[np.ndarray], list[np.ndarray]]:
    """Return record, variables and best weights; nothing if the file is torn or of another one."""
    nothing: tuple[Mapping[str, Any], list[np.ndarray], list[np.ndarray]] = ({}, [], [])
    if not zipfile.is_zipfile(path):
        return nothing
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays["record"].item())
        if record["made_from"] != made_from:
            return nothing
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return nothing
    groups = ([v for n, v in arrays.items() if n.startswith(p)] for p in ("variable_", "best_"))
    variables, best = groups
    return record, variables, best
