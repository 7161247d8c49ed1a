"""What a worker gets to record a batch of a shared recording, and what it does with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from socket import gethostname
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.store.location import Location
from lstm_states.store.writer import TraceWriter, write_part
from lstm_states.traces.batches import Batch, digest_of
from lstm_states.traces.gather import Gathered
from lstm_states.traces.notes import Notes
from lstm_states.traces.plain_model import plain_model, rebuild_model
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import check_rows, gather_batch, prepare, record_batches
from lstm_states.traces.request import Request
from lstm_states.traces.traced_layers import select_layers
from lstm_states.traces.tree import Layout

_PREPARED: dict[str, tuple[Recorder, Layout]] = {}
"""What a worker has made of the last job, by its digest."""

_ONE_AT_A_TIME = threading.Lock()


def make_job(
    request: Request, writer: TraceWriter, store: str, batch: Batch, nodes: Mapping[str, xr.Dataset]
) -> dict[str, Any]:
    """Return what a worker needs besides its batch.

    Args:
        request: What to record.
        writer: Of the store.
        store: Its place.
        batch: A batch, by which a worker proves that it gets the same bits.
        nodes: What this process has recorded of it.
    """
    model = plain_model(request.model)
    about = [model["config"], repr(writer.recording), request.samples]
    return {
        "digest": digest_of([*about, batch]),
        "model": model,
        "layers": request.layers,
        "quantities": request.quantities,
        "selection": request.selection,
        "samples": request.samples,
        "outputs": request.outputs,
        "plans": [plan.without_operands() for plan in request.plans],
        "store": Location(store).shared(),
        "recording": writer.recording,
        "batch": plain_batch(batch),
        "before": writer.recorded,
        "sha256": _digest_of_nodes(nodes),
    }


def plain_batch(batch: Batch) -> Batch:
    """Return a batch with arrays in place of tensors."""
    x, mask, states, parts = batch
    arrays = keras.tree.map_structure(np.asarray, x)
    return arrays, None if mask is None else np.asarray(mask), states, parts


def record_part(job: dict[str, Any], batch: Batch, before: int) -> dict[str, Any]:
    """Record a batch and write it to the store; runs on a worker, and may run again.

    Args:
        job: What :func:`make_job` returned.
        batch: The batch.
        before: The number of samples before it.

    Returns:
        What the one who counts the batches has to know: ``samples``, ``layers``, ``errors``,
        ``missed``, ``nan``, ``cause`` and ``touched``.
    """
    recorder, layout = _prepared(job)
    nodes, facts = _record(recorder, layout, job, batch, before)
    return {**facts, "errors": write_part(job["store"], job["recording"], nodes, before)}


def _prepared(job: dict[str, Any]) -> tuple[Recorder, Layout]:
    """Make the model of a job again, once in a process."""
    with _ONE_AT_A_TIME:
        if job["digest"] not in _PREPARED:
            _PREPARED.clear()  # a model and its compiled functions are large
            _PREPARED[job["digest"]] = _proven(job)
        return _PREPARED[job["digest"]]


def _proven(job: dict[str, Any]) -> tuple[Recorder, Layout]:
    """Return what records a job's batches, once it has given the same bits for one of them.

    Raises:
        ValueError: if it gives others.
    """
    model = rebuild_model(job["model"])
    traced = select_layers(model, job["layers"])
    asked = (job["layers"], job["quantities"], job["selection"], None, job["samples"])
    made = prepare(Request(model, traced, *asked, iter(()), job["outputs"], job["plans"]))
    nodes, _ = _record(*made, job, job["batch"], job["before"])
    if _digest_of_nodes(nodes) != job["sha256"]:
        raise ValueError(
            f"the worker on {gethostname()} records other bits of a batch than the process that "
            "asks for them: its processor or its threads for TensorFlow differ, or the config of "
            f"model {model.name!r} doesn't hold all that it does; record without client"
        )
    return made


def _record(
    recorder: Recorder, layout: Layout, job: dict[str, Any], batch: Batch, before: int
) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Record a batch and lay it out; return the datasets, and what is to be told of it."""
    x, mask, states, parts = batch
    tensors = keras.tree.map_structure(tf.convert_to_tensor, x)
    given = tensors, None if mask is None else tf.convert_to_tensor(mask), states, parts
    recorder = replace(recorder, missed={}, touched=[])
    notes, own_rows = Notes({}, job["samples"], before), set[str]()
    recorded = record_batches(recorder, iter([given]), {}, own_rows, notes)
    ((samples, outputs, nodes, live),) = recorded
    if live:
        raise carries(recorder.model.name, "it moves seeds, counters or states")
    check_rows(own_rows, before, job["store"])
    gathered = Gathered(None)
    gather_batch(gathered, layout, samples, outputs, nodes)
    facts = {"samples": samples, "layers": list(gathered.nodes), "touched": recorder.touched}
    facts |= {"missed": notes.missed, "nan": notes.nan, "cause": notes.cause}
    return layout.datasets(gathered, before), facts


def _digest_of_nodes(nodes: Mapping[str, xr.Dataset]) -> str:
    return digest_of([v.values for node in nodes.values() for v in node.variables.values()])


def carries(name: str, why: str) -> ValueError:
    """Return the error of a model whose batches depend on those before; ``why`` says by what."""
    return ValueError(
        f"model {name!r} carries something from batch to batch ({why}), so its batches can't be "
        "shared: record without client, or make it stateless (stateless_twin)"
    )
