"""What units and gates do over the data: nothing, always the same, or too much of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding

IDLE = 0.1
"""A tenth of a layer that says nothing could be left out."""

SATURATED = 0.9
"""A gate that is shut, or open, at nine of ten steps decides nothing and hardly learns."""

EXTREME = 0.5
"""With |h| above 0.9 in half of all values, tanh is flat and gradients are small."""

FORGETS = 0.5
"""If half of the units lose half of their state at each step, the layer scarcely carries any."""

KEEPS = 0.5
"""Half of the units that can't forget within a sequence make a sum of it."""


def idle_units(seen: Evidence) -> Iterator[Finding]:
    """Units that never vary, and pairs that say the same."""
    for address, found in seen.idle.items():
        units = seen.nodes[address].sizes["unit"]
        dead = int(found["dead"].sum())
        pairs = found.sizes["pair"]
        twins = set(map(int, found["pair_other"].values))
        if dead >= max(1, IDLE * units):
            yield Finding(
                "note", "dead_units", address,
                f"{dead} of {units} units hardly vary over these data.",
                f"Fewer units would do as much: {units - dead}, say." if dead < units else
                "Look at the data: they may not vary, or not reach this layer.",
            )  # fmt: skip
        if len(twins) >= max(1, IDLE * units):
            one, other = int(found["pair_unit"][0]), int(found["pair_other"][0])
            yield Finding(
                "note", "duplicate_units", address,
                f"{len(twins)} of {units} units say what another one says ({pairs} pairs above "
                f"a correlation of 0.99, units {one} and {other} first).",
                f"Fewer units would do as much: {units - len(twins)}, say.",
            )  # fmt: skip


def saturated_gates(seen: Evidence) -> Iterator[Finding]:
    """Gates that stay shut or open."""
    for address in seen.nodes:
        for name, values in seen.saturation.sel(layer=address).data_vars.items():
            share = float(values)
            if not share > SATURATED:  # NaN where the layer has no such gate
                continue
            gate, _, side = str(name).partition("_saturated_")
            how = "shut (below 0.1)" if side == "left" else "open (above 0.9)"
            yield Finding(
                "risk", "saturated_gates", address,
                f"Its {gate.replace('_', ' ')} is {how} at {share:.0%} of all steps"
                f"{_reach(seen)}.",
                "Scale the inputs to about 1, and look at the weights: a gate that never moves "
                "learns little.",
            )  # fmt: skip


def extreme_states(seen: Evidence) -> Iterator[Finding]:
    """States near 1 in size, where tanh is flat."""
    if "hidden_saturated" not in seen.states:
        return
    for address in seen.nodes:
        share = float(seen.states["hidden_saturated"].sel(layer=address))
        if share > EXTREME:
            yield Finding(
                "risk", "extreme_states", address,
                f"|h| is above 0.9 for {share:.0%} of all values{_reach(seen)}.",
                "Scale the inputs to about 1; else lower the learning rate or penalise weights.",
            )  # fmt: skip


def _reach(seen: Evidence) -> str:
    """Return how far inputs reach, if that is far and they are numbers."""
    x = seen.sequence
    peak = float(np.nanmax(np.abs(x)))
    return f"; inputs reach {peak:,.3g}" if x.dtype.kind == "f" and peak > 10 else ""


def half_lives(seen: Evidence) -> Iterator[Finding]:
    """Memories that are shorter than a step, or longer than the sequences."""
    for address, lives in seen.half_lives.items():
        if not lives.size:
            continue
        steps = int(seen.nodes[address]["mask"].values.sum(1).max())
        if steps < 2:  # nothing is carried
            continue
        short, long = float((lives < 1).mean()), float((lives > steps).mean())
        median = float(np.median(lives))
        if short > FORGETS:
            yield Finding(
                "note", "short_memory", address,
                f"{short:.0%} of its units lose half of their state within a step (median "
                f"half-life {median:.2g} steps).",
                "It scarcely uses its memory: try a layer without one, such as Conv1D, for "
                "comparison.",
            )  # fmt: skip
        if long > KEEPS:
            yield Finding(
                "note", "long_memory", address,
                f"{long:.0%} of its units keep half of their state for longer than the {steps} "
                "steps of the longest sequence.",
                "What they read early stays to the end; longer sequences may take them to values "
                "that training never saw.",
            )  # fmt: skip


RULES = (idle_units, saturated_gates, extreme_states, half_lives)
