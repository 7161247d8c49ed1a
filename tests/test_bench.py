"""The benchmark times what it says, and nothing that is wrong."""

import json
import platform
import re
from dataclasses import replace
from functools import partial
from html import unescape
from statistics import median

import numpy as np
import pytest

from bench.cases import Case, Plan, full_plan, quick_plan
from bench.competitors import COMPETITORS, OURS, Competitor
from bench.equations import reference
from bench.imports import more_than_keras
from bench.inputs import QUANTITIES, Inputs, checked_rows, largest_errors, make_inputs
from bench.limits import bytes_of, operations_of
from bench.memory import owned_bytes
from bench.page import render_page
from bench.processes import without_paths
from bench.run import run_plan
from bench.statistics import growth, ratios
from bench.step_profile import KINDS
from bench.targets import TARGETS, judge
from tests.lstm_states.oracle import gru, lstm, run_sequence, sigmoid
from tests.repository import ROOT

CASE = Case("case", (4, 3), 6, 2, mask="right", samples=4)
PLAN = Plan(
    cases=(CASE,),
    training=(
        *(
            replace(case, name=f"{work}_{case.name}", work=work, samples=0)
            for case in (CASE, replace(CASE, name="gru", kind="GRU", bidirectional=True))
            for work in ("train", "predict")
        ),
        Case("step", (4, 3), 6, 2, work="step"),
    ),
    profile=Case("profile", (4, 3), 6, 2, work="train"),
    curves={"layers": (Case("layers_1", (3,), 5, 2), Case("layers_2", (3, 3), 5, 2))},
    memory=(Case("memory", (3,), 5, 2, samples=4),),
    memory_training=(Case("memory_training", (3,), 300, 2, work="train"),),
    stores=(),
    seconds=0.0,
    rounds=(3, 3),
    quick=True,
)
TRAINERS = ("accelerated", "stock")
STREAMS = ("session", "stateful")
CHOSEN = (OURS, "last_state", "predict", "predict_on_batch", *TRAINERS, *STREAMS)
IN_TEST = (
    *(competitor for competitor in COMPETITORS if competitor.name in CHOSEN),
    Competitor("wrong", "wrong", "Returns zeros.", "tests.wrong_competitor"),
    Competitor("broken", "broken", "Can't be imported.", "tests.no_such_module"),
    Competitor("absent", "absent", "Is not installed.", "tests.wrong_competitor", folder="absent"),
)


@pytest.fixture(scope="module")
def result():
    return json.loads(json.dumps(run_plan(PLAN, IN_TEST)))


def entry(result, name):
    return result["cases"][0]["competitors"][name]


