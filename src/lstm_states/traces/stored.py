"""Write a recording batch by batch, and go on with one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lstm_states.store.writer import TraceWriter
from lstm_states.traces.batches import DigestedBatches, digest_of
from lstm_states.traces.edit_plans import check_touched
from lstm_states.traces.gather import Gathered
from lstm_states.traces.job import make_job
from lstm_states.traces.moving import Moving
from lstm_states.traces.notes import Notes
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import (
    check_any,
    check_rows,
    gather_batch,
    notes_of,
    prepare,
    record_batches,
)
from lstm_states.traces.request import Request
from lstm_states.traces.select import describe_selection
from lstm_states.traces.shared import check_batch, check_shareable, share_batches


def write_recording(request: Request, store: str | Path, bar: tqdm, client: Any = None) -> None:
    """Write each batch as it comes, after those that the store holds already.

    Args:
        request: What to record.
        store: Where.
        bar: Told of the samples.
        client: A ``distributed.Client`` whose workers share all batches but the first; None to
            record all of them here.
    """
    if client is not None:
        check_shareable(request, str(store), client)
    recorder, layout = prepare(request)
    recording = {**layout.attrs, "layers": list(layout.cells), "quantities": request.quantities}
    recording |= {"isel": describe_selection(request.selection), "outputs": request.outputs}
    writer = TraceWriter(store, recording=recording)
    inputs = DigestedBatches(request.batches)
    before = _pass_recorded(recorder, inputs, writer)
    bar.update(writer.recorded)
    own_rows = set(writer.progress.get("own_rows", ()))
    notes = notes_of(request, writer.recorded)
    notes.missed, notes.nan = (dict(writer.progress.get(k, {})) for k in ("missed", "nan"))
    recorder.touched[:] = writer.progress.get("touched", [])
    for samples, outputs, nodes, live in record_batches(recorder, inputs, before, own_rows, notes):
        gathered = Gathered(None, own_rows)
        gather_batch(gathered, layout, samples, outputs, nodes)
        if writer.recorded:
            check_rows(own_rows - set(writer.progress["own_rows"]), writer.recorded, store)
        parts = layout.datasets(gathered, writer.recorded)
        job = None
        if client is not None:
            check_batch(request, inputs.last, live, own_rows)
            job = make_job(request, writer, str(store), inputs.last, parts)
        progress = _progress(recorder, notes, inputs.digest, list(gathered.nodes))
        progress |= {"live_sha256": digest_of(list(live.values())), "own_rows": sorted(own_rows)}
        writer.append(parts, progress)
        bar.update(samples)
        del outputs, nodes, gathered, parts
        if job is not None:
            shared = share_batches(client, job, inputs, request.size, writer)
            _count_shared(shared, writer, recorder, notes, bar)
    check_any(writer.recorded)
    check_touched(recorder.plans, recorder.touched)
    writer.finish({**layout.attrs, "layers": writer.progress["layers"], **notes.attrs()})
    notes.warn(stacklevel=3)


def _progress(recorder: Recorder, notes: Notes, digest: str, layers: list[str]) -> dict[str, Any]:
    """Return what a store holds besides its samples, to go on after them."""
    noted = {"missed": notes.missed, "nan": notes.nan, "touched": recorder.touched}
    return {"inputs_sha256": digest, "layers": layers, **noted}


def _count_shared(
    shared: Iterator[tuple[dict[str, Any], str]],
    writer: TraceWriter,
    recorder: Recorder,
    notes: Notes,
    bar: tqdm,
) -> None:
    """Count batches that workers have written, in their order, and note what they tell."""
    for facts, digest in shared:
        notes.missed |= facts["missed"]
        notes.nan = {**notes.nan, **{a: n for a, n in facts["nan"].items() if a not in notes.nan}}
        notes.cause = notes.cause or facts["cause"]
        recorder.touched[:] = np.logical_or(recorder.touched, facts["touched"]).tolist()
        progress = _progress(recorder, notes, digest, facts["layers"])
        writer.count(facts["samples"], facts["errors"], {**writer.progress, **progress})
        bar.update(facts["samples"])


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
