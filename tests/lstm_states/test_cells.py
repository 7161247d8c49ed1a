"""A kind of cell is one file: what it says of itself is what its step does."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

import lstm_states
from lstm_states.cells import CUSTOM, GATES, KINDS, LSTM, QUANTITIES, SIGMOID_GATES, layers_of
from lstm_states.kernels.cells import _CLASSES
from lstm_states.kernels.scan import scan_cell
from lstm_states.proof.equations import measure_residuals

PACKAGE = Path(lstm_states.__file__).parent
STEPPED = [kind for kind in KINDS.values() if kind.step]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_says_of_itself_what_it_has(kind):
    assert kind.quantities[: len(kind.states)] == kind.states
    assert kind.states[0] == "hidden"
    assert all(kind.long_names.values())
    assert {equation.state for equation in kind.equations} <= set(kind.states)
    assert (kind.project is None) == (kind.step is None)
    assert (kind in CUSTOM) == (not kind.keras_cell)


def test_the_names_that_users_import_are_those_of_the_lstm():
    assert KINDS["LSTM"] is LSTM
    assert ("hidden", "cell", *GATES) == QUANTITIES
    assert set(GATES) - set(SIGMOID_GATES) == {"candidate"}


def made(kind, rng, **options):
    """What a trace would hold of a cell of this kind that runs 6 steps of 4 samples, 2 masked."""
    cell = _CLASSES[kind](3, bias_initializer="normal", **options)
    cell.build((None, 2))
    start = [tf.constant(rng.normal(size=(4, 3)), "float32") for _ in kind.states]
    mask = np.ones((6, 4), bool)
    mask[2:4, 1] = False
    x = tf.constant(rng.normal(size=(6, 4, 2)), "float32")
    values = scan_cell(cell, x, tuple(start), tf.constant(mask)).values
    arrays = {name: value.numpy().swapaxes(0, 1).copy() for name, value in values.items()}
    arrays |= {f"initial_{n}": s.numpy() for n, s in zip(kind.states, start, strict=True)}
    return arrays | {"mask": mask.T}


def residuals(kind, arrays):
    found = measure_residuals(kind, arrays, activation=tf.tanh, go_backwards=False)
    return {name: value for name, value in found.items() if not np.isnan(value)}


@pytest.mark.parametrize("kind", STEPPED, ids=[kind.name for kind in STEPPED])
def test_the_equations_hold_for_the_step_and_for_nothing_else(kind, rng):
    arrays = made(kind, rng)
    assert set(arrays) == {*kind.quantities, *(f"initial_{n}" for n in kind.states), "mask"}
    assert set(residuals(kind, arrays)) == {*(e.state for e in kind.equations), "carried"}
    assert max(residuals(kind, arrays).values()) < 1e-6
    # What a reset gate did is in the candidate; only the weights could tell.
    for name in set(kind.quantities) - {"reset_gate"} if kind.equations else ():
        spoiled = {**arrays, name: arrays[name].copy()}
        spoiled[name][2, 3, 1] += 0.5
        assert max(residuals(kind, spoiled).values()) > 1e-3, name
    for name in kind.states:
        spoiled = {**arrays, name: arrays[name].copy()}
        spoiled[name][1, 3, 1] += 0.5  # a masked step
        assert residuals(kind, spoiled)["carried"] > 0.4


CELL = """
import keras

class MinimalCell(keras.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = self.output_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2 * self.units))
        self.recurrent_kernel = self.add_weight(shape=(self.units, 2 * self.units))
        self.built = True

    def call(self, x, states):
        h, n = states[0], self.units
        x, u = x @ self.kernel, self.recurrent_kernel
        f = keras.ops.sigmoid(x[:, :n] + h @ u[:, :n])
        g = keras.ops.tanh(x[:, n:] + (f * h) @ u[:, n:])
        h = (1 - f) * h + f * g
        return h, [h]
"""

KIND = '''
"""Minimal gated unit of Zhou et al. (2016)."""
import keras

from lstm_states.cells.kind import HIDDEN, CellKind, Equation, split, weight

def project(cell, sequences):
    return sequences @ weight(cell, "kernel")

def step(cell, inputs, before, arise):
    (xf, xg), h = split(inputs, 2), before["hidden"]
    uf, ug = split(weight(cell, "recurrent_kernel"), 2)
    f = arise("forget_gate", keras.ops.sigmoid(xf + h @ uf))
    g = arise("candidate", keras.ops.tanh(xg + (f * h) @ ug))
    h = arise("hidden", (1 - f) * h + f * g)
    return {"hidden": h, "forget_gate": f, "candidate": g}

def hidden(now, before, activation):
    f = now["forget_gate"]
    return (1 - f) * before["hidden"] + f * now["candidate"]

KIND = CellKind(
    name="minimal",
    states=("hidden",),
    long_names={"hidden": HIDDEN, "forget_gate": "forget gate f", "candidate": "candidate g"},
    keras_cell="minimal_cell:MinimalCell",
    project=project,
    step=step,
    equations=(Equation("hidden", hidden, looks_back=True, activates=False),),
)
'''

RUN = """
import keras, numpy as np
from lstm_states import Edit, check_traces, record_gradients, record_traces
from minimal_cell import MinimalCell

layer = keras.layers.RNN(MinimalCell(3), name="mine")
model = keras.Sequential([keras.Input((5, 2)), layer, keras.layers.Dense(1)])
x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
node = record_traces(model, x)["mine"]
assert node.attrs["cell"] == "minimal", node.attrs
assert list(node.data_vars)[:3] == ["hidden", "forget_gate", "candidate"], list(node.data_vars)
assert node["forget_gate"].attrs["long_name"] == "forget gate f"
assert check_traces(node.root)["hidden"].max() < 1e-6
assert abs(record_gradients(model, x)["mine/forget_gate"]).min() > 0
closed = record_traces(model, x, edits=[Edit("mine", "forget_gate", set=0.0)])
assert (closed["mine/hidden"] == 0).all()
print("recorded")
"""


def in_a_copy(tmp_path, program):
    """Run ``program`` where a copy of the package has one more kind."""
    shutil.copytree(PACKAGE, tmp_path / "lstm_states", ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / "minimal_cell.py").write_text(CELL, encoding="utf-8")
    (tmp_path / "lstm_states/cells/minimal.py").write_text(KIND, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, encoding="utf-8", check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip


def test_another_kind_is_one_more_file(tmp_path):
    assert in_a_copy(tmp_path, RUN).endswith("recorded\n")


def test_layers_are_in_the_models_order_however_deep():
    held = dict.fromkeys(("/top", "/other", "/both/forward"), xr.Dataset({"x": 1}))
    order = {"layers": ["both/forward", "top", "taken out"]}
    traces = xr.DataTree.from_dict({"/": xr.Dataset(attrs=order), **held})
    assert list(layers_of(traces)) == ["both/forward", "top", "other"]


def test_names_and_figures_need_no_tensorflow():
    """Stored traces are opened, summed up, drawn and explored in a second, not in five."""
    program = (
        "import sys, lstm_explorer, lstm_states.cells, lstm_states.plots, lstm_states.store.store, "
        "lstm_states.summary\nprint(sorted({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    assert ran.stdout.decode().strip() == "[]"