@pytest.mark.slow
class TestRun:
    def test_every_round_is_kept_and_summed_up(self, result):
        for name in (OURS, "predict"):
            times = entry(result, name)["times_s"]
            assert len(times) == 3
            assert entry(result, name)["median_s"] == pytest.approx(median(times))
            assert entry(result, name)["min_s"] == min(times)
            assert entry(result, name)["max_s"] == max(times)
            assert entry(result, name)["first_s"] > min(times)

    def test_ratios_are_taken_round_by_round(self, result):
        pairs = zip(
            entry(result, OURS)["times_s"], entry(result, "predict")["times_s"], strict=True
        )
        each = [ours / theirs for ours, theirs in pairs]
        expected = {"median": median(each), "min": min(each), "max": max(each)}
        assert entry(result, "predict")["ours_to_theirs"] == pytest.approx(expected)

    def test_what_a_training_step_needs_is_measured_of_all_who_train(self, result):
        [row] = result["memory_training"]
        assert {name: one["status"] for name, one in row["competitors"].items()} == {
            "accelerated": "ok",
            "stock": "ok",
            "pieces": "ok",
        }
        assert all(one["above_bytes"] > 0 for one in row["competitors"].values())

    def test_a_step_is_taken_apart_on_both_paths(self, result):
        stock, accelerated = (result["profile"]["traced"][n]["seconds"] for n in TRAINERS[::-1])
        assert set(accelerated) == {name for name, *_ in KINDS}
        assert set(stock) == set(accelerated) - {"fused"}
        assert min(*stock.values(), *accelerated.values()) > 0

    def test_imports_are_timed_in_turns(self, result):
        assert {name: len(times) for name, times in result["imports"].items()} == {
            "keras": 3,
            "lstm_states": 3,
        }
        assert more_than_keras({"keras": [3.0, 1.0, 2.0], "lstm_states": [3.5, 1.25, 7.0]}) == 0.5

    def test_all_six_quantities_of_all_layers_were_compared(self, result):
        errors = entry(result, OURS)["errors"]
        names = {f"{n}/{quantity}" for n in range(2) for quantity in QUANTITIES}
        assert set(errors) == {"outputs", *names}
        assert max(errors.values()) < 1e-6

    def test_what_is_wrong_is_not_timed(self, result):
        wrong = entry(result, "wrong")
        assert wrong["status"] == "wrong"
        assert wrong["times_s"] == []
        assert re.fullmatch(r"outputs differs from the reference by 0\.\d+", wrong["error"])
        assert "ours_to_theirs" not in wrong

    def test_what_does_not_run_says_why(self, result):
        who = result["competitors"]
        assert who["broken"]["status"] == "failed"
        assert (
            who["broken"]["error"] == "ModuleNotFoundError: No module named 'tests.no_such_module'"
        )
        assert who["absent"]["status"] == "not installed"
        assert not {"broken", "absent"} & set(result["cases"][0]["competitors"])

    def test_training_and_prediction_are_compared_with_the_equations(self, result):
        due = (*(("loss", TRAINERS), ("outputs", TRAINERS)) * 2, ("outputs", STREAMS))
        for case, (name, runners) in zip(result["training"], due, strict=True):
            assert set(case["competitors"]) == set(runners)
            for who in case["competitors"].values():
                assert who["status"] == "ok"
                assert set(who["errors"]) == {name}
                assert who["errors"][name] < 1e-6
            assert case["competitors"][runners[1]]["ours_to_theirs"]["median"] > 0

    def test_a_selection_is_timed_beside_all(self, result):
        assert entry(result, "last_state")["status"] == "ok"
        assert set(entry(result, "last_state")["errors"]) == {"outputs"}

    def test_the_run_and_the_machine_are_described(self, result):
        assert re.fullmatch(r"[0-9a-f]{40}", result["commit"])
        machine = result["machine"]
        assert machine["cores"] >= 1
        assert platform.machine() in machine["processor"]
        assert machine["vector_units"]
        assert machine["memory_gb"] > 1
        assert machine["system"].startswith(platform.system())
        assert set(machine["versions"]) >= {"tensorflow", "keras"}
        assert 0 <= result["cases"][0]["others"] <= 1

    def test_memory_above_what_is_returned(self, result):
        (row,) = result["memory"]
        assert row["status"] == "ok"
        assert row["returned_bytes"] >= 4 * 4 * 5 * 3 * len(QUANTITIES)
        expected = row["peak_bytes"] - row["before_bytes"] - row["returned_bytes"]
        assert row["above_bytes"] == expected

    def test_verdicts_are_those_of_the_result(self, result):
        assert result["verdicts"] == judge(result)
        assert {row["verdict"] for row in judge(result)} <= {"met", "missed", "not measured"}

    def test_the_page_shows_every_case_and_competitor(self, result):
        page = unescape(render_page(result))
        for name in ("cases", "training", "memory"):
            for case in result[name]:
                assert case["shape"] in page
        for who in result["competitors"].values():
            assert who["title"] in page
        for row in judge(result):
            assert row["text"] in page
        assert "wrong: outputs differs from the reference" in page
        assert page.count("data:image/svg+xml") == 2  # no stores, no figure of them
        assert not re.search(r'(src|href)="(?!data:)|<script', page)
        assert unescape(render_page(result)) == page


