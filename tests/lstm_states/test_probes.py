"""Probes of states that hold a target, of ones that don't, and their control tasks."""

import sys

import numpy as np
import pytest

from lstm_states import probe_states
from tests.lstm_states.trees import node, tree

RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=(40, 10))
NOISE = RNG.normal(size=(40, 10, 3))
IMAGE = np.stack([2 * TARGET + 1, NOISE[..., 0]], -1)
"""Two units that hold the target, one beside the other."""
CLASSES = (TARGET > 0.5).astype(int) + (TARGET > -0.5)


def test_what_a_state_holds_is_read_and_no_more():
    found = probe_states(tree(holds=node(hidden=IMAGE), lacks=node(hidden=NOISE)), numbers=TARGET)
    assert found["score"].sel(layer="holds") > 0.999
    assert abs(found["score"].sel(layer="lacks")) < 0.05
    assert abs(found["control"]).max() < 0.05
    np.testing.assert_array_equal(found["selectivity"], found["score"] - found["control"])
    assert found.attrs["metric"] == "r2"


def test_r2_weighs_all_targets_alike():
    both = np.stack([TARGET, 1e3 * NOISE[..., 1]], -1)
    found = probe_states(tree(layer=node(hidden=IMAGE)), numbers=both)
    assert found["score"].item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("names", [np.array([0, 1, 2]), np.array(["b", "a", "c"])])
def test_classes_are_read(names):
    layers = tree(holds=node(hidden=IMAGE), lacks=node(hidden=NOISE))
    found = probe_states(layers, classes=names[CLASSES])
    most = np.bincount(CLASSES[1::2].ravel()).max() / 200
    assert found["score"].sel(layer="holds") > 0.9
    assert abs(found["score"].sel(layer="lacks") - most) < 0.05
    assert abs(found["control"] - most).max() < 0.08
    assert found.attrs["metric"] == "accuracy"


def test_no_sequence_stands_on_both_sides():
    """States that name their sequence would give its target away at other steps of it."""
    names = np.repeat(RNG.normal(size=(40, 1, 30)), 10, 1)
    target = RNG.normal(size=40)
    layer = tree(layer=node(hidden=names))
    assert probe_states(layer, numbers=target)["score"].item() < 0.2
    known = np.repeat(names[:20], 2, 0)  # a twin of each sequence is held out
    twins = probe_states(tree(layer=node(hidden=known)), numbers=np.repeat(target[:20], 2))
    assert twins["score"].item() > 0.9


def test_held_out_sequences_are_chosen():
    hidden = IMAGE.copy()
    hidden[30:] = NOISE[30:, :, :2]  # the last ones don't hold the target
    layer = tree(layer=node(hidden=hidden))
    last = probe_states(layer, numbers=TARGET, held_out=slice(30, None))["score"].item()
    first = probe_states(layer, numbers=TARGET, held_out=[0, 1, 2, 3, 4])["score"].item()
    assert last < 0 < 0.5 < first


def test_types_are_learnt_by_heart():
    """Hewitt and Liang: a state that only names its token reads any label of the token."""
    tokens = RNG.integers(0, 6, size=(40, 10))
    layer = tree(layer=node(hidden=np.eye(6)[tokens]))
    tags = np.array([0, 1, 0, 1, 1, 0])[tokens]
    typed = probe_states(layer, classes=tags, types=tokens)
    assert typed["score"].item() == 1
    assert typed["control"].item() == 1
    assert typed["selectivity"].item() == 0
    shuffled = probe_states(layer, classes=tags)
    assert shuffled["control"].item() < 0.65


