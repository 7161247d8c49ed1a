"""Write a recording batch by batch, and go on with one that was interrupted."""

from __future__ import annotations

from pathlib import Path

from tqdm.auto import tqdm

from lstm_states.store.writer import TraceWriter
from lstm_states.traces.batches import DigestedBatches, digest_of
from lstm_states.traces.edit_plans import check_touched
from lstm_states.traces.gather import Gathered
from lstm_states.traces.moving import Moving
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import (
    check_any,
    gather_batch,
    notes_of,
    prepare,
    record_batches,
)
from lstm_states.traces.request import Request
from lstm_states.traces.select import describe_selection


def write_recording(request: Request, store: str | Path, bar: tqdm) -> None:
    """Write each batch as it comes, after those that the store holds already."""
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
    check_any(writer.recorded)
    check_touched(recorder.plans, recorder.touched)
    writer.finish({**layout.attrs, "layers": writer.progress["layers"], **notes.attrs()})
    notes.warn(stacklevel=3)


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
