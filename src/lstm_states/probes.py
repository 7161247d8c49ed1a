"""Linear probes: what can be read from the states of a layer, and how much of that is the probe's.

Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes"; the
control task is that of Hewitt and Liang (2019), "Designing and Interpreting Probes with Control
Tasks".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lstm_states.nodes import real_rows, select_nodes


def probe_states(
    traces: xr.DataTree,
    *,
    numbers: Any = None,
    classes: Any = None,
    types: Any = None,
    quantity: str = "hidden",
    layers: Sequence[str] | str | None = None,
    held_out: slice | Sequence[int] = slice(1, None, 2),
    seed: int = 0,
) -> xr.Dataset:
    """Read targets from the states of each layer by a linear probe, and so a control task.

    The states are scaled to variance 1. Numbers are read by ridge regression (penalty 1), classes
    by logistic regression (L2, C = 1). A probe is fitted to some sequences and scored on others:
    the steps of one sequence are alike, and would give themselves away.

    The control task has the same states, and targets that they can't hold: each type is given the
    target of a step drawn at random. What a probe scores there, it has learnt by heart, or it is
    what anyone scores who knows the distribution. The selectivity is the score less that of the
    control.

    Args:
        traces: A tree from ``record_traces``; not with Dask's arrays, as a probe needs all states
            at once.
        numbers: The numbers to read, ``(sample,)``, ``(sample, time)`` or ``(sample, time,
            target)``; NaN where there is none.
        classes: In place of numbers the classes to read, ``(sample,)`` or ``(sample, time)``:
            integers, texts or truth values; None where there is none.
        types: The type of each step, ``(sample,)`` or ``(sample, time)``, such as its token: steps
            of one type have one target in the control task. None makes each step a type of its own,
            or each sequence if it has one target: the targets are shuffled.
        quantity: What to read from, such as ``hidden`` or ``cell``; what can be read from
            ``inputs`` says how much of it the layer was given.
        layers: The addresses of layers, one or several; None is all.
        held_out: The sequences on which probes are scored, as ``isel`` takes them; the others are
            fitted. Windows that overlap are alike, too: hold out a block of them.
        seed: Of the control task.

    Returns:
        Dataset along ``layer`` of ``score``, ``control`` and ``selectivity``, on the real steps of
        the held-out sequences that have a target. A score is the accuracy for classes; for numbers
        R², over all targets together, each scaled to variance 1: 1 is perfect, 0 no better than the
        mean, and below is worse. NaN where a state is no number, or no target varies.

    Raises:
        ValueError: if an argument doesn't fit the traces; it says which.
        ModuleNotFoundError: without scikit-learn, which the extra ``probes`` installs.

    Example:
        >>> probe_states(traces, numbers=x[..., 0])["selectivity"]
        >>> probe_states(traces, classes=tags, types=tokens, quantity="cell")["score"]
    """
    if (numbers is None) == (classes is None):
        raise ValueError("probe_states needs either numbers or classes")
    _check_installed()
    name, given = ("numbers", numbers) if classes is None else ("classes", classes)
    targets = _targets(name, given)
    nodes = select_nodes(traces, quantity, layers)
    score = _r2 if classes is None else _accuracy
    if any(node.chunks for node in nodes.values()):
        raise ValueError(
            "traces holds Dask's arrays, but a probe needs all states at once: choose samples and "
            "load them, traces.isel(sample=slice(5000)).load()"
        )
    found = []
    for address, node in nodes.items():
        mask = _mask(address, node)
        own = _by_step(name, targets, 3 if classes is None else 2, address, mask)
        there = mask & ~pd.isnull(own).reshape(*mask.shape, -1).any(-1)
        states, own = real_rows(address, node, quantity)[there[mask]], own[there]
        if classes is None and np.isinf(own).any():
            raise ValueError(f"numbers holds infinity at real steps of layer {address!r}")
        sequences = np.nonzero(there)[0]
        if types is not None:
            groups = _by_step("types", np.asarray(types), 2, address, mask)[there]
            if pd.isnull(groups).any():
                raise ValueError(
                    f"types holds None or NaN at steps of layer {address!r} that have a target"
                )
            # Types of several kinds have no order but as texts.
            groups = groups.astype(str) if groups.dtype == object else groups
        else:
            groups = sequences if targets.ndim == 1 else np.arange(len(own))
        control = _control(own, groups, np.random.default_rng(seed))
        unseen = _unseen(sequences, held_out, address, len(mask))
        found.append([score(states, values, unseen) for values in (own, control)])
    scores, controls = np.array(found).T
    return xr.Dataset(
        {
            "score": ("layer", scores),
            "control": ("layer", controls),
            "selectivity": ("layer", scores - controls),
        },
        coords={"layer": list(nodes)},
        attrs={"quantity": quantity, "metric": "r2" if classes is None else "accuracy"},
    )


def _targets(name: str, given: Any) -> np.ndarray:
    """Return the targets as an array of what probes can be fitted to."""
    targets = np.asarray(given)
    kind = targets.dtype.kind
    if name == "classes":
        if kind == "f" and (np.trunc(targets) != targets)[~np.isnan(targets)].any():
            raise ValueError("classes holds numbers that aren't whole; pass them as numbers=")
        return targets
    if kind == "O":  # as of a list with None
        try:
            return targets.astype(np.float64)
        except (TypeError, ValueError):
            pass
    elif kind in "biuf":
        return targets
    raise ValueError("numbers holds what is no real number; pass texts as classes=")


def _check_installed() -> None:
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "probe_states needs scikit-learn, which the extra installs: pip install "
            "'lstm-states[probes]'",
            name="sklearn",
        ) from error


def _mask(address: str, node: xr.Dataset) -> np.ndarray:
    """Return which steps of each sequence are real, ``(sample, time)``."""
    if "row" in node.dims:
        raise ValueError(
            f"layer {address!r} receives other rows than the samples, of which it isn't known "
            "which belong to one sequence; choose other layers with layers=[...]"
        )
    return node["mask"].values


def _unseen(
    sequences: np.ndarray, held_out: slice | Sequence[int], address: str, size: int
) -> np.ndarray:
    """Tell which rows, of these sequences, are held out."""
    try:
        chosen = np.arange(size)[held_out]
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"held_out is {held_out!r}; it must be a slice or a sequence of indices of the {size} "
            f"sequences of layer {address!r}"
        ) from error
    unseen = np.isin(sequences, chosen)
    if unseen.all() or not unseen.any():
        raise ValueError(
            f"held_out is {held_out!r}; of the {size} sequences of layer {address!r}, some with "
            "targets must be held out and some not"
        )
    return unseen


def _by_step(name: str, given: np.ndarray, most: int, address: str, mask: np.ndarray) -> np.ndarray:
    """Return what was given by sample or by step for each step, ``(sample, time, ...)``."""
    if not 1 <= given.ndim <= most or given.shape[:2] != mask.shape[: given.ndim]:
        raise ValueError(
            f"{name} has shape {given.shape}; layer {address!r} has {mask.shape[0]} samples of "
            f"{mask.shape[1]} steps: it must be (sample,) or (sample, time"
            f"{', target' if most == 3 else ''})"
        )
    return np.repeat(given[:, np.newaxis], mask.shape[1], 1) if given.ndim == 1 else given


def _control(targets: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give all rows of a group the target of one row drawn at random."""
    names, own = np.unique(groups, return_inverse=True)
    return targets[rng.choice(len(targets), len(names), replace=False)][own]


def _r2(states: np.ndarray, targets: np.ndarray, unseen: np.ndarray) -> float:
    """Return R² on the unseen rows of a ridge regression on the others."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Each target has the same weight then; the probe itself doesn't depend on their scales.
    scaled = StandardScaler().fit_transform(targets.reshape(len(targets), -1))
    scored = scaled[unseen]
    spread = np.mean((scored - scored.mean(0)) ** 2)
    if not np.isfinite(states).all() or not spread:
        return np.nan
    probe = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(states[~unseen], scaled[~unseen])
    read = probe.predict(states[unseen]).reshape(scored.shape)  # of one target, it is (step,)
    return float(1 - np.mean((scored - read) ** 2) / spread)


def _accuracy(states: np.ndarray, targets: np.ndarray, unseen: np.ndarray) -> float:
    """Return the accuracy on the unseen rows of a logistic regression on the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not np.isfinite(states).all():
        return np.nan
    classes = np.unique(targets.astype(str), return_inverse=True)[1]
    if len(set(classes[~unseen])) == 1:  # there is one thing to say, and nothing to fit
        return float(np.mean(classes[unseen] == classes[~unseen][0]))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(
        probe.fit(states[~unseen], classes[~unseen]).score(states[unseen], classes[unseen])
    )
