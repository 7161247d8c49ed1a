"""Streaming inference with explicit states, one or several steps at a time."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.streaming.advance import Position, advance, prove_streaming, streamed_cells
from lstm_states.streaming.edits import StreamEdits
from lstm_states.streaming.file import (
    Saved,
    check_same_model,
    describe_cells,
    read_session,
    write_session,
)
from lstm_states.streaming.inputs import stream_inputs
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import describe_edits
from lstm_states.traces.gather import Gathered
from lstm_states.traces.initial_states import States, check_states
from lstm_states.traces.notes import Notes
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import gather_batch
from lstm_states.traces.request import check_quantities
from lstm_states.traces.traced_layers import Wanted, cells_of_all, left_out, select_layers
from lstm_states.traces.tree import Layout, describe_model


class StreamingSession:
    """Feed sequences to a model piece by piece, with the states of all its recurrent layers.

    However a sequence is cut, outputs, states and traces equal those of one call on the whole
    sequence. The constructor checks this with a random sequence, and refuses a model with a layer
    that mixes timesteps. (The check misses a custom layer that looks back further than 8 steps and
    the width of the widest convolution.)

    Masks may have padding or gaps anywhere. If a piece begins with masked steps, layers repeat
    their last output; Keras returns zeros only at the start of a sequence.

    The model never changes: you can use it, or other sessions on it, in between. The session
    neither reads nor writes live states of stateful layers. The weights must stay the same while
    the session has states; saving or moving the session checks them.

    Args:
        model: A built model with a free number of steps, ``keras.Input((None, 4))``;
            :func:`lstm_states.streaming_twin` copies a model with a fixed number of steps.
        samples: Number of parallel sequences, the batch size.
        initial_state: Initial states by address, as for :func:`lstm_states.record_traces`. Other
            layers start as in Keras, mostly from zeros. As in Keras, a sequence begins here; to
            continue within a gap, copy or save the session.
        edits: Edits as for :func:`lstm_states.record_traces`. Their ``time`` counts from the start
            of the session, never from its end, and their arrays have no steps. What an edit touches
            is not checked, since its steps may yet come. A file doesn't hold edits.

    Attributes:
        model: The model.
        samples: Number of parallel sequences.
        steps: Number of timesteps since the start, including masked ones.

    Raises:
        UnsupportedLayerError: if a layer runs backwards, mixes timesteps or cannot be traced.
        ValueError: if an argument does not fit the model; it names the correct form.

    Example:
        >>> session = StreamingSession(model)
        >>> for x_t in sensor:  # (1, feature) each
        ...     y_t = session.step(x_t)
        >>> session.states["lstm_1"]  # (h, c)
        >>> session.save("session.npz")
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        samples: int = 1,
        initial_state: Mapping[str, Any] | None = None,
        edits: Sequence[Edit] = (),
    ) -> None:
        self.model = model
        self.samples = samples
        self._cells = streamed_cells(model)
        self._inputs = stream_inputs(model, samples)
        self._start, self._per_step = prove_streaming(model, self._cells, self._inputs)
        self._fast = Recorder(model, None, (), probe=False)
        self._edits = StreamEdits(edits, select_layers(model, None), samples)
        self.reset(initial_state)

    def __repr__(self) -> str:
        return f"StreamingSession({self.model.name!r}, samples={self.samples}, steps={self.steps})"

    @property
    def steps(self) -> int:
        """Number of timesteps since the start, including masked ones."""
        return self._position.steps

    @property
    def states(self) -> States:
        """Copies of the states by address, each ``(sample, unit)``, as for ``initial_state``."""
        return {
            address: tuple(np.array(state) for state in states)
            for address, states in self._position.states.items()
        }

    def step(self, x: Any, *, mask: Any = None) -> Any:
        """Run one timestep.

        Args:
            x: ``(sample, feature)``, or the model's other inputs without their time axis.
            mask: Bool ``(sample,)``, true where the step is real.

        Returns:
            The model's outputs as NumPy arrays, nested as in the model. Outputs with steps are
            those of this step, ``(sample, ...)``; others are those after the sequence so far.

        Raises:
            TraceError: if a state becomes NaN; the session stays unchanged.
            ValueError: if an argument does not fit; the message names it and the correct form.
        """
        inputs = self._inputs.tensors(x, one_step=True)
        if mask is not None and np.shape(mask) != (self.samples,):
            raise ValueError(
                f"mask has shape {np.shape(mask)}; for one step it must be ({self.samples},), "
                "true for each sample whose step is real"
            )
        real = None if mask is None else np.asarray(mask)[:, np.newaxis]
        outputs = self._run(inputs, real)
        flat = keras.tree.flatten(outputs)
        shown = [o[:, 0] if steps else o for o, steps in zip(flat, self._per_step, strict=True)]
        return keras.tree.pack_sequence_as(outputs, shown)

    def run(self, x: Any, *, mask: Any = None) -> Any:
        """Run several timesteps.

        Args:
            x: ``(sample, time, feature)``, or the model's other inputs, with at least one step.
            mask: Bool ``(sample, time)``, true where the step is real.

        Returns:
            The model's outputs as NumPy arrays, nested as in the model. Outputs with steps are
            those of these steps, ``(sample, time, ...)``; others are those after the sequence so
            far.

        Raises:
            TraceError: if a state becomes NaN; the session stays unchanged.
            ValueError: if an argument does not fit; the message names it and the correct form.
        """
        return self._run(self._inputs.tensors(x), mask)

    def record(
        self,
        x: Any,
        *,
        mask: Any = None,
        layers: Wanted = None,
        quantities: Sequence[str] | str | None = None,
    ) -> xr.DataTree:
        """Run several timesteps and record them.

        Args:
            x: ``(sample, time, feature)``, or the model's other inputs, with at least one step.
            mask: Bool ``(sample, time)``, true where the step is real.
            layers: Addresses, shell patterns or layers of the model; None records all of them.
            quantities: Names of the quantities to record; None records all of them.

        Returns:
            A tree as from :func:`lstm_states.record_traces`, for these steps only. Joined along
            ``time`` by :func:`lstm_states.join_traces`, the trees of consecutive pieces equal the
            tree of the whole sequence.

        Raises:
            TraceError: as for :func:`lstm_states.record_traces`, and if a state becomes NaN; the
                session stays unchanged.
            ValueError: if an argument does not fit; the message names it and the correct form.
        """
        traced = select_layers(self.model, layers)
        wanted = check_quantities(quantities, traced)
        recorder = Recorder(self.model, None if layers is None else tuple(traced), wanted)
        outputs, nodes, position = self._advance(recorder, self._inputs.tensors(x), mask)
        notes = Notes(left_out(self.model, traced), missed=recorder.missed)
        attrs = describe_model(self.model) | describe_edits(self._edits.edits) | notes.attrs()
        layout = Layout(cells_of_all(traced), attrs, {})
        gathered = Gathered(self.samples)
        recorded = {a: self._edits.marked(a, node) for a, node in nodes.items() if node.steps}
        gather_batch(gathered, layout, self.samples, outputs, recorded)
        self._position = position
        return layout.tree(gathered)

    def reset(self, initial_state: Mapping[str, Any] | None = None) -> None:
        """Begin a new sequence from ``initial_state``, as a new session does."""
        states = {} if initial_state is None else initial_state
        given = check_states(states, select_layers(self.model, None), self.samples)
        self._position = Position(
            {**self._start.states, **self._converted(given)}, self._start.started, 0
        )
        self._weights = describe_model(self.model)["weights_sha256"]

    def copy(self) -> StreamingSession:
        """Return an independent session that continues from here on the same model."""
        return copy.copy(self)  # positions never change, sessions move on to new ones

    def to(self, model: keras.Model) -> StreamingSession:
        """Return a session that continues from here on another model with the same weights.

        The model may be loaded from a file, be a stateless twin, or have other outputs. Its weights
        must be equal, and so must its cells in their order. The names of layers may differ, since
        Keras numbers layers as it creates them; the new session uses the names of its model.

        Raises:
            ValueError: naming the difference.
        """
        what = f"the session on {self.model.name!r}"
        moved = self._restored(model, self._saved(), what, ())
        cells = dict(zip(self._cells, moved._cells, strict=True))
        edits = self._edits.moved(cells)
        moved._edits = StreamEdits(edits, select_layers(model, None), self.samples)
        return moved

    def save(self, path: str | Path) -> None:
        """Write the state of the session to ``path``, a NumPy archive without pickled objects.

        The file holds the states, the list of cells and the SHA-256 of the weights, but not the
        model. An existing file at ``path`` is replaced once the new one is complete.
        """
        write_session(Path(path), self._saved())

    @classmethod
    def load(
        cls, path: str | Path, model: keras.Model, *, edits: Sequence[Edit] = ()
    ) -> StreamingSession:
        """Return the session saved at ``path``, to continue it on ``model`` with ``edits``.

        Raises:
            FileNotFoundError: if there is no file at ``path``.
            ValueError: if the file is not a session, or, naming the difference, if ``model`` has
                other weights or cells than the saved model (see :meth:`to`).
        """
        return cls._restored(model, read_session(Path(path)), f"the session in {path}", edits)

    def _run(self, inputs: Any, mask: Any) -> Any:
        outputs, _, self._position = self._advance(self._fast, inputs, mask)
        return keras.tree.map_structure(np.asarray, outputs["outputs"])

    def _advance(self, recorder: Recorder, inputs: Any, mask: Any) -> tuple[Any, Any, Position]:
        steps = keras.tree.flatten(inputs)[0].shape[1]
        real = self._inputs.mask(mask, steps)
        edited = self._edits.recorder(recorder, self.steps, steps)
        parts = self._edits.parts(edited.plans)
        return advance(edited, self._cells, inputs, real, self._position, parts)

    def _converted(self, states: Mapping[str, Any]) -> dict[str, tuple[tf.Tensor, ...]]:
        """Return ``states`` in the precision in which the model gives them."""
        return {
            address: tuple(
                tf.constant(np.array(state), like.dtype)
                for state, like in zip(arrays, self._start.states[address], strict=True)
            )
            for address, arrays in states.items()
        }

    def _saved(self) -> Saved:
        weights = describe_model(self.model)["weights_sha256"]
        if weights != self._weights:
            raise ValueError(
                f"the weights of model {self.model.name!r} have changed since the session began; "
                "its states belong to the old ones: reset it and start the sequence again"
            )
        states = list(self.states.values())
        started = [np.array(flags) for flags in self._position.started.values()]
        cells = describe_cells(self._cells)
        return Saved(self.samples, self.steps, weights, cells, states, started)

    @classmethod
    def _restored(
        cls, model: keras.Model, saved: Saved, what: str, edits: Sequence[Edit]
    ) -> StreamingSession:
        cells = streamed_cells(model)
        digest = describe_model(model)["weights_sha256"]
        check_same_model(saved, model.name, describe_cells(cells), digest, what)
        session = cls(
            model,
            samples=saved.samples,
            initial_state=dict(zip(cells, saved.states, strict=True)),
            edits=edits,
        )
        started = dict(zip(cells, map(tf.constant, saved.started), strict=True))
        session._position = replace(session._position, started=started, steps=saved.steps)
        return session
