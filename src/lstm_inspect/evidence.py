"""What is known of a model and its data once it has run: what the rules judge."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import keras
import numpy as np
import xarray as xr

from lstm_inspect.given import Given
from lstm_inspect.masks import MaskPath, follow_masks
from lstm_inspect.padding import Padding, find_padding
from lstm_inspect.runs import outputs_in, record
from lstm_inspect.sensitivity import Sensitivity, measure_sensitivity
from lstm_inspect.wiring import Place, places
from lstm_states.cells import layers_of
from lstm_states.geometry import find_idle_units
from lstm_states.nodes import tree_of
from lstm_states.proof.equations import check_traces
from lstm_states.summary import measure_half_lives, measure_saturation, measure_states


@dataclass(frozen=True)
class Evidence:
    """What was recorded and measured.

    Args:
        given: The model and its data.
        whole: All data that were given; ``given`` holds the samples that were inspected.
        traces: All states and gates.
        nodes: The layers of the traces, by address.
        places: Where each stands in the model.
        residuals: Of the equations, by layer.
        paddings: The steps of the inputs that look like padding, by the number of the input.
        masks: Where masks go; None if that can't be seen.
        sensitivity: How far outputs move, by what was changed.
    """

    given: Given
    whole: Given
    traces: xr.DataTree
    nodes: dict[str, xr.Dataset]
    places: dict[str, Place]
    residuals: xr.Dataset
    paddings: dict[int, Padding]
    masks: MaskPath | None
    sensitivity: dict[str, Sensitivity]

    @cached_property
    def states(self) -> xr.Dataset:
        """What :func:`lstm_states.measure_states` tells of the layers."""
        return measure_states(self.traces)

    @cached_property
    def saturation(self) -> xr.Dataset:
        """What :func:`lstm_states.measure_saturation` tells of their gates."""
        return measure_saturation(self.traces)

    @cached_property
    def half_lives(self) -> dict[str, np.ndarray]:
        """The half-lives of the units of each layer that are known."""
        found = measure_half_lives(self.traces)["half_life"]
        return {a: (own := found.sel(layer=a).values)[~np.isnan(own)] for a in self.nodes}

    @cached_property
    def idle(self) -> dict[str, xr.Dataset]:
        """Dead and duplicate units, of each layer of which that can be measured."""
        found = {}
        for address, node in self.nodes.items():
            # Each by itself, since a measure refuses all layers for one of them: states that are no
            # vectors or no numbers, or a single step.
            with suppress(ValueError):
                found[address] = find_idle_units(tree_of(address, node))
        return found

    @property
    def sequence(self) -> np.ndarray:
        """The first input that layers read step by step."""
        first: np.ndarray = keras.tree.flatten(self.given.x)[_sequences(self.places)[0]]
        return first

    @property
    def sides(self) -> tuple[bool, bool]:
        """Whether some sample of some input begins, and ends, with padding."""
        found = self.paddings.values()
        return any(one.at_start for one in found), any(one.at_end for one in found)

    def padding_of(self, address: str) -> Padding | None:
        """Return the padding of what a layer reads; None if there is none, or it isn't known.

        Steps of several inputs, one beside the other, are padding where all of them are.
        """
        place = self.places.get(address)
        found = [self.paddings.get(number) for number in place.reads] if place else []
        own = [one for one in found if one is not None]
        mask = self.nodes[address]["mask"]
        alike = "sample" in mask.dims and all(one.real.shape == mask.shape for one in own)
        if not own or len(own) < len(found) or not alike:
            return None
        return replace(own[0], real=np.logical_or.reduce([one.real for one in own]))

    def real_steps(self, address: str) -> np.ndarray | None:
        """Return which steps of a layer are no padding; None if it reads none."""
        found = self.padding_of(address)
        return None if found is None else found.real


def gather(whole: Given, most: int | None = None) -> Evidence:
    """Record a model over its data, and measure what the rules and the report need.

    Args:
        whole: The model and its data.
        most: How many samples to inspect; None is all. A model that is built for batches of one
            size gets the first batches, which may continue each other, any other evenly spaced
            samples.
    """
    given = whole.take(_chosen(whole.samples, most or whole.samples, whole.slots))
    traces = record(given)
    nodes = layers_of(traces)
    found = places(given.model, list(nodes))
    stateful = any(place.layer.stateful for place in found.values())
    sequences = _sequences(found)
    looked = {number: find_padding(given, number) for number in sequences}
    paddings = {number: one for number, one in looked.items() if one is not None}
    return Evidence(
        given=given,
        whole=whole,
        traces=traces,
        nodes=nodes,
        places=found,
        residuals=check_traces(traces),
        paddings=paddings,
        masks=follow_masks(given),
        sensitivity=measure_sensitivity(
            given, outputs_in(traces), stateful=stateful, sequences=sequences, paddings=paddings
        ),
    )


def _sequences(found: dict[str, Place]) -> list[int]:
    """Return the numbers of the inputs that layers read step by step; the first one if unknown."""
    return sorted(frozenset().union(*(place.reads for place in found.values()))) or [0]


def _chosen(samples: int, most: int, slots: int | None) -> np.ndarray:
    if slots is None:
        return np.linspace(0, samples - 1, min(samples, most)).round().astype(int)
    batches = min(samples // slots, max(most // slots, 1))
    return np.arange(batches * slots)