def test_the_committed_page_is_that_of_the_committed_result():
    source = ROOT / "bench/results.json"
    if not source.exists():
        pytest.skip("no result is committed")
    result = json.loads(source.read_text(encoding="utf-8"))
    assert not result["quick"]
    page = unescape((ROOT / "bench/results.html").read_text(encoding="utf-8"))
    for case in [*result["cases"], *result["training"]]:
        assert case["shape"] in page
    for row in judge(result):
        assert row["text"] in page


def test_the_readme_quotes_the_committed_overhead():
    result = json.loads((ROOT / "bench/overhead.json").read_text(encoding="utf-8"))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"takes {result['ratio']:.2f} times as long as its cells alone" in readme
    assert f"at a time takes {result['side_by_side']:.2f} of the time of running one" in readme


def test_the_readme_quotes_the_committed_result():
    result = json.loads((ROOT / "bench/results.json").read_text(encoding="utf-8"))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    def ratio(name, who):
        cases = [*result["cases"], *result["training"]]
        [case] = [case for case in cases if case["name"] == name]
        return case["competitors"][who]["ours_to_theirs"]["median"]

    others = [case["competitors"]["predict"]["ours_to_theirs"] for case in result["cases"]]
    worst = max(ratio["median"] for ratio in others)
    for quoted in (
        f"took {ratio('article', 'predict'):.2f} of the time of `model.predict`",
        f"and {worst:.2f} in the worst case",
        f"recording took {ratio('article', 'predict_on_batch'):.2f} times as long",
        f"`LSTMCell` takes {1 / ratio('article', 'eager_loop'):.0f} times as long",
        f"stack took {ratio('train_A', 'stock'):.2f} of the time of stock Keras",
        f"and {ratio('train_A', 'torch_training'):.2f} of that of PyTorch",
        f"a prediction took {ratio('predict_A', 'stock'):.2f} of the time of stock Keras",
        f"and {ratio('predict_A', 'torch_training'):.2f} of that of PyTorch",
    ):
        assert quoted in readme


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("kind", "step", "states"), [("LSTM", lstm, ("hidden", "cell")), ("GRU", gru, ("hidden",))]
)
@pytest.mark.parametrize("mask", ["none", "right", "random"])
def test_the_reference_is_what_the_oracle_says(mask, kind, step, states, bidirectional):
    options = {"mask": mask, "samples": 40, "kind": kind, "bidirectional": bidirectional}
    case = Case("case", (4, 3), 6, 2, **options)
    inputs = make_inputs(case)
    expected = reference(case, inputs)
    rows = checked_rows(40)
    assert rows[0] == 0
    assert rows[-1] == 39
    x, own = inputs.x[rows[5]].astype(float), inputs.mask[rows[5]]
    number = 0
    for layer in inputs.by_layer(case):
        shown = []
        for backwards, weights in zip((False, True), layer, strict=False):
            equations = partial(step, weights=weights, activation=np.tanh, gate=sigmoid)
            start = [np.zeros(len(weights[1]))] * len(states)
            trace, hidden = run_sequence(equations, states, x, start, own, backwards, {})
            shown.append(hidden)
            for quantity, values in trace.items():
                got = expected[f"{number}/{quantity}"][5][:: -1 if backwards else 1]
                np.testing.assert_allclose(got[own], values[own], atol=1e-12)
            number += 1
        x = np.concatenate(shown, axis=-1)
    last = np.concatenate([hidden[end] for hidden, end in zip(shown, (-1, 0), strict=False)])
    outputs = last @ inputs.dense[0] + inputs.dense[1]
    np.testing.assert_allclose(expected["outputs"][5], outputs, atol=1e-12)


