"""Record all batches of a request, check each, and lay them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

import keras
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.proof.refusals import check_mask, check_numbers, check_probe, check_sample
from lstm_states.traces.batches import Batch, check_inputs
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.edit_plans import check_touched, describe_edits
from lstm_states.traces.gather import Gathered
from lstm_states.traces.moving import Moving
from lstm_states.traces.notes import Notes
from lstm_states.traces.recorder import Recorder, check_live_states
from lstm_states.traces.request import Request
from lstm_states.traces.rows import moved_rows
from lstm_states.traces.traced_layers import UnsupportedLayerError, cells_of_all, left_out
from lstm_states.traces.tree import Layout, describe_model


def gather(request: Request, bar: tqdm, differentiated: Any = None) -> xr.DataTree:
    """Record all batches of ``request`` and lay them out.

    Args:
        request: What to record.
        bar: Told of the samples.
        differentiated: Records derivatives of a batch, called as a :class:`Recorder` is.
    """
    recorder, layout = prepare(request)
    if differentiated is not None:
        layout = replace(layout, attrs={**layout.attrs, "derivatives": 1})
    gathered, notes = Gathered(request.size), notes_of(request)
    own_rows = gathered.own_rows
    recorded = record_batches(recorder, request.batches, {}, own_rows, notes, differentiated)
    for samples, outputs, nodes, live in recorded:
        gather_batch(gathered, layout, samples, outputs, nodes, check=differentiated is None)
        bar.update(samples)
        del outputs, nodes, live  # so that one batch is held at a time
    check_any(gathered.samples)
    check_touched(request.plans, (differentiated or recorder).touched)
    notes.warn(stacklevel=3)
    layout = replace(layout, attrs={**layout.attrs, **notes.attrs()})
    return layout.tree(gathered)


def prepare(request: Request) -> tuple[Recorder, Layout]:
    """Return what records the batches of ``request``, and what lays them out."""
    asked = (request.model, request.layers, request.quantities, request.selection)
    recorder = Recorder(*asked, outputs=request.outputs, plans=request.plans)
    kept = {dim: request.samples if dim == "sample" else None for dim in request.selection}
    edits = dict.fromkeys(plan.edit for plan in request.plans)
    attrs = {**describe_model(request.model), **describe_edits(edits)}
    return recorder, Layout(cells_of_all(request.traced), attrs, kept)


def notes_of(request: Request, samples: int = 0) -> Notes:
    """Return the notes of a recording that holds ``samples`` already."""
    return Notes(left_out(request.model, request.traced), request.samples, samples)


def record_batches(
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


def check_any(samples: int) -> None:
    """Refuse a recording without ``samples``."""
    if not samples:
        raise ValueError("x yields no batch; it must yield at least one")


def check_rows(new: Set[str], before: int, store: Any) -> None:
    """Refuse layers whose rows are the samples in the batches of a store before, and now aren't."""
    if new:
        raise ValueError(
            f"layers {sorted(new)} receive other rows than the samples after sample {before}, but "
            f"not before: {store} can't hold both; record without store, or with a batch_size that "
            "covers all samples"
        )
