"""Lay the numbers of an edit out like the quantity that they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from lstm_states.cells import INPUTS
from lstm_states.traces.edit import Edit


@dataclass(frozen=True)
class Axes:
    """The axes of a quantity, and where along them an edit applies.

    Args:
        edit: The edit.
        sizes: By the name of an axis, its size; None if it isn't known. ``sample`` comes first,
            then ``time``, unless it is what a layer starts from, then the axes of a state.
        chosen: Of ``sample`` and ``unit``, the indices that are chosen; None if all are.
        renamed: What a trace calls axes of the inputs, and which axes these are.
    """

    edit: Edit
    sizes: Mapping[str, int | None]
    chosen: Mapping[str, np.ndarray | None]
    renamed: Mapping[str, str]

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(self.sizes)

    @property
    def behind(self) -> tuple[str, ...]:
        """The axes behind the samples and steps."""
        return tuple(dim for dim in self.dims if dim not in ("sample", "time"))

    def place(self, value: Any) -> np.ndarray | xr.DataArray:
        """Return an operand ``(sample, time, ...)``, its units in their places or 1 wide.

        Raises:
            ValueError: if it doesn't fit the axes; it says what would.
        """
        what = f"{self.edit}: {self.edit.action}"
        if isinstance(value, xr.DataArray):
            if self.edit.quantity == INPUTS:
                value = value.rename({d: n for d, n in self.renamed.items() if d in value.dims})
            if unknown := [dim for dim in value.dims if dim not in self.dims]:
                raise ValueError(f"{what} has the dimensions {unknown}, not some of {self.dims}")
            missing = [dim for dim in self.dims if dim not in value.dims]
            value = value.expand_dims(missing).transpose(*self.dims)
        elif np.ndim(value) > len(self.dims):
            raise ValueError(f"{what} has shape {np.shape(value)}, not one like {self.dims}")
        else:
            value = np.asarray(value)
            value = value.reshape(*[1] * (len(self.dims) - value.ndim), *value.shape)
        for axis, dim in enumerate(self.dims):
            if dim == "time":
                value = self._with_labelled_steps(value)
                continue
            places = self._sources(value, dim)
            if places is None or np.array_equal(places, np.arange(value.shape[axis])):
                continue
            # A lazy array stays one: only units are taken here, samples batch by batch.
            value = value[(slice(None),) * axis + (places,)]
        if "time" not in self.dims:
            labelled = isinstance(value, xr.DataArray)
            value = value.expand_dims("time", axis=1) if labelled else value[:, np.newaxis]
        return self._with_all_units(value)

    def rows(self, value: np.ndarray | xr.DataArray, samples: np.ndarray) -> np.ndarray:
        """Return an operand of some samples, ``(time, batch, ...)``."""
        if len(value) > 1:
            rows, chosen = samples, self.chosen["sample"]
            if chosen is not None:
                order = np.argsort(chosen)
                near = np.searchsorted(chosen[order], samples).clip(max=len(chosen) - 1)
                rows = order[near]  # of the samples that aren't chosen any will do
            if rows.max(initial=0) >= len(value):
                raise ValueError(
                    f"{self.edit}: {self.edit.action} holds {len(value)} of sample, but x more"
                )
            value = value[rows]
        return np.asarray(value).swapaxes(0, 1)

    def in_order(self, value: xr.DataArray) -> bool:
        """Tell whether the steps of an operand are found by their labels."""
        time = self.edit.time
        counted = time is not None and not isinstance(time, slice) and np.min(time) >= 0
        return counted and "time" in value.dims and "time" in value.coords

    def _sources(self, value: np.ndarray | xr.DataArray, dim: str) -> np.ndarray | None:
        """Return where an operand holds what each chosen place takes; None if it's the same."""
        held, size = value.shape[self.dims.index(dim)], self.sizes[dim]
        chosen = self.chosen.get(dim)
        what = f"{self.edit}: {self.edit.action}"
        labelled = isinstance(value, xr.DataArray)
        if isinstance(value, xr.DataArray) and dim in value.dims and dim in value.coords:
            return self._by_label(value[dim].values, chosen, size, dim)
        if held == 1:
            return None
        allowed = [1, size if chosen is None else len(chosen)]
        if labelled and chosen is not None and held == size:
            return chosen
        if size is not None and held not in allowed:
            also = {*allowed, size} if labelled else {*allowed}
            raise ValueError(f"{what} holds {held} of {dim}; allowed are {also}")
        return np.arange(held)

    def _by_label(
        self, labels: np.ndarray, chosen: np.ndarray | None, size: int | None, dim: str
    ) -> np.ndarray:
        wanted = np.arange(len(labels) if size is None else size) if chosen is None else chosen
        places = {label: place for place, label in enumerate(labels.tolist())}
        if lost := [place for place in wanted.tolist() if place not in places]:
            raise ValueError(
                f"{self.edit}: {self.edit.action} is labelled with others than {dim} {lost[:5]}; "
                f"to take values from elsewhere, drop the labels: .drop_vars({dim!r})"
            )
        return np.array([places[place] for place in wanted.tolist()])

    def _with_labelled_steps(self, value: np.ndarray | xr.DataArray) -> np.ndarray | xr.DataArray:
        """Put steps that have labels in the order of those that are chosen."""
        if not isinstance(value, xr.DataArray) or "time" not in value.coords:
            return value
        labels = value["time"].values
        if labels.ndim and self.in_order(value):
            chosen = np.atleast_1d(np.asarray(self.edit.time))
            return value[:, self._by_label(labels, chosen, None, "time")]
        if labels.ndim and not np.array_equal(labels, np.arange(len(labels))):
            raise ValueError(
                f"{self.edit}: {self.edit.action} has the steps {labels.tolist()}; name these with "
                "time=[...], or drop the labels: .drop_vars('time')"
            )
        return value

    def _with_all_units(self, value: np.ndarray | xr.DataArray) -> np.ndarray | xr.DataArray:
        units, axis = self.chosen["unit"], 2 + self.behind.index("unit")
        if units is None or value.shape[axis] == 1:
            return value
        order = np.zeros(self.sizes["unit"] or 0, int)
        order[units] = np.arange(len(units))  # of the units that aren't chosen any will do
        return value[(slice(None),) * axis + (order,)]