def test_inputs_survive_their_file(tmp_path):
    inputs = make_inputs(CASE)
    inputs.save(tmp_path / "inputs.npz")
    again = Inputs.load(tmp_path / "inputs.npz")
    for ours, theirs in zip(inputs.weights(), again.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(inputs.x, again.x)
    assert ((inputs.x != 0).any(-1) == inputs.mask).all()
    assert not inputs.mask.all()
    assert Case.from_json(json.loads(json.dumps(CASE.to_json()))) == CASE


def test_errors_count_at_real_steps_alone():
    mask = np.array([[True, False]])
    expected = {"0/hidden": np.zeros((1, 2, 1))}
    assert largest_errors({"0/hidden": np.array([[[0.5], [np.nan]]])}, expected, mask) == {
        "0/hidden": 0.5
    }
    assert np.isnan(
        largest_errors({"0/hidden": np.array([[[np.nan], [0]]])}, expected, mask)["0/hidden"]
    )
    with pytest.raises(ValueError, match="shape"):
        largest_errors({"0/hidden": np.zeros((1, 1, 1))}, expected, mask)


def test_ratios_and_growth():
    assert ratios([1, 2, 9], [2, 2, 3]) == {"median": 1, "min": 0.5, "max": 3}
    line = growth([1, 2, 4], [6, 12, 24])
    assert line == pytest.approx({"exponent": 1, "per_unit": 6, "constant": 0}, abs=1e-12)
    assert growth([1, 2, 4], [1, 4, 16])["exponent"] == pytest.approx(2)


def verdicts(**found):
    """The verdicts on a made-up result."""
    case = {
        "name": "case",
        "shape": "here",
        "work": "record",
        "is_article": True,
        "competitors": {},
    }
    for name, ratio in found.get("ratios", {}).items():
        case["competitors"][name] = {"ours_to_theirs": {"median": ratio}}
    titles = {c.name: {"title": c.title} for c in COMPETITORS}
    stores = [
        {"status": "ok", "samples": n, "peak_bytes": peak} for n, peak in found.get("stores", [])
    ]
    result = {
        "cases": [case],
        "training": [],
        "curves": {},
        "memory": [],
        "stores": stores,
        "imports": {"keras": [2.0], "lstm_states": [found.get("imported", 2.0)]},
        "competitors": titles,
    }
    return {row["name"]: row for row in judge(result)}


def test_a_verdict_is_computed():
    assert verdicts(ratios={"predict": 1.0})["predict_article"]["verdict"] == "met"
    assert verdicts(ratios={"predict": 1.01})["predict_article"]["verdict"] == "missed"
    assert verdicts(ratios={"predict": 1.51})["predict_anywhere"]["verdict"] == "missed"
    assert verdicts()["predict_anywhere"]["verdict"] == "not measured"
    loops = verdicts(ratios={"eager_loop": 0.05, "torch_loop": 0.2})["loops"]
    assert (loops["verdict"], loops["where"]) == ("missed", "PyTorch LSTMCell loop, here")
    assert loops["worst"] == pytest.approx(5)
    assert verdicts(ratios={"eager_loop": 0.05, "torch_loop": 0.1})["loops"]["verdict"] == "met"
    assert verdicts(imported=2.05)["import"]["verdict"] == "met"
    assert verdicts(imported=2.15)["import"]["verdict"] == "missed"


def test_the_kernels_are_judged_by_stack_and_first_calls_by_the_seconds_more():
    def case(name, ours, theirs):
        entries = {"accelerated": {"first_s": ours}, "stock": {"first_s": theirs}}
        entries["stock"]["ours_to_theirs"] = {"median": ours / 4}
        return {"name": name, "shape": name, "work": "train", "competitors": entries}

    result = {"cases": [], "training": [case("train_A", 2.5, 2.0), case("train_A_gru", 1, 0.4)]}
    judged = {t.name: t.verdict(result) for t in TARGETS if t.name.startswith(("train", "first"))}
    assert judged["train_stock_lstm"]["verdict"] == "missed"
    assert judged["train_stock_gru"]["verdict"] == "met"
    assert judged["train_stock_masked"]["verdict"] == "not measured"
    first = judged["first_training"]
    assert (first["verdict"], first["where"]) == ("missed", "train_A_gru")
    assert first["worst"] == pytest.approx(0.6)


def test_one_small_sample_and_one_step_are_judged():
    entry = {"ours_to_theirs": {"median": 1.9}}
    small = {"name": "small", "shape": "s", "work": "record", "is_article": False}
    small["competitors"] = {"predict_on_batch": entry}
    step = {"name": "step_one", "shape": "one", "competitors": {"stateful": entry}}
    result = {"cases": [small, small | {"name": "other", "shape": "o"}], "training": [step]}
    rows = {target.name: target for target in TARGETS}
    row = rows["predict_small"].verdict(result)
    assert (row["verdict"], row["where"], row["worst"]) == ("met", "s", 1.9)
    row = rows["step"].verdict(result)
    assert (row["verdict"], row["where"], row["worst"]) == ("missed", "one", 1.9)


def test_the_store_is_judged_at_full_size():
    flat = verdicts(stores=[(1000, 1e9), (2000, 1.001e9)])["memory_store"]
    assert (flat["verdict"], flat["worst"]) == ("met", pytest.approx(1.099))
    steep = verdicts(stores=[(1000, 1e9), (2000, 1.01e9)])["memory_store"]
    assert (steep["verdict"], steep["where"]) == ("missed", "100,000 samples, extrapolated")


def test_the_least_work_of_a_case_is_counted_by_hand():
    case = Case("case", (3,), steps=2, batch=4, features=5, work="predict")
    assert operations_of(case) == 2 * 4 * 2 * (5 + 3) * 12
    assert operations_of(replace(case, kind="GRU")) == 2 * 4 * 2 * (5 + 3) * 9
    assert operations_of(replace(case, work="train")) == 2 * 4 * 2 * (3 * (5 + 3) - 5) * 12
    two = replace(case, units=(3, 6), work="train")
    assert operations_of(two) == 2 * 4 * 2 * ((3 * 8 - 5) * 12 + 3 * (3 + 6) * 24)
    assert bytes_of(case) == 4 * 2 * (5 + 2 * 3) * 4
    assert bytes_of(replace(case, work="train")) == 4 * 2 * (2 * 5 + 2 * (6 + 4) * 3) * 4


def test_owned_bytes_counts_a_buffer_once():
    buffer = np.zeros((4, 6), np.float32)
    views = [buffer[:, :3], buffer[:, 3:], np.broadcast_to(buffer[0], (9, 6)), np.zeros(2)]
    assert owned_bytes(views) == 4 * 24 + 16


def test_messages_name_no_folder():
    assert without_paths("Error: /some/where/lib/x.so is gone") == "Error: …/x.so is gone"


def test_the_plans_cover_what_is_promised():
    plan = full_plan()
    cases = plan.cases
    assert {case.name for case in cases if case.is_article} == {
        "article", "article_padded", "article_gaps", "article_batches",
    }  # fmt: skip
    for field, least, most in (("steps", 20, 2000), ("batch", 1, 512)):
        values = [getattr(case, field) for case in cases]
        assert (min(values), max(values)) == (least, most)
    units = [units for case in cases for units in case.units]
    assert (min(units), max(units)) == (32, 512)
    assert {len(case.units) for case in cases} == {1, 2, 4}
    assert {case.mask for case in cases} == {"none", "right", "random"}
    for one in (plan, quick_plan()):
        shapes = [case.shape for case in one.cases]
        assert len(set(shapes)) == len(shapes)
    assert full_plan(100_000).stores[-1] == replace(
        plan.stores[-1], name="store_100000", samples=100_000
    )
    assert len({target.name for target in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize("name", ["torch", "inspectors"])
def test_the_locks_have_hashes_and_no_address(name):
    lock = (ROOT / f"bench/{name}.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z][\w-]*==\S+ \\\n(?:    --hash=sha256:\w{64}(?: \\)?\n)+", lock, re.M)
    assert "".join(pins) == lock
