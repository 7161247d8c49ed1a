"""The time that ways to the same result take, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
import xarray as xr

TURN_S = 0.02
"""A turn is at least as long: a quick call is repeated."""


def time_in_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int) -> xr.DataArray:
    """Time each way once a round, so that what slows the machine for a while slows all of them.

    Every second round goes backwards: no way always comes first.

    Args:
        ways: By name, functions without arguments; their first calls, which compile, don't count.
        rounds: Turns of each.

    Returns:
        Milliseconds for one call, ``(way, round)``.
    """
    calls = {name: _calls_in_a_turn(run) for name, run in ways.items()}
    seconds = np.zeros((len(ways), rounds))
    order = list(enumerate(ways))
    for turn in range(rounds):
        for row, name in order[:: -1 if turn % 2 else 1]:
            seconds[row, turn] = _seconds(ways[name], calls[name])
    return xr.DataArray(
        1e3 * seconds,
        dims=("way", "round"),
        coords={"way": list(ways)},
        attrs={"long_name": "Time for one call", "units": "ms"},
    )


def _calls_in_a_turn(run: Callable[[], object]) -> int:
    _seconds(run, 2)
    return max(1, int(np.ceil(TURN_S / _seconds(run, 2))))


def _seconds(run: Callable[[], object], calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        run()
    return (perf_counter() - start) / calls
