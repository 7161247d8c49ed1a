"""What belongs to the samples beside their states: names, labels, words, series of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lstm_explorer.blocks import NOTHING, Blocks


@dataclass(frozen=True)
class Series:
    """Values that go along with the samples, or with their steps.

    Args:
        name: What the page calls them.
        role: ``input``, ``output`` or ``target``.
        values: ``(sample, time, feature)`` or ``(sample, feature)``; of an output, of each version.
        by_step: Whether they have steps.
        features: Names along the last axis.
    """

    name: str
    role: str
    values: list[Any]
    by_step: bool
    features: list[str]

    def size(self, steps: int) -> int:
        """Return how many bytes a sample takes in a page."""
        return 2 * len(self.values) * len(self.features) * (steps if self.by_step else 1)

    def add(self, at: np.ndarray, blocks: Blocks) -> dict[str, Any]:
        """Add the chosen samples, and return what the header tells of the series."""
        # Chosen before they become arrays: a store is read no further.
        parts = [np.asarray(values[at]) for values in self.values]
        block = blocks.add_numbers(*parts, digits=2)
        return {"name": self.name, "role": self.role, "features": self.features, "values": block}


def read_inputs(given: Any, samples: int, steps: int) -> Series:
    """Check inputs: ``(sample, time, feature)`` or ``(sample, time)``."""
    return _series("inputs", "input", given, samples, steps, by_step=True)


def read_targets(given: Any, samples: int, steps: int, *, outputs_by_step: bool) -> Series:
    """Check targets; two axes are those of the outputs."""
    shape = given.shape if hasattr(given, "shape") else np.asarray(given, object).shape
    by_step = len(shape) > 2 or (outputs_by_step and shape[1:] == (steps,))
    if isinstance(given, xr.DataArray) and {"sample", "time"} & set(given.dims):
        by_step = "time" in given.dims
    return _series("targets", "target", given, samples, steps, by_step=by_step)


def read_outputs(roots: Mapping[str, xr.Dataset], samples: int, steps: int) -> list[Series]:
    """Return the outputs of all versions that are vectors, or numbers.

    Raises:
        ValueError: if one version holds others than the first.
    """
    series: list[Series] = []
    held = {
        v: {str(n): a for n, a in r.data_vars.items() if str(n).startswith("outputs")}
        for v, r in roots.items()
    }
    first = next(iter(held.values()))
    for version, outputs in held.items():
        shapes = [{name: own.shape for name, own in one.items()} for one in (first, outputs)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"version {version!r} of the traces has the outputs {shapes[1]}, the first one "
                f"{shapes[0]}: record all alike, or with outputs=False"
            )
    for name, values in first.items():
        by_step = values.sizes.get("time") == steps
        if values.ndim <= 2 + by_step and ("time" in values.dims) == by_step:
            one = _series(name, "output", values, samples, steps, by_step=by_step)
            rest = [_with_last_axis(own[name], by_step) for own in list(held.values())[1:]]
            series.append(Series(name, "output", [*one.values, *rest], by_step, one.features))
    return series


def _series(name: str, role: str, given: Any, samples: int, steps: int, *, by_step: bool) -> Series:
    allowed = f"({samples}, {steps}, feature) or ({samples}, {steps})"
    if role == "target":
        allowed += f", or without steps ({samples}, feature) or ({samples},)"
    values = _array(name, given, allowed)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {values.dtype} values; they must be real numbers")
    whole = values.shape
    values = _with_last_axis(values, by_step)
    needed = (samples, steps) if by_step else (samples,)
    if values.ndim != len(needed) + 1 or values.shape[:-1] != needed or not values.shape[-1]:
        raise ValueError(f"{name} has shape {whole}; it must be {allowed}")
    features = [str(n) for n in range(values.shape[-1])]
    if isinstance(values, xr.DataArray):
        features = [str(label) for label in values[values.dims[-1]].values]
    return Series(name, role, [values], by_step, features)


def _array(name: str, given: Any, allowed: str) -> Any:
    """Return an argument as an array, its samples and steps first where it names them."""
    if isinstance(given, xr.Dataset | xr.DataTree):
        raise ValueError(f"{name} is a {type(given).__name__}; it must be an array {allowed}")
    if isinstance(given, xr.DataArray):
        return given.transpose(*(dim for dim in ("sample", "time") if dim in given.dims), ...)
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}; it must be {allowed}") from None


def _with_last_axis(values: Any, by_step: bool) -> Any:
    if values.ndim != 1 + by_step:
        return values
    return (
        values.expand_dims("feature", -1) if isinstance(values, xr.DataArray) else values[..., None]
    )


def read_names(given: Any, samples: int) -> list[str]:
    """Check what each sample is called."""
    names = _listed("names", given, samples)
    if wrong := [name for name in names if not isinstance(name, str | Real)]:
        raise ValueError(f"names holds {wrong[0]!r}; they must be texts or numbers")
    return [str(name) for name in names]


def read_labels(given: Any, samples: int) -> dict[str, Any]:
    """Check a class for each sample; return the classes, and the place of each sample's in them."""
    labels = _listed("labels", given, samples)
    kinds = {str if isinstance(label, str) else Real for label in labels}
    for sample, label in enumerate(labels):
        if not isinstance(label, str | Real) or label != label:
            raise ValueError(
                f"labels holds {label!r} for sample {sample}; it must be a text or a number"
            )
    if len(kinds) > 1:
        raise ValueError("labels mixes texts and numbers; they must be all of one kind")
    known = getattr(getattr(given, "dtype", None), "categories", None)
    classes = sorted(set(labels)) if known is None else [one for one in known if one in set(labels)]
    place = {name: n for n, name in enumerate(classes)}
    return {"classes": [str(name) for name in classes], "of": [place[label] for label in labels]}


