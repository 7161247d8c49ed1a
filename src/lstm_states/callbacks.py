"""Watch states and gates while a model is trained, or reset the states of stateful layers.

A training that is watched stays the same, bit by bit: what is recorded goes through
:func:`lstm_states.record_traces`, which changes nothing of the model, no weight, no live state and
no seed of a random generator. Stateful layers start from the live states that they have at that
moment. Nor does watching end a training: what can't be recorded is warned of. :class:`ResetStates`
alone changes a training.
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
            raise ValueError("x is an iterator, which can be read once; give arrays or a Dataset")
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
                    f"{type(self).__name__} keeps nothing of epoch {epoch}, nor of later ones that "
                    f"fail too: {type(error).__name__}: {error}",
                    stacklevel=2,
                )
            self._warned = True

    def _prepare(self, epochs: list[int]) -> None:
        """Refuse what would fail later, before the first epoch."""

    def _keep(self, epoch: int, traces: xr.DataTree) -> None:
        raise NotImplementedError


class RecordTraces(_EveryEpochs):
    """A callback that records the states and gates for chosen samples every so many epochs.

    Epochs are counted from 1; epoch 0 is the model before its training, so that an argument that
    doesn't fit is found before any time is spent. Whatever else can't be recorded or written (the
    disk is full) is missing in ``traces``, and the training goes on. States that are NaN are kept,
    and warned of.

    Args:
        x: Samples, as :func:`lstm_states.record_traces` takes them.
        every: Record after every so many epochs.
        directory: Where to write ``epoch_0005.zarr`` and so on; None keeps the traces in memory.
        mask: Passed to ``record_traces``, as the following.
        layers: Addresses, shell patterns or layers of the model, one or several; None is all.
        quantities: Names of quantities.
        isel: Indices along ``sample``, ``time`` or ``unit``.
        outputs: Whether to keep the model's outputs.

    Attributes:
        traces: By epoch the trees that ``record_traces`` returned, with a directory those that
            :func:`lstm_states.open_traces` opens, whose values are read when they are used.

    Warns:
        UserWarning: once in a training, with the reason, if an epoch can't be recorded.

    Raises:
        FileExistsError: before the first epoch, if a file to be written is there already.
        ValueError: before the first epoch, if an argument doesn't fit the model.

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
    """A callback that logs how the layers behave every so many epochs, to MLflow or elsewhere.

    For each layer and gate ``lstm/forget_gate_saturated_left`` and ``..._right``, the shares of
    its values below 0.1 and above 0.9, and ``lstm/hidden_norm`` and ``lstm/cell_norm``, mean L2
    norms over the units, all at real steps (see :func:`lstm_states.summary.measure_saturation` and
    :func:`lstm_states.summary.measure_norms`). The step of a metric is the epoch, counted from 1;
    0 is the model before its training. What is NaN is left out: there was nothing to measure.

    Args:
        x: Samples, as :func:`lstm_states.record_traces` takes them; a hundred say enough.
        every: Log after every so many epochs.
        mask: Passed to ``record_traces``, as the following.
        layers: Addresses, shell patterns or layers of the model, one or several; None is all.
        log: Called as ``log(metrics, step=epoch)`` with numbers by name, such as the method of
            another tracker. None logs to the MLflow run that is active as the training starts.

    Warns:
        UserWarning: once in a training, with the reason, if an epoch can't be logged.

    Raises:
        RuntimeError: before the training starts, without ``log``, if no MLflow run is active:
            MLflow itself would start a stray one.
        ValueError: before the first epoch, if an argument doesn't fit the model.

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
        """Find where to log to."""
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
    """A callback that has stateful layers start from zeros where people expect it.

    Keras itself never resets: an epoch goes on from the end of the one before, and validation data
    go on from the training data. With this callback, which changes the training on purpose, each
    epoch starts from zeros, and so does each ``evaluate`` and ``predict`` that is given it. After
    the latter two, validation in ``fit`` too, the states are what they were before.

    Raises:
        ValueError: before the first step, if no layer of the model is stateful.

    Example:
        >>> model.fit(x, y, batch_size=8, shuffle=False, epochs=20, callbacks=[ResetStates()])
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the epoch from zeros."""
        reset_states(self.model)

    def on_test_begin(self, logs: Any = None) -> None:
        """Keep the states and start from zeros."""
        self._kept = ExitStack()
        self._kept.enter_context(kept_states(self.model))
        reset_states(self.model)

    def on_test_end(self, logs: Any = None) -> None:
        """Put the states back."""
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
