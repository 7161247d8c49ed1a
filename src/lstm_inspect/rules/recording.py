"""Whether what was recorded is what the model does."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding
from lstm_states.proof.equations import TOLERANCES


def values_missing(seen: Evidence) -> Iterator[Finding]:
    """Data that are no numbers, of which layers make NaN, or gates that are all shut or open."""
    for number, leaf in enumerate(keras.tree.flatten(seen.given.x)):
        bad = ~np.isfinite(leaf).reshape(len(leaf), -1).all(1)
        if bad.any():
            yield Finding(
                "wrong", "values_missing", "model",
                f"Input {number + 1} holds NaN or infinity in {int(bad.sum()):,} of {len(bad):,} "
                f"samples, sample {int(bad.argmax())} first.",
                "Replace these values, or leave these samples out.",
            )  # fmt: skip


def nan_in_states(seen: Evidence) -> Iterator[Finding]:
    """States that are NaN: nothing after them means anything."""
    for line in seen.traces.attrs.get("first_nan", []):
        layer, _, where = line.partition(": ")
        yield Finding(
            "wrong", "nan_in_states", layer,
            f"Its states are NaN from {where} on.",
            "Look for NaN in the data and in the weights first; else for a learning rate that let "
            "the weights explode.",
        )  # fmt: skip


def not_recorded(seen: Evidence) -> Iterator[Finding]:
    """Layers that the report says nothing of."""
    for line in seen.traces.attrs.get("not_recorded", []):
        layer, _, why = line.partition(": ")
        yield Finding(
            "risk", "not_recorded", layer,
            f"It can't be recorded: {why}.",
            "Nothing in this report is about this layer; docs/coverage.md lists what is recorded.",
        )  # fmt: skip


def large_residuals(seen: Evidence) -> Iterator[Finding]:
    """Recorded states that break the equations of their cell by more than rounding."""
    for address, node in seen.nodes.items():
        row = seen.residuals.sel(layer=address)
        peak = max(
            float(np.abs(values[np.isfinite(values)]).max(initial=0))
            for values in (v.values for v in node.data_vars.values() if v.dtype.kind == "f")
        )
        place = seen.places.get(address)
        precision = place.layer.compute_dtype if place else "float32"
        limit = TOLERANCES.get(precision, TOLERANCES["float32"]) * (1 + peak)
        for name, residual in row.data_vars.items():
            if float(residual) > limit:
                yield Finding(
                    "wrong", "large_residuals", address,
                    f"The equation of {name!r} is off by {float(residual):.2g}; rounding explains "
                    f"{limit:.2g}.",
                    "Trust nothing that is said of this layer, and report the model.",
                )  # fmt: skip


RULES = (values_missing, nan_in_states, not_recorded, large_residuals)
