"""The weights and inputs of a case, equal for all competitors, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cases import Case

QUANTITIES = ("hidden", "cell", "input_gate", "forget_gate", "candidate", "output_gate")

CHECKED = 16
"""Samples whose values are compared, spread from the first to the last."""


@dataclass(frozen=True)
class Inputs:
    """What every competitor gets for a case.

    Attributes:
        x: ``(sample, time, feature)`` float32, zero at masked steps and nowhere else.
        mask: ``(sample, time)`` bool, true where the step is real.
        layers: For each layer the kernel ``(input, 4 units)``, the recurrent kernel
            ``(unit, 4 units)`` and the bias ``(4 units,)``, columns in the order i, f, g, o.
        dense: Kernel ``(unit, 1)`` and bias ``(1,)`` of the output.
    """

    x: np.ndarray
    mask: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    dense: tuple[np.ndarray, np.ndarray]

    @classmethod
    def load(cls, path: Path) -> Inputs:
        """Read what :meth:`save` wrote."""
        with np.load(path) as file:
            depth = sum(name.startswith("kernel_") for name in file.files)
            parts = ("kernel", "recurrent", "bias")
            layers = tuple(tuple(file[f"{part}_{n}"] for part in parts) for n in range(depth))
            return cls(file["x"], file["mask"], layers, (file["dense_kernel"], file["dense_bias"]))

    def save(self, path: Path) -> None:
        """Write all arrays into one npz file."""
        arrays = {"x": self.x, "mask": self.mask}
        for n, layer in enumerate(self.layers):
            arrays |= dict(zip((f"kernel_{n}", f"recurrent_{n}", f"bias_{n}"), layer, strict=True))
        np.savez(path, **arrays, dense_kernel=self.dense[0], dense_bias=self.dense[1])

    @property
    def y(self) -> np.ndarray:
        """What to train for, ``(sample, 1)`` float32."""
        return np.sin(self.x.sum((1, 2)))[:, np.newaxis]

    def weights(self) -> list[np.ndarray]:
        """Return all weights in the order of ``keras.Model.get_weights``."""
        return [weight for layer in (*self.layers, self.dense) for weight in layer]


def make_inputs(case: Case, seed: int = 0) -> Inputs:
    """Draw the inputs and weights of a case."""
    rng = np.random.default_rng(seed)
    mask = _mask(case, rng)
    x = rng.normal(size=(case.size, case.steps, case.features)).astype(np.float32)
    x *= mask[..., np.newaxis]
    widths = (case.features, *case.units)
    layers = tuple(
        _layer(rng, width, units) for width, units in zip(widths, case.units, strict=False)
    )
    dense = (_normal(rng, case.units[-1], 1), _normal(rng, 1, 1)[0])
    return Inputs(x, mask, layers, dense)


def reference(inputs: Inputs) -> dict[str, np.ndarray]:
    """Compute a case from the LSTM equations in float64, for the checked samples.

    It shares no code with any competitor.

    Returns:
        ``0/hidden``, ``0/cell`` and so on by layer, each ``(sample, time, unit)``,
        ``0/final_hidden`` and ``0/final_cell`` ``(sample, unit)``, and ``outputs (sample, 1)``.
    """
    rows = checked_rows(len(inputs.x))
    below = inputs.x[rows].astype(np.float64)
    values: dict[str, np.ndarray] = {}
    for n, layer in enumerate(inputs.layers):
        history = _scan(below, inputs.mask[rows], *(w.astype(np.float64) for w in layer))
        values |= {f"{n}/{name}": history[name] for name in QUANTITIES}
        values |= {f"{n}/final_{name}": history[name][:, -1] for name in QUANTITIES[:2]}
        below = history["hidden"]
    return values | {"outputs": below[:, -1] @ inputs.dense[0] + inputs.dense[1]}


def reference_loss(inputs: Inputs) -> dict[str, np.ndarray]:
    """Compute the mean squared error of all samples, ``loss (1,)``, as :func:`reference` does."""
    below = inputs.x.astype(np.float64)
    for layer in inputs.layers:
        below = _scan(below, inputs.mask, *(w.astype(np.float64) for w in layer))["hidden"]
    outputs = below[:, -1] @ inputs.dense[0] + inputs.dense[1]
    return {"loss": np.mean((outputs - inputs.y) ** 2, keepdims=True)[0]}


def checked_rows(size: int) -> np.ndarray:
    """Return the indices of the samples that are compared."""
    return np.unique(np.linspace(0, size - 1, CHECKED).astype(int))


def largest_errors(
    arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray], mask: np.ndarray
) -> dict[str, float]:
    """Return the largest difference of each array from the reference, at real steps.

    Args:
        arrays: What a competitor produced, all samples, under the names of :func:`reference`.
        expected: What :func:`reference` returned.
        mask: ``(sample, time)``, true where the step is real.
    """
    rows = checked_rows(len(mask))
    errors = {}
    for name, array in arrays.items():
        if name == "loss":
            errors[name] = float(np.abs(array - expected[name]).max())
            continue
        if len(array) != len(mask) or array.shape[1:] != expected[name].shape[1:]:
            raise ValueError(f"{name} has shape {array.shape}, not that of the reference")
        error = np.abs(np.asarray(array)[rows] - expected[name])
        errors[name] = float((error[mask[rows]] if error.ndim == 3 else error).max())
    return errors


def _mask(case: Case, rng: np.random.Generator) -> np.ndarray:
    shape = (case.size, case.steps)
    if case.mask == "right":
        lengths = rng.integers(max(1, case.steps // 4), case.steps, case.size, endpoint=True)
        return np.arange(case.steps) < lengths[:, np.newaxis]
    if case.mask == "random":
        return rng.random(shape) < 0.8
    return np.ones(shape, bool)


def _layer(rng: np.random.Generator, width: int, units: int) -> tuple[np.ndarray, ...]:
    bias = rng.normal(0, 0.2, 4 * units).astype(np.float32)
    bias[units : 2 * units] += 1  # the forget gate, as Keras starts it
    return _normal(rng, width, 4 * units), _normal(rng, units, 4 * units), bias


def _normal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)


def _scan(
    x: np.ndarray, mask: np.ndarray, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> dict[str, np.ndarray]:
    h = c = np.zeros((len(x), len(recurrent)))
    history: dict[str, list[np.ndarray]] = {name: [] for name in QUANTITIES}
    for t in range(x.shape[1]):
        real = mask[:, t, np.newaxis]
        zi, zf, zg, zo = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        i, f, g, o = _sigmoid(zi), _sigmoid(zf), np.tanh(zg), _sigmoid(zo)
        c = np.where(real, f * c + i * g, c)
        h = np.where(real, o * np.tanh(c), h)
        for name, value in zip(QUANTITIES, (h, c, i, f, g, o), strict=True):
            history[name].append(value)
    return {name: np.stack(values, axis=1) for name, values in history.items()}


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
