"""Share the batches of a recording among the workers of a Dask cluster.

A task records one batch and writes it, in whole chunks of the store. The process that asks for the
recording counts the batches in their order, so that the store says at any time how many samples
from the first one on are safe, and any later call goes on from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, filterwarnings

import keras

from lstm_states.layers import live_states
from lstm_states.store.writer import SAMPLES_PER_CHUNK, TraceWriter
from lstm_states.traces.batches import Batch, DigestedBatches
from lstm_states.traces.job import carries, plain_batch, record_part
from lstm_states.traces.moving import Moving
from lstm_states.traces.request import Request

AHEAD = 2
"""Batches that wait or run for each thread of the workers; after an interruption they run again."""


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
        raise carries(request.model.name, "it is stateful")
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
        raise carries(request.model.name, "it moves seeds, counters or states")
    if own_rows:
        raise ValueError(
            f"layers {sorted(own_rows)} receive other rows than the samples, whose places in the "
            "store only the batches before tell: record without client"
        )


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
        job: What :func:`~lstm_states.traces.job.make_job` returned.
        batches: The batches after those that ``writer`` holds.
        size: The number of samples in all of them, and before; None if it isn't known.
        writer: Of the store.

    Yields:
        In the order of the batches what :func:`~lstm_states.traces.job.record_part` returned, and
        the digest of all inputs so far.

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


def _same(job: dict[str, Any]) -> dict[str, Any]:
    return job


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
