"""Record what every recurrent layer of a model does with sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.traces.batches import Batch, DigestedBatches, digest_of
from lstm_states.traces.derivative import Output
from lstm_states.traces.gather import Gathered
from lstm_states.traces.layers import cells_of_all, supported_layers
from lstm_states.traces.proof import check_mask, check_probe, check_sample
from lstm_states.traces.recorder import Recorder, live_values
from lstm_states.traces.request import Request, check_request
from lstm_states.traces.select import describe_selection
from lstm_states.traces.store import open_traces
from lstm_states.traces.tree import Layout, describe_model
from lstm_states.traces.writer import TraceWriter


def record_traces(
    model: keras.Model,
    x: Any,
    *,
    mask: np.ndarray | None = None,
    initial_state: Mapping[str, Any] | None = None,
    layers: Sequence[str] | str | None = None,
    quantities: Sequence[str] | None = None,
    isel: Mapping[str, slice | Sequence[int]] | None = None,
    batch_size: int | None = None,
    store: str | Path | None = None,
    progress: bool = False,
) -> xr.DataTree:
    """Record the states and gates of the recurrent layers of ``model`` while it predicts ``x``.

    Keras itself runs the model in inference mode, so every layer gets the input, the mask and the
    start that it gets in ``model.predict``; the steps inside the layers are taken by kernels that
    keep every state and gate. Of each batch a sample is run again by the layers themselves and
    compared. The model is not changed, live states of stateful layers included.

    With ``store`` each batch is written when it is computed, and no more than one is held: memory
    doesn't grow with the number of samples. After an interruption the same call goes on where the
    store ends, once it has read the samples before.

    Args:
        model: A built model with recurrent layers anywhere in it.
        x: What ``model.predict`` takes: an array ``(sample, time, feature)``, a list or dict of
            arrays for several inputs, or a ``tf.data.Dataset``, ``PyDataset`` or iterator of
            batches (of which targets and sample weights are left aside).
        mask: Bool ``(sample, time)``, true where the step is real; handed to the model, which must
            have one input.
        initial_state: By the address of a layer or of what holds layers, states to start from,
            nested as Keras nests them: ``(h, c)`` each ``(sample, unit)`` for an LSTM, ``h`` for a
            GRU, ``[[h, c], [h, c]]`` for stacked cells, ``[h, c, h, c]`` for a Bidirectional.
            :func:`final_states` gives them. Other layers start as Keras starts them.
        layers: Addresses or shell patterns of the layers to record; None records all of them.
        quantities: Some of ``hidden cell input_gate forget_gate candidate output_gate``, or for a
            GRU of ``hidden update_gate reset_gate candidate``; None is all of them.
        isel: Indices along ``sample``, ``time`` or ``unit``, each a slice or a sequence: only these
            are kept, and only these samples are computed. The tree then has the coordinate.
        batch_size: Samples computed at a time; None is 256, or what a stateful model asks for.
        store: Where to write a new Zarr store: a path or any address that fsspec knows.
        progress: Whether to show a progress bar.

    Returns:
        A tree with one node per layer at the layer's address (``lstm_1``, ``encoder/lstm``,
        ``bidirectional/backward``; with stacked cells ``rnn/lstm_cell``; of a layer that is called
        several times ``lstm/call_0`` and so on, in the order in which the calls are written, those
        in one of several nested models together). A
        node holds the quantities ``(sample, time, unit)``, the states at the start and the end of
        the sequence ``initial_hidden initial_cell final_hidden final_cell`` ``(sample, unit)``,
        and the ``mask (sample, time)`` its layer was given, all true without one. ``time`` is the
        input's time index, for backward layers too. At masked steps ``hidden`` and ``cell`` repeat
        what was carried and the gates are NaN. All are float32, of float64 layers float64. The root
        holds the model's ``outputs`` (for several ``outputs_0`` and so on, or by their keys,
        ``outputs_last``) and, where all layers saw the same one, the ``mask``. With ``store``, the
        tree that :func:`open_traces` gives.

    Raises:
        UnsupportedLayerError: if a layer can't be traced exactly.
        TraceError: if a recorded state differs from the layer's own by more than its precision
            allows (in float32 1e-5 times 1 + the largest state), or is NaN.
        ValueError: if an argument doesn't fit the model or the data, or ``store`` holds a part of
            another recording; it says which.
        FileExistsError: if ``store`` holds anything else.
        OSError: if ``store`` has no room left; what it holds can be resumed.

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
    )
    with tqdm(total=request.size, unit="sample", disable=not progress) as bar:
        if store is None:
            return gather(request, bar)
        _write(request, store, bar)
    return open_traces(store)


