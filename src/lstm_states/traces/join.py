"""Join traces of consecutive pieces along time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import xarray as xr

_ERROR = "layer_output_error"


def join_traces(pieces: Iterable[xr.DataTree]) -> xr.DataTree:
    """Join the traces of consecutive pieces to those of the whole sequence.

    Args:
        pieces: Trees in temporal order: from :meth:`lstm_states.StreamingSession.record`, or the
            calls of a layer that is called once per step or piece,
            ``traces["decoder"].children.values()``. Each must begin where the previous one ends.

    Returns:
        A tree of the same form. Variables with steps are joined along ``time``, initial states are
        those of the first piece, final states and outputs without steps those of the last, and
        ``layer_output_error`` is the largest.

    Raises:
        ValueError: if there are no pieces; if they differ in layers, quantities, samples, units,
            model, weights or notes (such as ``first_nan``); if a layer runs backwards; if only some
            steps were kept; or if a piece does not begin with the final states of the previous one.
            The message names the place.

    Example:
        >>> whole = join_traces(session.record(x[:, n : n + 10]) for n in range(0, 50, 10))
    """
    trees = [{_path(node, piece): node for node in piece.subtree} for piece in pieces]
    if not trees:
        raise ValueError("there are no pieces to join")
    for number, tree in enumerate(trees[1:], 1):
        if tree.keys() != trees[0].keys():
            held = [sorted(t.keys() - {"/"}) for t in (tree, trees[0])]
            raise ValueError(f"piece {number} holds {held[0]}, the first one {held[1]}")
    paths = trees[0]
    return xr.DataTree.from_dict({path: _joined(path, [t[path] for t in trees]) for path in paths})


def _path(node: xr.DataTree, piece: xr.DataTree) -> str:
    return "/" if node is piece else f"/{node.relative_to(piece)}"


def _joined(path: str, nodes: list[xr.DataTree]) -> xr.Dataset:
    parts = [node.to_dataset(inherit=False) for node in nodes]
    first, last = parts[0], parts[-1]
    # What was selected may be said at the root alone.
    complete = [_complete(node.to_dataset()) for node in nodes]
    for number, (before, part) in enumerate(pairwise(parts), 1):
        both = complete[number - 1] and complete[number]
        _check(f"{path!r} of piece {number}", before, part, both)
    whole = xr.Dataset(attrs=first.attrs)
    for name, variable in last.variables.items():
        own = [part.variables[name] for part in parts]
        if name == "time":
            whole[name] = np.arange(sum(map(len, own)))
        elif "time" in variable.dims:
            whole[name] = xr.Variable.concat(own, "time")
        else:
            whole[name] = own[0] if str(name).startswith("initial_") else variable
    errors = [part.attrs[_ERROR] for part in parts if _ERROR in part.attrs]
    return whole.assign_attrs({_ERROR: max(errors)} if errors else {})


def _check(where: str, before: xr.Dataset, part: xr.Dataset, complete: bool) -> None:
    if part.attrs.get("go_backwards"):
        raise ValueError(f"{where} runs backwards: its pieces do not form a sequence")
    if not complete:
        raise ValueError(f"{where} or the one before holds selected steps; all steps are needed")
    for own, other in ((part, before), (before, part)):
        _compare(f"{where} has", _facts(own), _facts(other))
    for name in part.data_vars:
        end = str(name).replace("initial_", "final_", 1)
        if end != name and end in before and not np.array_equal(part[name], before[end]):
            raise ValueError(
                f"{where} doesn't begin where the piece before ends: its {name} differs"
            )


def _complete(piece: xr.Dataset) -> bool:
    """Tell whether all steps are there, the last one too, which the final states belong to."""
    if "time" in piece.coords:
        steps = piece["time"]
        if not np.array_equal(steps, np.arange(steps.attrs.get("steps", len(steps)))):
            return False
    return all(
        np.array_equal(piece[name][:, -1], piece[f"final_{name}"])
        for name in piece.data_vars
        if f"final_{name}" in piece
    )


def _facts(part: xr.Dataset) -> dict[str, object]:
    """What must be the same in all pieces."""
    sizes = {str(dim): size for dim, size in part.sizes.items() if dim != "time"}
    labels = {
        str(name): values.values.tolist() for name, values in part.coords.items() if name != "time"
    }
    attrs = {str(name): value for name, value in part.attrs.items() if name != _ERROR}
    return {"variables": sorted(map(str, part.data_vars)), **sizes, **labels, **attrs}


def _compare(what: str, own: Mapping[str, object], other: Mapping[str, object]) -> None:
    for name, value in own.items():
        if other.get(name) != value:
            raise ValueError(f"{what} {name} {value!r}, the one before {other.get(name)!r}")