def _listed(name: str, given: Any, samples: int) -> list[Any]:
    """Return the entries of an argument that has one for each sample."""
    if isinstance(given, str | bytes | Mapping | AbstractSet) or not np.iterable(given):
        raise ValueError(f"{name} is {given!r}; it must be a list with an entry for each sample")
    entries = given.values if isinstance(given, pd.Series | xr.DataArray) else given
    if hasattr(entries, "numpy"):  # a tensor
        entries = entries.numpy()
    listed = [own.item() if isinstance(own, np.generic) else own for own in entries]
    listed = [own.decode(errors="replace") if isinstance(own, bytes) else own for own in listed]
    if len(listed) != samples:
        raise ValueError(f"{name} has {len(listed)} entries; the traces hold {samples} samples")
    return listed


def read_tokens(given: Any, words: Any, samples: int, steps: int) -> tuple[np.ndarray, list[str]]:
    """Check words, and inputs ``(sample, time)`` that count them."""
    if isinstance(words, str | bytes | Mapping | AbstractSet) or not np.iterable(words):
        raise ValueError(
            f"tokens is a {type(words).__name__}; it must list the words in the order of their "
            "numbers, from 0 on"
        )
    listed = [str(word) if isinstance(word, str) else word for word in words]
    if wrong := [word for word in listed if not isinstance(word, str)]:
        raise ValueError(f"tokens holds {wrong[0]!r}; all must be texts")
    codes = np.asarray(_array("inputs", given, f"({samples}, {steps})"))
    if codes.shape != (samples, steps) or codes.dtype.kind not in "iu":
        raise ValueError(
            f"inputs has shape {codes.shape} of {codes.dtype}; with tokens, it must hold places in "
            f"them, whole numbers of shape ({samples}, {steps})"
        )
    if codes.min() < 0 or codes.max() >= len(listed):
        raise ValueError(
            f"inputs holds places {codes.min()} to {codes.max()} in tokens, which has {len(listed)}"
        )
    return codes, listed


def add_tokens(codes: np.ndarray, words: Sequence[str], blocks: Blocks) -> dict[str, Any]:
    """Add the words of the chosen samples, and those alone: a vocabulary may be large."""
    used, own = np.unique(codes, return_inverse=True)
    if len(used) > NOTHING[2]:
        raise ValueError(
            f"inputs holds {len(used):,} different tokens; a page holds {NOTHING[2]:,}"
        )
    block = blocks.add_codes(own.reshape(codes.shape), digits=2)
    return {"vocabulary": [words[n] for n in used], "codes": block}
