"""Record the states and gates of every recurrent layer of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.store.store import open_traces
from lstm_states.traces.edit import Edit
from lstm_states.traces.recording import gather
from lstm_states.traces.request import check_request
from lstm_states.traces.stored import write_recording
from lstm_states.traces.traced_layers import Wanted


def record_traces(
    model: keras.Model,
    x: Any,
    *,
    mask: np.ndarray | None = None,
    initial_state: Mapping[str, Any] | None = None,
    layers: Wanted = None,
    quantities: Sequence[str] | str | None = None,
    isel: Mapping[str, slice | Sequence[int]] | None = None,
    batch_size: int | None = None,
    edits: Sequence[Edit] = (),
    outputs: bool = True,
    store: str | Path | None = None,
    client: Any = None,
    progress: bool = False,
) -> xr.DataTree:
    """Record the states and gates of the recurrent layers of ``model`` while it predicts ``x``.

    Keras itself runs the model in inference mode, so that every layer receives the same input, mask
    and initial states as in ``model.predict``. Kernels run the steps inside the layers and keep
    every state and gate. For a sample of each batch, the layers themselves run again, and the
    results are compared. The model stays unchanged: live states of stateful layers, noise seeds and
    counters continue from batch to batch as in ``model.predict``, and are restored at the end.

    With ``store``, each batch is written as soon as it is computed, and memory does not grow with
    the number of samples. After an interruption, repeat the same call: it reads the samples that
    are already stored and continues after them.

    Args:
        model: A built model with recurrent layers anywhere in it.
        x: The input of ``model.predict``: an array ``(sample, time, feature)``, a list or dict of
            arrays for several inputs, or a ``tf.data.Dataset``, ``PyDataset`` or iterator of
            batches (targets and sample weights in them are ignored).
        mask: Bool ``(sample, time)``, true where the step is real; passed to the model, which must
            have one input.
        initial_state: By the address of a layer or of a container of layers, initial states nested
            as in Keras: ``(h, c)`` each ``(sample, unit)`` for an LSTM, ``h`` for a GRU,
            ``[[h, c], [h, c]]`` for stacked cells, ``[h, c, h, c]`` for a Bidirectional.
            :func:`final_states` returns them. Other layers start as in Keras.
        layers: The layers to record: addresses, shell patterns or layers of the model, one or
            several; None records all of them.
        quantities: One or several of ``hidden cell input_gate forget_gate candidate output_gate``,
            for a GRU of ``hidden update_gate reset_gate candidate``, and of ``inputs``, what a cell
            is given; None records all but ``inputs``.
        isel: Indices along ``sample``, ``time`` or ``unit``, each a slice or a sequence. Only these
            are kept, and only these samples are computed. The tree then has the coordinate, that of
            ``time`` with the attribute ``steps``: of how many they are. Outputs with the same steps
            as the layers are cut as well.
        batch_size: Samples per batch; None is 256, or the batch size of a stateful model.
        edits: Edits of states, gates, inputs or initial states, see :class:`Edit`. The tree then
            holds what the edited model does, its ``outputs`` too; the model stays as it is. A layer
            with an edited quantity has a variable ``edited (sample, time)``, and the root an
            attribute ``edits``.
        outputs: Whether to record the model's outputs, which may be much larger than the states.
        store: Where to write a new Zarr store: a path or any address that fsspec supports.
        client: A ``distributed.Client`` (extra ``dask``) whose workers record and write all batches
            but the first. The store is the same as without one, and either can continue the other.
            Workers must reach ``store``, import the classes of the model, and give the same bits as
            this process, which each of them proves by the first batch. A batch must fill whole
            chunks of the store: ``batch_size`` is at most 64 or a multiple of it. Refused are
            models that carry something from batch to batch, layers with rows of their own, and
            edits by a function.
        progress: Whether to show a progress bar.

    Returns:
        A tree with one node per layer, named by the layer's address: ``lstm_1``, ``encoder/lstm``,
        ``bidirectional/backward``; with stacked cells ``rnn/lstm_cell``; for a layer that is called
        several times ``lstm/call_0`` and so on, in the order in which the calls are written (calls
        inside one of several nested models stay together).

        A node holds the quantities ``(sample, time, unit)``, the first and last states
        ``initial_hidden initial_cell final_hidden final_cell`` ``(sample, unit)``, and the ``mask
        (sample, time)`` that the layer received, all true without one. ``time`` is the time index
        of the input, also for backward layers. At masked steps, ``hidden`` and ``cell`` repeat the
        carried states, and the gates are NaN. ``inputs``, if asked for, are ``(sample, time,
        feature)``. All are float32, or float64 for float64 layers.

        The root holds the model's ``outputs`` (several as ``outputs_0`` and so on, or by their
        keys, as ``outputs_last``, unless two are equal) and, if all layers received the same one,
        the ``mask``. Its attribute ``layers`` lists the recorded addresses in the order of the
        model, ``not_recorded`` all others with the reason, and ``first_nan``, if there is NaN,
        where it begins. With ``store``, the tree comes from :func:`open_traces`.

        If the rows of a layer are not the samples (the model folds an axis into the batch, drops
        or reorders samples), the node has the dimension ``row`` instead of ``sample``, and the
        attribute ``rows`` says so. A name that the tree reserves (such as ``mask``, ``time``,
        ``outputs``) gets an underscore: ``mask_``. For a custom cell, a node holds only the states
        ``hidden``, ``cell``, ``state_2`` and ``state_3``, as many as the cell has, in its order;
        likewise for a ConvLSTM, with axes ``height width unit`` (1D ``width``, 3D ``depth`` first).

    Warns:
        UserWarning: if the model runs recurrent layers or cells that cannot be recorded, unless
            ``layers`` excludes them; if states are NaN, as in Keras itself.

    Raises:
        UnsupportedLayerError: if a layer cannot be traced exactly.
        TraceError: if a step differs from the layer's own step from the same state by more than
            rounding explains (in float32 1e-5 times 1 + the largest state, plus the effect of
            changing its inputs by 1e-5), or is NaN where the layer's own step is not.
        ValueError: if an argument does not fit the model or the data, or ``store`` holds a part of
            another recording; the message names it.
        FileExistsError: if ``store`` holds anything else.
        OSError: if ``store`` has no space left; the recording can be resumed.
        ConnectionError: if the scheduler of ``client`` is lost; the recording can be resumed.
        RuntimeError: if a batch ends several workers; the recording can be resumed.

    Example:
        >>> traces = record_traces(model, x)
        >>> traces["lstm_1/forget_gate"].sel(unit=3).mean("time")
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
        edits=edits,
        outputs=outputs,
    )
    if client is not None and store is None:
        raise ValueError("client requires store: workers write there what they record")
    with tqdm(total=request.size, unit="sample", disable=not progress) as bar:
        if store is None:
            return gather(request, bar)
        write_recording(request, store, bar, client)
    return open_traces(store)
