"""Record the states and gates of every recurrent layer of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.proof.refusals import check_mask, check_numbers, check_probe, check_sample
from lstm_states.store.store import open_traces
from lstm_states.store.writer import TraceWriter
from lstm_states.traces.batches import Batch, DigestedBatches, check_inputs, digest_of
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import check_touched, describe_edits
from lstm_states.traces.gather import Gathered
from lstm_states.traces.moving import Moving
from lstm_states.traces.notes import Notes
from lstm_states.traces.recorder import Recorder, check_live_states
from lstm_states.traces.request import Request, check_request
from lstm_states.traces.rows import moved_rows
from lstm_states.traces.select import describe_selection
from lstm_states.traces.traced_layers import UnsupportedLayerError, Wanted, cells_of_all, left_out
from lstm_states.traces.tree import Layout, describe_model


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
            for a GRU of ``hidden update_gate reset_gate candidate``; None records all.
        isel: Indices along ``sample``, ``time`` or ``unit``, each a slice or a sequence. Only these
            are kept, and only these samples are computed. The tree then has the coordinate. Outputs
            with the same steps as the layers are cut as well.
        batch_size: Samples per batch; None is 256, or the batch size of a stateful model.
        edits: Edits of states, gates, inputs or initial states, see :class:`Edit`. The tree then
            holds what the edited model does, its ``outputs`` too; the model stays as it is. A layer
            with an edited quantity has a variable ``edited (sample, time)``, and the root an
            attribute ``edits``.
        outputs: Whether to record the model's outputs, which may be much larger than the states.
        store: Where to write a new Zarr store: a path or any address that fsspec supports.
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
        carried states, and the gates are NaN. All are float32, or float64 for float64 layers.

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
    with tqdm(total=request.size, unit="sample", disable=not progress) as bar:
        if store is None:
            return gather(request, bar)
        _write(request, store, bar)
    return open_traces(store)


def gather(request: Request, bar: tqdm, differentiated: Any = None) -> xr.DataTree:
    """Record all batches of ``request`` and lay them out.

    Args:
        request: What to record.
        bar: Told of the samples.
        differentiated: Records derivatives of a batch, called as a :class:`Recorder` is.
    """
    recorder, layout = _prepare(request)
    if differentiated is not None:
        layout = replace(layout, attrs={**layout.attrs, "derivatives": 1})
    gathered, notes = Gathered(request.size), _notes(request)
    own_rows = gathered.own_rows
    recorded = _record(recorder, request.batches, {}, own_rows, notes, differentiated)
    for samples, outputs, nodes, live in recorded:
        gather_batch(gathered, layout, samples, outputs, nodes, check=differentiated is None)
        bar.update(samples)
        del outputs, nodes, live  # so that one batch is held at a time
    _check_any(gathered.samples)
    check_touched(request.plans, (differentiated or recorder).touched)
    notes.warn(stacklevel=3)
    layout = replace(layout, attrs={**layout.attrs, **notes.attrs()})
    return xr.DataTree.from_dict(layout.datasets(gathered))


def _write(request: Request, store: str | Path, bar: tqdm) -> None:
    """Write each batch as it comes, after those that the store holds already."""
    recorder, layout = _prepare(request)
    recording = {**layout.attrs, "layers": list(layout.cells), "quantities": request.quantities}
    recording |= {"isel": describe_selection(request.selection), "outputs": request.outputs}
    writer = TraceWriter(store, recording=recording)
    inputs = DigestedBatches(request.batches)
    before = _pass_recorded(recorder, inputs, writer)
    bar.update(writer.recorded)
    own_rows = set(writer.progress.get("own_rows", ()))
    notes = _notes(request, writer.recorded)
    notes.missed, notes.nan = (dict(writer.progress.get(k, {})) for k in ("missed", "nan"))
    recorder.touched[:] = writer.progress.get("touched", [])
    for samples, outputs, nodes, live in _record(recorder, inputs, before, own_rows, notes):
        gathered = Gathered(None, own_rows)
        gather_batch(gathered, layout, samples, outputs, nodes)
        if writer.recorded and (new := own_rows - set(writer.progress["own_rows"])):
            raise ValueError(
                f"layers {sorted(new)} receive other rows than the samples after sample "
                f"{writer.recorded}, but not before: {store} can't hold both; record without "
                "store, or with a batch_size that covers all samples"
            )
        progress = {
            "inputs_sha256": inputs.digest,
            "live_sha256": digest_of(list(live.values())),
            "layers": list(gathered.nodes),
            "own_rows": sorted(own_rows),
            "missed": notes.missed,
            "nan": notes.nan,
            "touched": recorder.touched,
        }
        writer.append(layout.datasets(gathered, writer.recorded), progress)
        bar.update(samples)
        del outputs, nodes, gathered
    _check_any(writer.recorded)
    check_touched(recorder.plans, recorder.touched)
    writer.finish({**layout.attrs, "layers": writer.progress["layers"], **notes.attrs()})
    notes.warn(stacklevel=3)


def _notes(request: Request, samples: int = 0) -> Notes:
    return Notes(left_out(request.model, request.traced), request.samples, samples)


def _pass_recorded(recorder: Recorder, inputs: DigestedBatches, writer: TraceWriter) -> Moving:
    """Read the batches that ``writer`` holds already; return what moved as it was after them.

    What calls move (live states, seeds of noise, counters) is found again by running them.
    """
    reached, live = writer.progress.get("live_sha256"), Moving()
    while inputs.samples < writer.recorded and (batch := next(inputs, None)):
        if reached != digest_of([]):
            live = recorder(*batch, live)[2]
    if writer.progress.get("inputs_sha256", "") != inputs.digest:
        raise ValueError(
            f"x doesn't begin with the {writer.recorded} samples that were recorded before; pass "
            "the same input in the same batches, or choose another store"
        )
    if writer.recorded and reached != digest_of(list(live.values())):
        raise ValueError(
            f"model {recorder.model.name!r} had other live states, seeds or counters when the "
            f"{writer.recorded} samples before were recorded: restore them, or "
            "choose another store"
        )
    return live


def _prepare(request: Request) -> tuple[Recorder, Layout]:
    asked = (request.model, request.layers, request.quantities, request.selection)
    recorder = Recorder(*asked, outputs=request.outputs, plans=request.plans)
    kept = {dim: request.samples if dim == "sample" else None for dim in request.selection}
    edits = dict.fromkeys(plan.edit for plan in request.plans)
    attrs = {**describe_model(request.model), **describe_edits(edits)}
    return recorder, Layout(cells_of_all(request.traced), attrs, kept)


def gather_batch(
    gathered: Gathered,
    layout: Layout,
    samples: int,
    outputs: Any,
    nodes: Mapping[str, CellTrace],
    *,
    check: bool = True,
) -> None:
    """Add a batch and ``check`` the equations on a sample of it."""
    added = gathered.add(samples, outputs, nodes, layout.backwards(nodes))
    for address, arrays in added.items() if check else ():
        if not len(arrays["mask"]):  # a model may leave a batch empty
            continue
        time = gathered.indices[address]["time"]
        check_sample(address, *layout.cell(address), arrays, time)


def _record(
    recorder: Recorder,
    batches: Iterator[Batch],
    live: Moving,
    own_rows: set[str],
    notes: Notes,
    differentiated: Any = None,
) -> Iterator[tuple[int, dict[str, Any], dict[str, CellTrace], Moving]]:
    """Record each batch, probe and note it; what a call moves goes on from batch to batch.

    The addresses of layers whose rows aren't the samples are added to ``own_rows``.
    """
    for x, mask, states, parts in batches:
        rows = len(keras.tree.flatten(x)[0])
        check_live_states(recorder.model, rows)
        check_inputs(recorder.model, x)
        before = live
        outputs, nodes, live = (differentiated or recorder)(x, mask, states, parts, before)
        check_mask(mask, nodes)
        edited = {plan.address for plan in recorder.plans if plan.by_sample}
        edited = {a for a in nodes if a in edited or a.rpartition("/call_")[0] in edited}
        ran = {address: node for address, node in nodes.items() if node.steps or address in edited}
        nodes = {address: node for address, node in nodes.items() if node.steps}
        for address, node in nodes.items():
            check_probe(address, node)
            if differentiated is not None:
                check_numbers(address, node.initial.values())
        notes.missed |= (differentiated or recorder).missed
        notes.add_nan(recorder.model, x, nodes)
        other = own_rows | _own_rows(recorder, (x, mask, states), before, ran, own_rows)
        own_rows |= other & nodes.keys()
        for named, what in ((states.keys(), "initial_state"), (edited, "sample of an edit")):
            if wrong := sorted(other & set(named)):
                raise UnsupportedLayerError(
                    f"layers {wrong} receive other rows than the model's samples: it is unclear "
                    f"which of them {what} is for"
                )
        yield rows, outputs, nodes, live
        del outputs, nodes  # so that one batch is held at a time


def _own_rows(
    recorder: Recorder,
    batch: tuple[Any, Any, Any],
    live: Moving,
    nodes: Mapping[str, CellTrace],
    known: Set[str],
) -> set[str]:
    """Return the addresses of further layers whose rows aren't the samples."""
    x, mask, states = batch
    nodes = {address: nodes[address] for address in nodes.keys() - known}
    if recorder.plans and any(node.rows is not None for node in nodes.values()):
        # Edits of chosen samples tell rows apart that are given the same.
        asked = recorder.layers and (*recorder.layers, *(plan.layer for plan in recorder.plans))
        recorder = replace(recorder, plans=(), layers=asked)
        unedited = recorder(x, mask, states, (), live)[1]
        nodes = {address: unedited[address] for address in nodes}

    def run_again(x: Any, mask: Any) -> dict[str, Any]:
        again = recorder(x, mask, states, (), live)[1]
        return {address: node.rows for address, node in again.items() if node.rows is not None}

    return moved_rows(run_again, x, mask, nodes)


def _check_any(samples: int) -> None:
    if not samples:
        raise ValueError("x yields no batch; it must yield at least one")
