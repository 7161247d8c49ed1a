"""What must come out of a case: the equations in float64, which share no code with a competitor."""

from __future__ import annotations

import numpy as np

from bench.cases import Case
from bench.inputs import Inputs, Weights, checked_rows

Values = dict[str, np.ndarray]


def reference(case: Case, inputs: Inputs) -> Values:
    """Compute a case for the checked samples.

    Returns:
        ``0/hidden`` and the other quantities by layer, each ``(sample, time, unit)``,
        ``0/final_hidden`` and, of an LSTM, ``0/final_cell`` ``(sample, unit)``, and ``outputs
        (sample, 1)``. The two directions of a bidirectional layer count as two layers.
    """
    rows = checked_rows(len(inputs.x))
    histories, outputs = _run(case, inputs, rows)
    values = {"outputs": outputs}
    for n, history in enumerate(histories):
        values |= {f"{n}/{name}": steps for name, steps in history.items()}
        states = [name for name in ("hidden", "cell") if name in history]
        values |= {f"{n}/final_{name}": history[name][:, -1] for name in states}
    return values


def reference_loss(case: Case, inputs: Inputs) -> Values:
    """Compute the mean squared error of all samples, ``loss (1,)``."""
    _, outputs = _run(case, inputs, np.arange(len(inputs.x)))
    return {"loss": np.mean((outputs - inputs.y) ** 2, keepdims=True)[0]}


def _run(case: Case, inputs: Inputs, rows: np.ndarray) -> tuple[list[Values], np.ndarray]:
    """Return what each layer did with some samples, and the outputs."""
    below, mask = inputs.x[rows].astype(np.float64), inputs.mask[rows]
    histories: list[Values] = []
    for layer in inputs.by_layer(case):
        ways = [_scan(case.kind, below, mask, layer[0])]
        shown, last = [ways[0]["hidden"]], [ways[0]["hidden"][:, -1]]
        for weights in layer[1:]:  # the other direction
            ways.append(_scan(case.kind, below[:, ::-1], mask[:, ::-1], weights))
            shown.append(ways[1]["hidden"][:, ::-1])
            last.append(ways[1]["hidden"][:, -1])
        histories += ways
        below = np.concatenate(shown, axis=-1)
    return histories, np.concatenate(last, axis=-1) @ inputs.dense[0] + inputs.dense[1]


def _scan(kind: str, x: np.ndarray, mask: np.ndarray, weights: Weights) -> Values:
    state = {name: np.zeros((len(x), len(weights[1]))) for name in ("hidden", "cell")}
    weights64 = [weight.astype(np.float64) for weight in weights]
    history: dict[str, list[np.ndarray]] = {}
    for t in range(x.shape[1]):
        values = _STEPS[kind](x[:, t], state, *weights64)
        for name in state.keys() & values.keys():
            values[name] = np.where(mask[:, t, np.newaxis], values[name], state[name])
        state |= {name: values[name] for name in state.keys() & values.keys()}
        for name, value in values.items():
            history.setdefault(name, []).append(value)
    return {name: np.stack(values, axis=1) for name, values in history.items()}


def _lstm(
    x: np.ndarray, state: Values, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> Values:
    z = x @ kernel + state["hidden"] @ recurrent + bias
    zi, zf, zg, zo = np.split(z, 4, axis=-1)
    i, f, g, o = _sigmoid(zi), _sigmoid(zf), np.tanh(zg), _sigmoid(zo)
    c = f * state["cell"] + i * g
    gates = {"input_gate": i, "forget_gate": f, "candidate": g, "output_gate": o}
    return {"hidden": o * np.tanh(c), "cell": c, **gates}


def _gru(
    x: np.ndarray, state: Values, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> Values:
    xz, xr, xg = np.split(x @ kernel + bias[0], 3, axis=-1)
    hz, hr, hg = np.split(state["hidden"] @ recurrent + bias[1], 3, axis=-1)
    z, r = _sigmoid(xz + hz), _sigmoid(xr + hr)
    g = np.tanh(xg + r * hg)
    h = z * state["hidden"] + (1 - z) * g
    return {"hidden": h, "update_gate": z, "reset_gate": r, "candidate": g}


_STEPS = {"LSTM": _lstm, "GRU": _gru}


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