def gather(request: Request, bar: tqdm, output: Output | None = None) -> xr.DataTree:
    """Record all batches of ``request``, with an ``output`` derivatives, and lay them out."""
    recorder, layout = _prepare(request, output)
    gathered = Gathered(request.size)
    for outputs, nodes in _record(recorder, request.batches, live_values(request.model)):
        bar.update(gather_batch(gathered, layout, outputs, nodes, check=output is None))
        del outputs, nodes  # so that one batch is held at a time
    _check_any(gathered.samples)
    return xr.DataTree.from_dict(layout.datasets(gathered))


def _write(request: Request, store: str | Path, bar: tqdm) -> None:
    """Write each batch as it comes, after those that the store holds already."""
    recorder, layout = _prepare(request, None)
    recording = {**layout.attrs, "layers": list(layout.cells), "quantities": request.quantities}
    recording["isel"] = describe_selection(request.selection)
    recording["live_sha256"] = digest_of(live_values(request.model))
    writer = TraceWriter(store, recording=recording)
    inputs = DigestedBatches(request.batches)
    live = _pass_recorded(recorder, inputs, writer)
    bar.update(writer.recorded)
    for outputs, nodes in _record(recorder, inputs, live):
        gathered = Gathered(None)
        bar.update(gather_batch(gathered, layout, outputs, nodes))
        progress = {"inputs_sha256": inputs.digest, "layers": list(gathered.nodes)}
        writer.append(layout.datasets(gathered, writer.recorded), progress)
        del outputs, nodes, gathered
    _check_any(writer.recorded)
    writer.finish({**layout.attrs, "layers": writer.progress["layers"]})


def _pass_recorded(
    recorder: Recorder, inputs: DigestedBatches, writer: TraceWriter
) -> list[tf.Tensor]:
    """Read the batches that ``writer`` holds already; return the live states after them."""
    live = live_values(recorder.model)
    while inputs.samples < writer.recorded and (batch := next(inputs, None)):
        if live:
            x, mask, states = batch
            live = recorder(x, mask, states, live)[2]
    if writer.progress.get("inputs_sha256", "") != inputs.digest:
        raise ValueError(
            f"x doesn't begin with the {writer.recorded} samples that were recorded before; give "
            "the same input in the same batches, or choose another store"
        )
    return live


def _prepare(request: Request, output: Output | None) -> tuple[Recorder, Layout]:
    recorder = Recorder(
        request.model, request.layers, request.quantities, request.selection, output=output
    )
    kept = {dim: request.samples if dim == "sample" else None for dim in request.selection}
    attrs = describe_model(request.model) | ({} if output is None else {"derivatives": 1})
    return recorder, Layout(cells_of_all(request.traced), attrs, kept)


def gather_batch(
    gathered: Gathered,
    layout: Layout,
    outputs: Any,
    nodes: Mapping[str, Any],
    *,
    check: bool = True,
) -> int:
    """Add a batch, ``check`` the equations on a sample of it, and return its number of samples."""
    first = gathered.samples
    gathered.add(outputs, nodes, layout.backwards(nodes))
    for address, node in nodes.items() if check else ():
        arrays = {k: v[first : gathered.samples] for k, v in gathered.nodes[address].items()}
        time = gathered.indices[address]["time"]
        check_sample(address, *layout.cell(address), arrays, time, float(node["peak"]))
    return gathered.samples - first


def _record(
    recorder: Recorder, batches: Iterator[Batch], live: list[tf.Tensor]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Record each batch and probe it; stateful layers go on from batch to batch."""
    everything = Layout(cells_of_all(supported_layers(recorder.model)), {}, {})
    for x, mask, states in batches:
        rows = len(keras.tree.flatten(x)[0])
        if live and live[0].shape[0] != rows:
            raise ValueError(
                f"a batch has {rows} samples, but model {recorder.model.name!r} is stateful for "
                f"{live[0].shape[0]}; Keras would broadcast its states silently"
            )
        outputs, nodes, live = recorder(x, mask, states, live)
        check_mask(mask, nodes)
        for address, node in nodes.items():
            check_probe(address, everything.cell(address)[1], node)
        yield outputs, {address: node for address, node in nodes.items() if node["steps"]}
        del outputs, nodes  # so that one batch is held at a time


def _check_any(samples: int) -> None:
    if not samples:
        raise ValueError("x gives no batch; it must give at least one")
