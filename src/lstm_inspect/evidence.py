"""What is known of a model and its data once it has run: what the rules judge."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from lstm_inspect.given import Given
from lstm_inspect.padding import Padding, find_padding
from lstm_inspect.runs import outputs_in, record
from lstm_inspect.sensitivity import Sensitivity, measure_sensitivity
from lstm_inspect.wiring import MaskPath, Place, follow_masks, places
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
        padding: The steps of the inputs that look like padding; None if there are none.
        masks: Where masks go; None if that can't be seen.
        sensitivity: How far outputs move, by what was changed.
    """

    given: Given
    whole: Given
    traces: xr.DataTree
    nodes: dict[str, xr.Dataset]
    places: dict[str, Place]
    residuals: xr.Dataset
    padding: Padding | None
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

    def real_steps(self, address: str) -> np.ndarray | None:
        """Return which steps of a layer are no padding; None if they aren't those of the input."""
        if self.padding is None:
            return None
        mask = self.nodes[address]["mask"]
        alike = "sample" in mask.dims and mask.shape == self.padding.real.shape
        return self.padding.real if alike else None

    def name_of(self, address: str) -> str:
        """Return the name that the model's own graph has for the layer that holds ``address``."""
        return address.partition("/")[0]


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
    return Evidence(
        given=given,
        whole=whole,
        traces=traces,
        nodes=nodes,
        places=found,
        residuals=check_traces(traces),
        padding=find_padding(given),
        masks=follow_masks(given),
        sensitivity=measure_sensitivity(given, outputs_in(traces), stateful=stateful),
    )


def _chosen(samples: int, most: int, slots: int | None) -> np.ndarray:
    if slots is None:
        return np.linspace(0, samples - 1, min(samples, most)).round().astype(int)
    batches = min(samples // slots, max(most // slots, 1))
    return np.arange(batches * slots)
