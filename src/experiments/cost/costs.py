"""Two ways to one result: what each takes, which varies, and what each counts, which doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Limit:
    """When one way is said to cost more than the other.

    Attributes:
        times: How many times as much it has to take, in the medians of all rounds.
        says: What is then the case, in words.
    """

    times: float
    says: str


LIMITS = {
    "memory_at_least_twice": Limit(2, "Training in one piece needs at least twice the memory"),
    "recomputing_at_least_twice": Limit(2, "Recomputing takes at least twice the time"),
    "states_returned_slower": Limit(1.2, "Returning the states takes at least 1.2 times the time"),
    "head_wrapped_slower": Limit(1.2, "TimeDistributed(Dense) takes at least 1.2 times the time"),
}
"""By the name of the measure; those that claims.yaml names have their reasons there."""


def make_costs(
    taken: Mapping[str, xr.DataArray],
    counted: Mapping[str, Sequence[float]],
    *,
    apart: Sequence[float],
    counts: str,
    unit: str,
) -> xr.Dataset:
    """Put what was measured of two ways, in one case or several, into one data set.

    Args:
        taken: By case, time or memory over ``(way, round)``, the costlier way first.
        counted: By case what the two ways count, a number each.
        apart: By case the largest difference of the two ways' results.
        counts: What is counted, in words.
        unit: Its unit.

    Returns:
        ``taken (case, way, round)``, which varies from run to run; ``counted (case, way)`` and
        ``apart (case)``, which don't.
    """
    cases = xr.Variable("case", list(taken))
    return xr.Dataset(
        {
            "taken": xr.concat(list(taken.values()), cases, combine_attrs="override"),
            "counted": (
                ("case", "way"),
                np.array([counted[case] for case in taken], float),
                {"long_name": counts, "units": unit},
            ),
            "apart": ("case", np.array(apart, float)),
        }
    )


def measure_passed(costs: xr.Dataset, name: str) -> xr.Dataset:
    """Say in which cases the costlier way passes its limit; nothing in it varies unless that does.

    Args:
        costs: What :func:`make_costs` returned.
        name: One of :data:`LIMITS`.

    Returns:
        ``name`` (0 or 1), ``<name>_counts_more`` (how many times as much the costlier way counts)
        and ``<name>_apart``, each over ``model``, which is the case.
    """
    limit = LIMITS[name]
    costly, frugal = costs["taken"].median("round").transpose("way", "case").values
    more = costs["counted"].isel(way=0) / costs["counted"].isel(way=1)
    about = {
        name: (limit.says, (costly > 0) & (costly >= limit.times * frugal)),
        f"{name}_counts_more": (f"{costs['counted'].attrs['long_name']}, how many times", more),
        f"{name}_apart": ("Largest difference between the results of the two ways", costs["apart"]),
    }
    return xr.Dataset(
        {
            key: ("model", np.asarray(values, float), {"long_name": says, "units": "1"})
            for key, (says, values) in about.items()
        },
        coords={"model": costs["case"].values},
    )
