"""Share the batches of a recording among the workers of a Dask cluster.

A task records one batch and writes it, in whole chunks of the store. The process that asks for the
recording counts the batches in their order, so that the store says at any time how many samples
from the first one on are safe, and any later call goes on from there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from socket import gethostname
from typing import Any
from warnings import catch_warnings, filterwarnings

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.layers import live_states
from lstm_states.store.location import Location
from lstm_states.store.writer import SAMPLES_PER_CHUNK, TraceWriter, write_part
from lstm_states.traces.batches import Batch, DigestedBatches, digest_of
from lstm_states.traces.gather import Gathered
from lstm_states.traces.moving import Moving
from lstm_states.traces.notes import Notes
from lstm_states.traces.plain_model import plain_model, rebuild_model
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import check_rows, gather_batch, prepare, record_batches
from lstm_states.traces.request import Request
from lstm_states.traces.traced_layers import select_layers
from lstm_states.traces.tree import Layout

AHEAD = 2
"""Batches that wait or run for each thread of the workers; after an interruption they run again."""

_PREPARED: dict[str, tuple[Recorder, Layout]] = {}
"""What a worker has made of the last job, by its digest."""

_ONE_AT_A_TIME = threading.Lock()


def check_shareable(request: Request, store: str, client: Any) -> None:
    """Refuse what workers can't share, before anything runs.

    Raises:
        ValueError: naming it, and what would be right.
    """
    if not hasattr(client, "submit") or getattr(client, "asynchronous", False):
        raise ValueError(f"client is {client!r}; it must be a distributed.Client, not asynchronous")
    if store.startswith("memory:"):
        raise ValueError(f"store is {store!r}; with client, all workers must reach it")
    if live_states(request.model):
        raise ValueError(_carries(request.model.name, "it is stateful"))
    if functions := [str(plan.edit) for plan in request.plans if plan.edit.function]:
        raise ValueError(f"{functions[0]} has a function, which can't be sent; omit client")


def check_batch(request: Request, batch: Batch, live: Moving, own_rows: set[str]) -> None:
    """Refuse a recording whose first batch shows that its batches can't be shared.

    Args:
        request: What to record.
        batch: The first batch.
        live: What the model has moved in it.
        own_rows: The layers whose rows aren't the samples.

    Raises:
        ValueError: saying why.
    """
    size = len(keras.tree.flatten(batch[0])[0])
    if size > SAMPLES_PER_CHUNK and size % SAMPLES_PER_CHUNK and size != request.size:
        raise ValueError(
            f"the first batch has {size} samples; with client, a batch must fill whole chunks of "
            f"the store: at most {SAMPLES_PER_CHUNK} samples, or a multiple of it"
        )
    if live:
        raise ValueError(_carries(request.model.name, "it moves seeds, counters or states"))
    if own_rows:
        raise ValueError(
            f"layers {sorted(own_rows)} receive other rows than the samples, whose places in the "
            "store only the batches before tell: record without client"
        )


def _carries(name: str, why: str) -> str:
    return (
        f"model {name!r} carries something from batch to batch ({why}), so its batches can't be "
        "shared: record without client, or make it stateless (stateless_twin)"
    )


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


def share_batches(
    client: Any,
    job: dict[str, Any],
    batches: DigestedBatches,
    size: int | None,
    writer: TraceWriter,
) -> Iterator[tuple[dict[str, Any], str]]:
    """Have workers record ``batches`` and write them.

    Args:
        client: A ``distributed.Client``.
        job: What :func:`make_job` returned.
        batches: The batches after those that ``writer`` holds.
        size: The number of samples in all of them, and before; None if it isn't known.
        writer: Of the store.

    Yields:
        In the order of the batches what :func:`record_part` returned, and the digest of all inputs
        so far.

    Raises:
        ConnectionError: if the scheduler is lost.
        RuntimeError: if a batch ends one worker after the other.
    """
    with _told(writer):
        # As a task, it is made again where the workers that held it are lost.
        sent = _submit(client, _same, job)
    waiting: deque[tuple[Any, str]] = deque()
    before = batches.samples
    try:
        for batch in batches:
            while len(waiting) >= _most(client, writer):
                yield _first(waiting, writer)
            with _told(writer):
                writer.reserve(before, (size or batches.samples) - before)
                task = _submit(client, record_part, sent, plain_batch(batch), before)
            waiting.append((task, batches.digest))
            before = batches.samples
        while waiting:
            yield _first(waiting, writer)
    finally:
        for future, _ in waiting:
            future.cancel()


def _submit(client: Any, function: Callable[..., Any], *given: Any) -> Any:
    with catch_warnings():
        # What the scheduler holds isn't lost with a worker.
        filterwarnings("ignore", "Sending large graph")
        return client.submit(function, *given, pure=False)


def _most(client: Any, writer: TraceWriter) -> int:
    """Return how many batches may be on their way; workers come and go."""
    try:
        with _told(writer):
            return AHEAD * max(1, sum(client.nthreads().values()))
    except OSError as error:  # it tries to connect again for a while
        raise _lost(writer) from error


def _first(waiting: deque[tuple[Any, str]], writer: TraceWriter) -> tuple[dict[str, Any], str]:
    future, digest = waiting[0]
    with _told(writer), writer.room():
        facts = future.result()
    waiting.popleft()
    return facts, digest


@contextmanager
def _told(writer: TraceWriter) -> Iterator[None]:
    """Say of a cluster that fails what is safe, and how to go on."""
    from distributed import CancelledError, KilledWorker
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise RuntimeError(
            f"a batch has ended {error.allowed_failures + 1} workers, one after the other, most "
            f"often because memory ran out (a smaller batch_size takes less): {_safe(writer)}"
        ) from error
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        raise _lost(writer) from error


def _lost(writer: TraceWriter) -> ConnectionError:
    return ConnectionError(
        f"the Dask scheduler, or the client's connection to it, is lost: {_safe(writer)} with a "
        "new client, or without one"
    )


def _safe(writer: TraceWriter) -> str:
    return f"{writer.recorded} samples are safe in {writer}; repeat the call to resume"


def _same(job: dict[str, Any]) -> dict[str, Any]:
    return job


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
        raise ValueError(_carries(recorder.model.name, "it moves seeds, counters or states"))
    check_rows(own_rows, before, job["store"])
    gathered = Gathered(None)
    gather_batch(gathered, layout, samples, outputs, nodes)
    facts = {"samples": samples, "layers": list(gathered.nodes), "touched": recorder.touched}
    facts |= {"missed": notes.missed, "nan": notes.nan, "cause": notes.cause}
    return layout.datasets(gathered, before), facts


def _digest_of_nodes(nodes: Mapping[str, xr.Dataset]) -> str:
    return digest_of([v.values for node in nodes.values() for v in node.variables.values()])
