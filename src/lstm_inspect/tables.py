"""The tables of a report: layers, states, what they tell of the labels, sensitivity."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import xarray as xr

from lstm_inspect.evidence import Evidence
from lstm_states.nodes import tree_of
from lstm_states.probes import probe_states

FEW_CLASSES = 20
"""Whole numbers of more values than this, and than every second sample, are no classes."""

NO_PROBES = "Probes need scikit-learn, which the extra installs: pip install 'lstm-states[probes]'."


def layers_table(seen: Evidence) -> pd.DataFrame:
    """Return what each layer is, whether a mask reaches it, and its largest residual."""
    rows = []
    for address, node in seen.nodes.items():
        place = seen.places.get(address)
        residuals = [float(v) for v in seen.residuals.sel(layer=address).data_vars.values()]
        known = [value for value in residuals if not np.isnan(value)]
        rows.append(
            {
                "layer": address,
                "kind": node.attrs["cell"],
                "units": node.sizes.get("unit", 0),
                "steps": node.sizes["time"],
                "direction": place.direction if place else "",
                "stateful": "yes" if place and place.layer.stateful else "no",
                "returns": place.returns if place else "",
                "mask": _mask(seen, address),
                "residual": max(known) if known else np.nan,
            }
        )
    return pd.DataFrame(rows).set_index("layer")


def _mask(seen: Evidence, address: str) -> str:
    mask = seen.nodes[address]["mask"].values
    if not mask.all():
        return f"skips {1 - mask.mean():.0%} of steps"
    real = seen.real_steps(address)
    if real is not None and not real.all():
        return "none arrives; there is padding"
    return "skips nothing"


def states_table(seen: Evidence) -> pd.DataFrame:
    """Return sizes, half-lives, saturation and idle units of each layer."""
    rows = []
    for address, own in seen.half_lives.items():
        row = {
            "layer": address,
            "half-life, median": float(np.median(own)) if own.size else np.nan,
            "half-life, shortest": float(own.min()) if own.size else np.nan,
            "half-life, longest": float(own.max()) if own.size else np.nan,
            "|h| above 0.9": _value(seen.states, "hidden_saturated", address),
        }
        for name in seen.saturation.data_vars:
            gate, _, side = str(name).partition("_saturated_")
            told = f"{gate.replace('_', ' ')} {'shut' if side == 'left' else 'open'}"
            row[told] = _value(seen.saturation, str(name), address)
        idle = seen.idle.get(address)
        row["dead units"] = np.nan if idle is None else int(idle["dead"].sum())
        row["duplicate pairs"] = np.nan if idle is None else idle.sizes["pair"]
        rows.append(row)
    return pd.DataFrame(rows).set_index("layer")


def _value(found: xr.Dataset, name: str, address: str) -> float:
    return float(found[name].sel(layer=address)) if name in found else np.nan


def probes_table(seen: Evidence) -> tuple[pd.DataFrame | None, str]:
    """Return what can be read of the labels from each layer, and a sentence about it."""
    labels = seen.given.labels
    if labels is None:
        return None, "No labels were given."
    classes = are_classes(labels)
    classed, numbers = (labels, None) if classes else (None, labels)
    # Drawn rather than every second: data may alternate.
    order = np.random.default_rng(0).permutation(seen.given.samples)
    held_out = sorted(order[: len(order) // 2].tolist())
    rows, left = [], []
    for address, node in seen.nodes.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that stop early
                found = probe_states(
                    tree_of(address, node), classes=classed, numbers=numbers, held_out=held_out
                )
        except ModuleNotFoundError:
            return None, NO_PROBES
        except ValueError as error:
            left.append(f"{address}: {error}.")
            continue
        own = {name: float(found[name][0]) for name in ("score", "control", "selectivity")}
        if classes:
            own["commonest class"] = _commonest(labels, node["mask"].values, held_out)
        rows.append({"layer": address, **own})
    told = (
        f"{'Accuracy' if classes else 'R²'} of a linear probe at all steps of half of the samples, "
        "which it has not seen; the control has the labels of other samples. Selectivity is their "
        "difference."
    )
    if classes:
        told += " The last column is what always naming the commonest class of these steps scores."
    if not rows:
        return None, " ".join(left)
    return pd.DataFrame(rows).set_index("layer"), " ".join([told, *left])


def _commonest(labels: np.ndarray, mask: np.ndarray, held_out: list[int]) -> float:
    """Return what naming the commonest class scores where probes are scored, at real steps."""
    by_step = labels if labels.ndim == 2 else np.repeat(labels[:, np.newaxis], mask.shape[1], 1)
    _, counts = np.unique(by_step[held_out][mask[held_out]], return_counts=True)
    return float(counts.max() / counts.sum())


def are_classes(labels: np.ndarray) -> bool:
    """Tell whether labels name classes rather than amounts."""
    if labels.dtype.kind not in "iuf":
        return True
    if (np.trunc(labels) != labels).any():
        return False
    return len(np.unique(labels)) <= max(FEW_CLASSES, len(labels) // 2)


def sensitivity_table(seen: Evidence) -> pd.DataFrame:
    """Return how far outputs move if something changes that should not matter."""
    rows = [
        {
            "change": one.change,
            "largest difference": np.nan if one.largest is None else one.largest,
            "share of the range": np.nan if one.share is None else one.share,
            "not measured, since": one.why,
        }
        for one in seen.sensitivity.values()
    ]
    return pd.DataFrame(rows).set_index("change")
