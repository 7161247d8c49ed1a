"""Describe the largest difference of arrays and pictures: Zarr stores, weights, PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from PIL import Image

Found = Iterator[tuple[str, str]]
"""Places within a file, each with what differs there; the first comes first."""


def compare_stores(here: Path, clone: Path) -> Found:
    """Yield the arrays that differ between two Zarr stores."""
    yield from _compare_arrays(*(_arrays_of_store(path) for path in (here, clone)))


def compare_weights(here: Path, clone: Path) -> Found:
    """Yield the arrays that differ between two HDF5 files."""
    with h5py.File(here) as a, h5py.File(clone) as b:
        yield from _compare_arrays(*(_arrays_of_file(file) for file in (a, b)))


def compare_pictures(here: bytes, clone: bytes) -> str:
    """Say how the pixels of two pictures differ; empty if they don't."""
    a, b = (np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"), int) for data in (here, clone))
    if a.shape != b.shape:
        sizes = [f"{picture.shape[1]} x {picture.shape[0]}" for picture in (a, b)]
        return f"{sizes[0]} pixels here, {sizes[1]} in the clone"
    gaps = np.abs(a - b).max(axis=-1)
    if not gaps.any():
        return ""
    row, column = np.argwhere(gaps)[0]
    return (
        f"{np.count_nonzero(gaps)} of {gaps.size} pixels differ, by at most {gaps.max()} of 255, "
        f"the first in row {row}, column {column}"
    )


def gap(here: float, clone: float) -> str:
    """Show two numbers and, if it is one, how far they are apart."""
    apart = abs(here - clone)
    return f"{here} here, {clone} in the clone" + (
        f", {apart:.3g} apart" if np.isfinite(apart) else ""
    )


Arrays = Mapping[str, Any]
"""What holds each array, by its path; ``[...]`` reads it."""


def _arrays_of_store(path: Path) -> Arrays:
    members = zarr.open_group(path, mode="r", use_consolidated=False).members(max_depth=None)
    return {name: item for name, item in members if isinstance(item, zarr.Array)}


def _arrays_of_file(file: h5py.File) -> Arrays:
    members: dict[str, Any] = {}
    file.visititems(members.__setitem__)
    return {name: item for name, item in members.items() if isinstance(item, h5py.Dataset)}


def _compare_arrays(here: Arrays, clone: Arrays) -> Found:
    for name in sorted(here.keys() | clone.keys()):
        if name not in here or name not in clone:
            yield f", array {name}", "only here" if name in here else "only in the clone"
        elif what := _array_difference(*(np.asarray(part[name][...]) for part in (here, clone))):
            yield f", array {name}", what


def _array_difference(here: np.ndarray, clone: np.ndarray) -> str:
    """Say how many values of two arrays differ, and the largest difference; empty if none."""
    # The messages of np.testing and xr.testing don't tell where the largest difference is, and give
    # neither number nor size where one side is NaN: that must come first.
    if here.shape != clone.shape or here.dtype != clone.dtype:
        return f"{here.dtype} {here.shape} here, {clone.dtype} {clone.shape} in the clone"
    numbers = here.dtype.kind in "fiub"
    same = here == clone
    if here.dtype.kind == "f":
        same |= np.isnan(here) & np.isnan(clone)
    if same.all():
        return ""
    gaps = np.zeros(here.shape)
    if numbers:
        with np.errstate(invalid="ignore"):  # of two infinities
            gaps = np.abs(here.astype(float) - clone.astype(float))
    # A number and no number are farther apart than any two numbers.
    gaps = np.where(same, -1.0, np.nan_to_num(gaps, nan=np.inf))
    place = np.unravel_index(gaps.argmax(), gaps.shape)
    index = ", ".join(str(int(i)) for i in place)
    a, b = here[place], clone[place]
    shown = gap(a.item(), b.item()) if numbers else f"{a!r} here, {b!r} in the clone"
    return f"{np.count_nonzero(~same)} of {same.size} values differ, most at [{index}]: {shown}"
