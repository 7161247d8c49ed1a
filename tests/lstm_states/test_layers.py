"""Keras's own code is told from what a subclass, an instance or a patch puts in its place."""

from functools import wraps
from types import MethodType

import keras
import numpy as np
import pytest

from lstm_states import accelerate
from lstm_states.cells import CUSTOM, KINDS
from lstm_states.kernels.cells import find_kind
from lstm_states.layers import keras_class, own_methods

L = keras.layers


class Named(L.LSTMCell):
    """Changes nothing of a step."""

    extra = 1

    def __init__(self, units, **options):
        super().__init__(units, **options)
        self.note = "mine"

    def get_config(self):
        return super().get_config()

    def get_initial_state(self, batch_size=None):
        return [state + 1 for state in super().get_initial_state(batch_size)]

    def describe(self):
        return self.note


class Clipped(L.LSTMCell):
    def _compute_carry_and_output_fused(self, z, c_tm1):
        c, o = super()._compute_carry_and_output_fused(z, c_tm1)
        return keras.ops.clip(c, -0.5, 0.5), o


class Scaled(keras.Layer):
    def __call__(self, *arguments, **options):
        return keras.tree.map_structure(lambda v: v / 2, super().__call__(*arguments, **options))


class Mixed(L.GRUCell, Scaled):
    """Gets another ``__call__`` from a class that comes after Keras's in the order of classes."""


class Borrowed(L.SimpleRNNCell):
    call = L.GRUCell.call


def test_a_subclass_that_leaves_the_step_alone_is_of_its_base_s_kind():
    assert find_kind(Named(3)) is KINDS["LSTM"]
    assert find_kind(L.GRUCell(2)) is KINDS["GRU"]
    assert find_kind(L.SimpleRNNCell(2)) is KINDS["SimpleRNN"]
    assert find_kind(L.ConvLSTM1D(2, 3).cell) is KINDS["ConvLSTM"]


def test_a_convolution_that_carries_other_states_is_of_no_kind():
    """One that only starts from something else is Keras's own."""
    kind = type(L.ConvLSTM1D(2, 3).cell)
    started = {"get_initial_state": lambda self, batch_size=None: []}
    changed = {"call": lambda self, inputs, states, training=False: (inputs, states)}
    assert find_kind(type("Own", (kind,), started)(1, 2, 3)) is KINDS["ConvLSTM"]
    assert find_kind(type("Own", (kind,), changed)(1, 2, 3)) is CUSTOM[1]
    assert find_kind(type("Own", (kind,), started | changed)(1, 2, 3)) is None


@pytest.mark.parametrize(
    ("cell", "own"),
    [
        (Clipped, "_compute_carry_and_output_fused"),
        (Mixed, "__call__"),
        (Borrowed, "call"),
    ],
)
def test_a_subclass_that_changes_the_step_is_a_kind_of_its_own(cell, own):
    assert find_kind(cell(3)) in CUSTOM
    assert own_methods(cell(3), keras_class(cell(3))) == [own]


@pytest.mark.parametrize(
    "name", ["call", "_compute_carry_and_output", "_compute_carry_and_output_fused"]
)
def test_what_is_replaced_on_an_instance_or_on_keras_s_class_is_noticed(name, monkeypatch):
    cell, original = L.LSTMCell(3), getattr(L.LSTMCell, name)
    cell.build((None, 2))
    assert find_kind(cell) is KINDS["LSTM"]

    @wraps(original)
    def doubled(*arguments):
        return 2 * original(*arguments)

    setattr(cell, name, MethodType(doubled, cell))
    assert own_methods(cell, L.LSTMCell) == [name]
    delattr(cell, name)
    assert find_kind(cell) is KINDS["LSTM"]
    monkeypatch.setattr(L.LSTMCell, name, doubled)
    assert own_methods(cell, L.LSTMCell) == [name]
    assert find_kind(cell) in CUSTOM


def test_an_accelerated_layer_still_counts_as_keras_s_own():
    layer = L.LSTM(3)
    model = keras.Sequential([keras.Input((4, 2)), layer])
    accelerate(model)
    assert own_methods(layer, keras_class(layer)) == []
    layer.inner_loop = lambda *arguments, **options: np.zeros(3)
    assert own_methods(layer, keras_class(layer)) == ["inner_loop"]


def test_a_method_of_keras_that_is_replaced_later_is_noticed(monkeypatch):
    cell = L.LSTMCell(2)
    assert own_methods(cell, L.LSTMCell) == []
    with monkeypatch.context() as patch:
        patch.setattr(L.LSTMCell, "call", lambda self, *given, **options: None)
        assert own_methods(cell, L.LSTMCell) == ["call"]
    assert own_methods(cell, L.LSTMCell) == []
    cell.call = lambda *given, **options: None
    assert own_methods(cell, L.LSTMCell) == ["call"]
