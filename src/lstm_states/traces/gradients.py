"""Record the derivatives of one of a model's outputs by every state and gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.traces.derivative import Output, only_number
from lstm_states.traces.layers import UnsupportedLayerError, cells_of_all, supported_layers
from lstm_states.traces.record import gather
from lstm_states.traces.request import check_request

EXACT = ("float32", "float64")


def record_gradients(
    model: keras.Model,
    x: Any,
    *,
    output: Output | None = None,
    mask: np.ndarray | None = None,
    initial_state: Mapping[str, Any] | None = None,
    layers: Sequence[str] | str | None = None,
    quantities: Sequence[str] | None = None,
    isel: Mapping[str, slice | Sequence[int]] | None = None,
    batch_size: int | None = None,
) -> xr.DataTree:
    """Record the derivative of a chosen output by every state and gate of ``model``.

    The derivative by a quantity is the total one: what the chosen output would gain, for each unit
    added to the quantity where it arises, through everything that follows in this layer and in all
    others. The derivative by ``cell`` at a step thus holds the way over all later cells and over
    the hidden state of the same step; the one by ``forget_gate`` has ``cell`` before the step
    as a factor. The model runs as it predicts, without dropout, and is not changed.

    Args:
        model: A built model with recurrent layers anywhere in it, which treats every sample on its
            own.
        x: As :func:`record_traces` takes it, like all arguments below but ``output``.
        output: Makes of the model's outputs, tensors as the model returns them, one number for
            each sample: ``lambda y: y[:, -1, 0]``. None if the model has one output of one number.
        mask: Bool ``(sample, time)``, true where the step is real.
        initial_state: States to start from by address.
        layers: Addresses or shell patterns of the layers to record.
        quantities: The quantities to differentiate by.
        isel: Indices along ``sample``, ``time`` or ``unit`` to keep.
        batch_size: Samples computed at a time.

    Returns:
        A tree laid out as that of :func:`record_traces`, in which each quantity
        ``(sample, time, unit)`` and each initial state ``(sample, unit)`` holds the derivative by
        it. The derivative by a final state is the one by the state of the last step taken, and
        has no variable of its own. At masked steps no gate ran: there the derivatives by gates are
        NaN. Those by ``hidden`` and ``cell`` are by the state that is carried over the step, and
        by what the layer shows for it: a masked step between or after real ones shows its hidden
        state to the layer above, unless ``zero_output_for_mask`` is set. The root holds the
        model's ``outputs`` and the ``chosen`` numbers ``(sample,)``.

    Raises:
        UnsupportedLayerError: if a layer can't be traced exactly, or computes in half precision.
        TraceError: if a layer's states differ from its own, or a derivative is NaN.
        ValueError: if an argument doesn't fit the model or the data, ``output`` doesn't give
            one number per sample, or that number depends on none of the layers.

    Example:
        >>> gradients = record_gradients(model, x, output=lambda y: y[:, -1, 0])
        >>> abs(gradients["lstm/cell"]).mean(["sample", "unit"])  # how far back it remembers
    """
    request = check_request(
        model,
        x,
        mask=mask,
        initial_state=initial_state,
        layers=layers,
        quantities=quantities,
        isel=isel,
        batch_size=batch_size,
    )
    for address, (_, cell) in cells_of_all(supported_layers(model)).items():
        if cell.compute_dtype not in EXACT:
            raise UnsupportedLayerError(
                f"layer {address!r} computes in {cell.compute_dtype}, in which derivatives fade to "
                f"nothing; they need one of {list(EXACT)}"
            )
    with tqdm(disable=True) as bar:
        return gather(request, bar, output or only_number)
