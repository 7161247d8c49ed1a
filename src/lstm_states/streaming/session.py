"""Streaming inference with explicit states: one step or some steps at a time."""

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
from lstm_states.streaming.file import (
    Saved,
    check_same_model,
    describe_cells,
    read_session,
    write_session,
)
from lstm_states.streaming.inputs import stream_inputs
from lstm_states.traces.gather import Gathered
from lstm_states.traces.initial_states import States, check_states
from lstm_states.traces.notes import Notes
from lstm_states.traces.record import gather_batch
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.request import check_quantities
from lstm_states.traces.traced_layers import Wanted, cells_of_all, left_out, select_layers
from lstm_states.traces.tree import Layout, describe_model


class StreamingSession:
    """Sequences that a model takes piece by piece, with the states of all its recurrent layers.

    However a sequence is cut, the outputs, states and traces are those of one call over all of it.
    When a session is made this is proved with a random sequence, so a model with a layer that mixes
    time steps is refused. (A layer of one's own that looks back further than 8 steps and the width
    of the widest convolution would not be noticed.)

    Masks with padding or gaps anywhere work too: where a piece begins with masked steps, layers
    show what they showed last, not the zeros that Keras shows where a sequence begins.

    The model is never changed: it and other sessions on it may be used in between. Live states of
    stateful layers are neither read nor written. Weights must not change while a session has
    states; it is noticed when the session is saved or moved.

    Args:
        model: A built model whose inputs have a free number of steps, ``keras.Input((None, 4))``;
            :func:`lstm_states.streaming_twin` makes one of a model of a fixed number.
        samples: Number of sequences side by side, as many as a batch has.
        initial_state: States to start from by address, as :func:`lstm_states.record_traces` takes
            them; what isn't named starts as Keras starts a fresh sequence, mostly from zeros. As in
            Keras a sequence begins there: to go on within a gap, copy or save the session.

    Attributes:
        model: The model.
        samples: Number of sequences side by side.
        steps: Number of time steps taken since the start, masked ones included.

    Raises:
        UnsupportedLayerError: if a layer goes backwards, mixes time steps or can't be traced.
        ValueError: if an argument doesn't fit the model; it says which and what would be right.

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
    ) -> None:
        self.model = model
        self.samples = samples
        self._cells = streamed_cells(model)
        self._inputs = stream_inputs(model, samples)
        self._start, self._per_step = prove_streaming(model, self._cells, self._inputs)
        self._fast = Recorder(model, None, (), probe=False)
        self.reset(initial_state)

    def __repr__(self) -> str:
        return f"StreamingSession({self.model.name!r}, samples={self.samples}, steps={self.steps})"

    @property
    def steps(self) -> int:
        """Number of time steps taken since the start, masked ones included."""
        return self._position.steps

    @property
    def states(self) -> States:
        """Copies of the states by address, each ``(sample, unit)``, as ``initial_state`` takes."""
        return {
            address: tuple(np.array(state) for state in states)
            for address, states in self._position.states.items()
        }

    def step(self, x: Any, *, mask: Any = None) -> Any:
        """Take one time step.

        Args:
            x: ``(sample, feature)``, or what else the model takes without its axis of time.
            mask: Bool ``(sample,)``, true where the step is real.

        Returns:
            The model's outputs, NumPy arrays nested as the model nests them: at this step for those
            that have steps, ``(sample, ...)``, else after the sequence up to here.

        Raises:
            TraceError: if a state becomes NaN; the session stays as it was.
            ValueError: if an argument doesn't fit; it says which and what would be right.
        """
        inputs = self._inputs.tensors(x, one_step=True)
        if mask is not None and np.shape(mask) != (self.samples,):
            raise ValueError(
                f"mask has shape {np.shape(mask)}; for one step it must be ({self.samples},), "
                "true for each sample whose step is real"
            )
        real = None if mask is None else np.asarray(mask)[:, np.newaxis]
        outputs = self.run(inputs, mask=real)
        flat = keras.tree.flatten(outputs)
        shown = [o[:, 0] if steps else o for o, steps in zip(flat, self._per_step, strict=True)]
        return keras.tree.pack_sequence_as(outputs, shown)

    def run(self, x: Any, *, mask: Any = None) -> Any:
        """Take some time steps.

        Args:
            x: ``(sample, time, feature)``, or what else the model takes, at least one step.
            mask: Bool ``(sample, time)``, true where the step is real.

        Returns:
            The model's outputs, NumPy arrays nested as the model nests them: at each of these steps
            for those that have steps, ``(sample, time, ...)``, else after the sequence up to here.

        Raises:
            TraceError: if a state becomes NaN; the session stays as it was.
            ValueError: if an argument doesn't fit; it says which and what would be right.
        """
        outputs, _, self._position = self._advance(self._fast, x, mask)
        return keras.tree.map_structure(np.asarray, outputs["outputs"])

    def record(
        self,
        x: Any,
        *,
        mask: Any = None,
        layers: Wanted = None,
        quantities: Sequence[str] | str | None = None,
    ) -> xr.DataTree:
        """Take some time steps and record them.

        Args:
            x: ``(sample, time, feature)``, or what else the model takes, at least one step.
            mask: Bool ``(sample, time)``, true where the step is real.
            layers: Addresses, shell patterns or layers of the model; None records all of them.
            quantities: Names of the quantities to record; None records all of them.

        Returns:
            The tree that :func:`lstm_states.record_traces` describes, of these steps alone. Trees
            of one piece after the other equal, along ``time``, that of the whole sequence:
            :func:`lstm_states.join_traces` joins them.

        Raises:
            TraceError: as :func:`lstm_states.record_traces`, and if a state becomes NaN; the
                session stays as it was.
            ValueError: if an argument doesn't fit; it says which and what would be right.
        """
        traced = select_layers(self.model, layers)
        wanted = check_quantities(quantities, traced)
        recorder = Recorder(self.model, None if layers is None else tuple(traced), wanted)
        outputs, nodes, position = self._advance(recorder, x, mask)
        notes = Notes(left_out(self.model, traced), missed=recorder.missed)
        layout = Layout(cells_of_all(traced), describe_model(self.model) | notes.attrs(), {})
        gathered = Gathered(self.samples)
        recorded = {address: node for address, node in nodes.items() if node.steps}
        gather_batch(gathered, layout, self.samples, outputs, recorded)
        self._position = position
        return xr.DataTree.from_dict(layout.datasets(gathered))

    def reset(self, initial_state: Mapping[str, Any] | None = None) -> None:
        """Begin a new sequence from ``initial_state``, as a new session does."""
        states = {} if initial_state is None else initial_state
        given = check_states(states, select_layers(self.model, None), self.samples)
        self._position = Position(
            {**self._start.states, **self._converted(given)}, self._start.started, 0
        )
        self._weights = describe_model(self.model)["weights_sha256"]

    def copy(self) -> StreamingSession:
        """Return a session that goes on from here by itself, on the same model."""
        return copy.copy(self)  # positions never change, sessions move on to new ones

    def to(self, model: keras.Model) -> StreamingSession:
        """Return a session that goes on from here on another model of the same weights.

        A model from a file, a stateless twin, one that gives other outputs: the weights must be
        equal, and so must the cells in their order. Names of layers may differ, since Keras numbers
        them as they are made; the new session has those of its model.

        Raises:
            ValueError: saying what differs.
        """
        return self._restored(model, self._saved(), f"the session on {self.model.name!r}")

    def save(self, path: str | Path) -> None:
        """Write where the session is to ``path``, a NumPy archive without pickled objects.

        The file holds the states, not the model: of that it has the cells and the SHA-256 of the
        weights. An older file at ``path`` is replaced once the new one is complete.
        """
        write_session(Path(path), self._saved())

    @classmethod
    def load(cls, path: str | Path, model: keras.Model) -> StreamingSession:
        """Return the session in the file at ``path``, to go on on ``model``.

        Raises:
            FileNotFoundError: if there is no file at ``path``.
            ValueError: if it isn't a session, or, saying what differs, if ``model`` has other
                weights or cells than the model it was saved from (see :meth:`to`).
        """
        return cls._restored(model, read_session(Path(path)), f"the session in {path}")

    def _advance(self, recorder: Recorder, x: Any, mask: Any) -> tuple[Any, Any, Position]:
        inputs = self._inputs.tensors(x)
        real = self._inputs.mask(mask, keras.tree.flatten(inputs)[0].shape[1])
        return advance(recorder, self._cells, inputs, real, self._position)

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
                "its states belong to the old ones: reset it and take the sequence again"
            )
        states, started = list(self.states.values()), list(self._position.started.values())
        cells = describe_cells(self._cells)
        return Saved(self.samples, self.steps, weights, cells, states, started)

    @classmethod
    def _restored(cls, model: keras.Model, saved: Saved, what: str) -> StreamingSession:
        cells = streamed_cells(model)
        digest = describe_model(model)["weights_sha256"]
        check_same_model(saved, model.name, describe_cells(cells), digest, what)
        session = cls(
            model,
            samples=saved.samples,
            initial_state=dict(zip(cells, saved.states, strict=True)),
        )
        started = dict(zip(cells, saved.started, strict=True))
        session._position = replace(session._position, started=started, steps=saved.steps)
        return session
