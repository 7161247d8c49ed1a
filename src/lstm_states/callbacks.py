"""Watch states and gates during training, or reset the states of stateful layers.

Watching does not change a training by a single bit: :func:`lstm_states.record_traces` changes no
weight, no live state and no random seed of the model. Stateful layers start from their live states
at that moment. Watching does not end a training either: if something cannot be recorded, the
callback warns. Only :class:`ResetStates` changes a training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xarray as xr

from lstm_states.stateful import kept_states, reset_states
from lstm_states.store.store import open_traces, write_traces
from lstm_states.summary import measure_norms, measure_saturation
from lstm_states.traces.record import record_traces
from lstm_states.traces.traced_layers import UnsupportedLayerError, Wanted


class _EveryEpochs(keras.callbacks.Callback):
    """Record ``x`` before the first epoch and then after every so many epochs."""

    def __init__(self, x: Any, every: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        if hasattr(x, "__next__"):
            raise ValueError(
                "x is an iterator, which can be read only once; pass arrays or a Dataset"
            )
        if every < 1:
            raise ValueError(f"every is {every}; it must be at least 1 epoch")
        self._x, self._every, self._options = x, every, options
        self._begun = self._warned = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._begun = self._warned = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._begun:
            return
        self._begun = True
        first = epoch + 1 if epoch else 0  # a training that goes on has its start recorded
        last = self.params["epochs"]
        self._prepare([number for number in range(first, last + 1) if number % self._every == 0])
        if epoch == 0:
            self._record(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self._every == 0:
            self._record(epoch + 1)

    def _record(self, epoch: int) -> None:
        """Record, or warn once in a training: nothing that goes wrong in here may end it."""
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                self._keep(epoch, record_traces(self.model, self._x, **self._options))
            if told and not self._warned:
                warnings.warn(f"epoch {epoch}: {told[0].message}", stacklevel=2)
                self._warned = True
        except Exception as error:
            wrong_argument = isinstance(error, ValueError | TypeError)
            if epoch == 0 and wrong_argument and not isinstance(error, UnsupportedLayerError):
                raise  # nothing has been trained yet
            if not self._warned:
                warnings.warn(
                    f"{type(self).__name__} records nothing for epoch {epoch}, nor for later "
                    f"epochs that fail: {type(error).__name__}: {error}",
                    stacklevel=2,
                )
            self._warned = True

    def _prepare(self, epochs: list[int]) -> None:
        """Refuse what would fail later, before the first epoch."""

    def _keep(self, epoch: int, traces: xr.DataTree) -> None:
        raise NotImplementedError


class RecordTraces(_EveryEpochs):
    """Record the states and gates of chosen samples every few epochs.

    Epochs are counted from 1. Epoch 0 is the untrained model, so that a wrong argument raises an
    error before the training starts. If something else prevents a recording (such as a full disk),
    the epoch is missing in ``traces`` and the training continues. NaN states are kept, with a
    warning.

    Args:
        x: Samples, as for :func:`lstm_states.record_traces`.
        every: Number of epochs between two recordings.
        directory: Folder for ``epoch_0005.zarr`` and so on; None keeps the traces in memory.
        mask: Passed to ``record_traces``, like the following arguments.
        layers: Addresses, shell patterns or layers of the model, one or several; None selects all.
        quantities: Names of quantities.
        isel: Indices along ``sample``, ``time`` or ``unit``.
        outputs: Whether to keep the model's outputs.

    Attributes:
        traces: For each epoch, the tree from ``record_traces``. With a directory, the tree from
            :func:`lstm_states.open_traces`, whose values are read on use.

    Warns:
        UserWarning: once per training, with the reason, if an epoch cannot be recorded.

    Raises:
        FileExistsError: before the first epoch, if a file to be written exists already.
        ValueError: before the first epoch, if an argument does not fit the model.

    Example:
        >>> recorded = RecordTraces(x[:8], every=5, quantities=["forget_gate"])
        >>> model.fit(x, y, epochs=20, callbacks=[recorded])
        >>> recorded.traces[20]["lstm/forget_gate"] - recorded.traces[0]["lstm/forget_gate"]
    """

    def __init__(
        self,
        x: Any,
        *,
        every: int = 1,
        directory: str | Path | None = None,
        mask: np.ndarray | None = None,
        layers: Wanted = None,
        quantities: Sequence[str] | str | None = None,
        isel: Mapping[str, slice | Sequence[int]] | None = None,
        outputs: bool = True,
    ) -> None:
        options = {
            "mask": mask,
            "layers": layers,
            "quantities": quantities,
            "isel": isel,
            "outputs": outputs,
        }
        super().__init__(x, every, options)
        self.traces: dict[int, xr.DataTree] = {}
        self._directory = None if directory is None else Path(directory)

    def _prepare(self, epochs: list[int]) -> None:
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in (self._directory / _file_name(epoch) for epoch in epochs):
            if path.exists():
                raise FileExistsError(f"{path} exists; remove it or choose another directory")

    def _keep(self, epoch: int, traces: xr.DataTree) -> None:
        if self._directory is not None:
            path = self._directory / _file_name(epoch)
            write_traces(traces, path)
            traces = open_traces(path)
        self.traces[epoch] = traces


class LogStateStatistics(_EveryEpochs):
    """Log statistics of states and gates every few epochs, to MLflow or another tracker.

    For each layer and gate, it logs ``lstm/forget_gate_saturated_left`` and ``..._right``, the
    shares of values below 0.1 and above 0.9. ``lstm/hidden_norm`` and ``lstm/cell_norm`` are mean
    L2 norms over the units. All statistics use real steps only (see
    :func:`lstm_states.summary.measure_saturation` and :func:`lstm_states.summary.measure_norms`).
    The step of a metric is the epoch, counted from 1; 0 is the untrained model. NaN values are
    omitted, because nothing was measured.

    Args:
        x: Samples, as for :func:`lstm_states.record_traces`; about a hundred are enough.
        every: Number of epochs between two logs.
        mask: Passed to ``record_traces``, like the following argument.
        layers: Addresses, shell patterns or layers of the model, one or several; None selects all.
        log: Called as ``log(metrics, step=epoch)`` with a dict of numbers by name, for example a
            method of another tracker. None logs to the MLflow run that is active when the training
            starts.

    Warns:
        UserWarning: once per training, with the reason, if an epoch cannot be logged.

    Raises:
        RuntimeError: before the training starts, if ``log`` is None and no MLflow run is active;
            MLflow itself would start a stray run.
        ValueError: before the first epoch, if an argument does not fit the model.

    Example:
        >>> with mlflow.start_run():
        ...     model.fit(x, y, epochs=20, callbacks=[LogStateStatistics(x[:100])])
    """

    def __init__(
        self,
        x: Any,
        *,
        every: int = 1,
        mask: np.ndarray | None = None,
        layers: Wanted = None,
        log: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(x, every, {"mask": mask, "layers": layers})
        self._given_log = self._log = log

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the logger."""
        super().on_train_begin(logs)
        self._log = self._given_log or _log_to_active_run()

    def _keep(self, epoch: int, traces: xr.DataTree) -> None:
        assert self._log is not None
        measured = xr.merge([measure_saturation(traces), measure_norms(traces)])
        metrics = {
            f"{layer}/{name}": float(values.sel(layer=layer))
            for layer in measured["layer"].values
            for name, values in measured.data_vars.items()
        }
        known = {name: value for name, value in metrics.items() if not np.isnan(value)}
        self._log(known, step=epoch)