def test_a_target_of_a_sequence_is_shuffled_by_sequence():
    """Steps of one sequence keep one target in the control, or averaging would tell it apart."""
    hidden = np.repeat(np.eye(4)[np.arange(40) % 4][:, np.newaxis], 10, 1)
    one, other = (
        probe_states(tree(layer=node(hidden=hidden)), classes=np.arange(40) // 20, seed=seed)
        for seed in (1, 2)
    )
    shares = np.array([one["control"].item(), other["control"].item()]) * 20
    np.testing.assert_allclose(shares, shares.round(), atol=1e-9)  # whole sequences
    assert not np.array_equal(*shares)


def test_masked_steps_and_missing_targets_have_no_say():
    mask = np.ones((40, 10), bool)
    mask[:, 7:] = False
    hidden, target = IMAGE.copy(), TARGET.copy()
    hidden[:, 7:] = np.nan
    target[:, 8:] = 1e9
    target[:, 0] = np.nan
    hidden[:, 0] = 1e6
    found = probe_states(tree(layer=node(mask, hidden=hidden)), numbers=target)
    assert found["score"].item() > 0.999
    names = np.array(["a", "b", None])[CLASSES]
    part = probe_states(tree(layer=node(hidden=IMAGE)), classes=names)
    assert part["score"].item() > 0.95


def test_what_cannot_be_scored_is_nan():
    broken = IMAGE.copy()
    broken[0, 0] = np.nan
    layers = tree(broken=node(hidden=broken), whole=node(hidden=IMAGE))
    for targets in ({"numbers": TARGET}, {"classes": CLASSES}):
        found = probe_states(layers, **targets)["score"]
        np.testing.assert_array_equal(found.isnull(), [True, False])
    still = probe_states(layers, numbers=np.ones((40, 10)))
    assert still["score"].isnull().all()
    one = probe_states(layers, classes=np.ones((40, 10), int), layers="whole")
    assert (one["score"].item(), one["selectivity"].item()) == (1, 0)


def test_quantities_and_layers_are_chosen():
    layers = tree(a=node(hidden=NOISE[..., :2], cell=IMAGE), b=node(hidden=NOISE[:, :5]))
    found = probe_states(layers, numbers=TARGET, quantity="cell", layers="a")
    assert found["layer"].values.tolist() == ["a"]
    assert found["score"].item() > 0.999
    with pytest.raises(
        ValueError, match=r"numbers has shape \(40, 10\); layer 'b' has 40 samples of 5"
    ):
        probe_states(layers, numbers=TARGET)


def test_missing_types_and_infinite_targets_count_where_there_is_a_target_alone():
    mask = np.ones((40, 10), bool)
    mask[:, 0] = False
    types, target = (CLASSES % 2).astype(object), TARGET.copy()
    types[:, 0], target[:, 0] = None, np.inf
    types[:, 1], target[:, 1] = None, np.nan
    found = probe_states(tree(a=node(mask, hidden=IMAGE)), numbers=target, types=types)
    assert found["score"].item() > 0.999
    types[:, 2] = "a text"  # beside numbers
    assert (
        probe_states(tree(a=node(mask, hidden=IMAGE)), numbers=target, types=types)["score"] > 0.9
    )


def test_what_a_layer_is_given_is_read():
    layer = node(hidden=NOISE).assign(inputs=(("sample", "time", "feature"), IMAGE))
    found = probe_states(tree(a=layer), numbers=TARGET, quantity="inputs")
    assert found["score"].item() > 0.999


def test_what_does_not_fit_is_refused():
    layers = tree(a=node(hidden=IMAGE))
    cases = {
        "needs either numbers or classes": {},
        "either numbers or": {"numbers": TARGET, "classes": CLASSES},
        "classes holds numbers that aren't whole": {"classes": TARGET},
        r"numbers has shape \(39,\)": {"numbers": TARGET[:39, 0]},
        r"classes has shape \(40, 10, 1\)": {"classes": CLASSES[..., np.newaxis]},
        r"types has shape \(10,\)": {"numbers": TARGET, "types": np.arange(10)},
        "held_out is slice.*some with targets must be held out": {
            "numbers": TARGET,
            "held_out": slice(None),
        },
        r"held_out is \[\]": {"numbers": TARGET, "held_out": []},
        r"held_out is \[99\]; it must be a slice or .* of the 40 sequences of layer 'a'": {
            "numbers": TARGET,
            "held_out": [99],
        },
        "held_out is 'a'; it must": {"numbers": TARGET, "held_out": "a"},
        r"layers is \[\]; it must name some": {"numbers": TARGET, "layers": []},
        "types holds None or NaN at steps of layer 'a'": {
            "numbers": TARGET,
            "types": np.where(TARGET > 2, None, "b"),
        },
        "numbers holds infinity at real steps of layer 'a'": {
            "numbers": np.where(TARGET > 2, np.inf, TARGET)
        },
        "numbers holds what is no real number; pass texts": {"numbers": TARGET.astype(str)},
        "numbers holds what is no real": {"numbers": TARGET + 1j},
        "numbers holds what .* number": {"numbers": np.where(TARGET > 2, "a", TARGET.astype("O"))},
    }
    for says, options in cases.items():
        with pytest.raises(ValueError, match=says):
            probe_states(layers, **options)
    with pytest.raises(ValueError, match="'a' receives other rows than the samples"):
        probe_states(tree(a=node(hidden=IMAGE, row="row")), numbers=TARGET)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lstm-states\[probes\]'"):
        probe_states(tree(a=node(hidden=IMAGE)), numbers=TARGET)