class ResetStates(keras.callbacks.Callback):
    """Start stateful layers from zeros at each epoch, ``evaluate`` and ``predict``.

    Keras never resets states: an epoch continues from the end of the previous one, and validation
    data continue from the training data. This callback changes the training on purpose: each epoch
    starts from zeros, and so does each ``evaluate`` and ``predict`` that uses the callback. After
    ``evaluate``, ``predict`` and the validation in ``fit``, it restores the states.

    Raises:
        ValueError: before the first step, if no layer of the model is stateful.

    Example:
        >>> model.fit(x, y, batch_size=8, shuffle=False, epochs=20, callbacks=[ResetStates()])
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the epoch from zeros."""
        reset_states(self.model)

    def on_test_begin(self, logs: Any = None) -> None:
        """Save the states and start from zeros."""
        self._kept = ExitStack()
        self._kept.enter_context(kept_states(self.model))
        reset_states(self.model)

    def on_test_end(self, logs: Any = None) -> None:
        """Restore the states."""
        self._kept.close()

    on_predict_begin = on_test_begin
    on_predict_end = on_test_end


def _log_to_active_run() -> Callable[..., Any]:
    """Return what logs to the MLflow run that is active now, whichever is active later."""
    import mlflow

    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("no MLflow run is active; start one: with mlflow.start_run(): ...")
    return partial(mlflow.log_metrics, run_id=run.info.run_id)


def _file_name(epoch: int) -> str:
    return f"epoch_{epoch:04d}.zarr"
