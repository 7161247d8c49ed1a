"""The points of a sweep: which there are, and what is refused before any of them runs."""

import re

import pytest
import yaml

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.points import check_sweeps
from notebook_pipeline.parameters.sweeps import Draw, Sweep
from tests.notebook_pipeline.sweeping import GRID, STEPS
from tests.toy_clone import TOY

BARE = {"question": "?", "of": "walking", "seeds": [0]}


def sweep(**changes):
    return Sweep.model_validate({**BARE, **changes})


def test_a_grid_has_all_combinations_in_the_order_of_the_file():
    found = sweep(grid={"b": [2, 1], "a": ["x", None]}).given()
    assert found == [{"b": b, "a": a} for b in (2, 1) for a in ("x", None)]


def test_a_list_is_taken_as_it_is():
    points = [{"steps": 3}, {"steps": 1}]
    assert sweep(points=points).given() == points


DRAWN = {
    "rate": {"low": 0.001, "high": 0.1, "log": True},
    "width": {"low": 4, "high": 6},
    "cell": {"choices": ["a", "b"]},
}


def draws(count, seed=0, parameters=DRAWN):
    return sweep(draws={"count": count, "seed": seed, "parameters": parameters}).given()


def test_draws_are_the_same_wherever_and_whenever():
    """Written down: another Python, or a change of the code, must not draw others."""
    assert draws(3) == [
        {"rate": 0.0242261, "width": 5, "cell": "a"},
        {"rate": 0.0424604, "width": 6, "cell": "b"},
        {"rate": 0.0176724, "width": 4, "cell": "b"},
    ]


def test_draws_stay_within_their_range_and_reach_both_ends():
    found = draws(400)
    assert all(0.001 <= point["rate"] <= 0.1 for point in found)
    widths = [point["width"] for point in found]
    assert {width: widths.count(width) > 100 for width in widths} == {4: True, 5: True, 6: True}
    assert {point["cell"] for point in found} == {"a", "b"}
    below = sum(point["rate"] < 0.01 for point in found)  # the middle of the logarithmic range
    assert 150 < below < 250


@pytest.mark.parametrize("share", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(5, 6), (0.12345649, 0.12345651)])
def test_no_draw_leaves_its_range_by_rounding(low, high, log, share):
    drawn = Draw(low=low, high=high, log=log)._value(share)
    assert low <= drawn <= high


def test_more_draws_begin_with_the_fewer_and_another_parameter_changes_none():
    assert draws(20)[:5] == draws(5)
    assert [point["rate"] for point in draws(5, parameters={"rate": DRAWN["rate"]})] == [
        point["rate"] for point in draws(5)
    ]
    assert draws(5, seed=1) != draws(5)


def test_what_is_drawn_twice_counts_once():
    assert draws(100, parameters={"cell": DRAWN["cell"]}) == [{"cell": "a"}, {"cell": "b"}]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with the toy's schema, whose params.yaml a function writes."""
    monkeypatch.syspath_prepend(TOY / "src")
    (tmp_path / "src").mkdir()
    for name in ("pyproject.toml", "dvc.yaml"):
        (tmp_path / name).write_bytes((TOY / name).read_bytes())

    def write(**sweeps):
        params = yaml.safe_load((TOY / "params.yaml").read_text(encoding="utf-8"))
        params["walking"] = {"steps": 10, "factor": 1.0, "label": "a"}
        text = yaml.safe_dump({**params, "sweeps": sweeps}, sort_keys=False)
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_a_point_has_its_own_values_and_the_sections(root):
    short = {**BARE, "grid": {"halves": [3, 4]}, "fixed": {"steps": 5}}
    fixed_short = {**BARE, "grid": {"steps": [3, 4]}, "fixed": {"halves": 4}}
    found = check_sweeps(root(steps=STEPS, short=short, fixed_short=fixed_short))
    assert [point.given for point in found["steps"].points] == [
        {"steps": s, "factor": f} for s in GRID["steps"] for f in GRID["factor"]
    ]
    assert [point.parameters for point in found["short"].points] == [
        {"steps": 5, "factor": 1.5},
        {"steps": 5, "factor": 2.0},
    ]
    assert found["short"].departs == {"steps": 10}
    assert found["fixed_short"].departs == {"factor": 1.0}


def test_one_and_one_point_nought_are_the_same_point(root):
    found = check_sweeps(root(steps={**BARE, "points": [{"factor": 1}]}))
    assert repr(found["steps"].points[0].parameters["factor"]) == "1.0"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"grid": {"stepz": [1]}},
            "sweeps.x: 'stepz' is not a parameter of walking; did you mean 'steps'?",
        ),
        ({"grid": {"steps": [1], "halfs": [2]}}, "'halfs' is not a p.*did you mean 'halves'?"),
        ({"fixed": {"factr": 1}}, "'factr' is not a parameter of walking; did you mean 'factor'?"),
        ({"grid": {"label": ["b"]}}, "sweeps.x: label changes nothing in a point of walking"),
        (
            {"grid": {"steps": [3, "many"], "factor": [0.5]}},
            "x, point steps many, factor 0.5: steps is 'many': Input should be a valid integer",
        ),
        ({"grid": {"steps": [3, 0]}}, "point steps 0: steps is 0: Input should be greater than"),
        ({"grid": {"halves": [0]}}, "point halves 0: halves is 0: Input should be greater than"),
        (
            {"grid": {"halves": [1], "factor": [2.0]}},
            "point halves 1, factor 2.0: factor is given beside halves; take one",
        ),
        ({"of": "walkin"}, "sweeps.x.of is 'walkin'; did you mean 'walking'?"),
        ({"grid": {"steps": [1]}, "fixed": {"steps": 2}}, "sweeps.x: steps is fixed, and in grid"),
        ({"grid": {"steps": [1, 1]}}, "sweeps.x.grid.steps: 1 is there twice"),
        ({"grid": {}}, "sweeps.x.grid is {}: Dictionary should have at least 1 item"),
        ({"grid": None}, "sweeps.x: it needs one of grid, points and draws; it has none"),
        ({"points": [{"steps": 1}]}, "it needs one of .*; it has grid and points"),
        (
            {"grid": None, "points": [{"steps": 1}, {"factor": 1.0}]},
            "sweeps.x: points[1] has factor; all points have the same parameters",
        ),
        ({"grid": None, "points": [{"steps": 1}] * 2}, "points[1] is there twice: steps 1"),
        ({"seeds": [0, 0]}, "sweeps.x.seeds is [0, 0]: each value may appear only once"),
        ({"seeds": []}, "sweeps.x.seeds is []: List should have at least 1 item"),
        ({"question": ""}, "sweeps.x.question is '': String should have at least 1 character"),
        ({"gird": {}}, "sweeps.x.gird is not a parameter; did you mean 'grid'?"),
    ],
)
def test_a_wrong_sweep_is_refused(root, change, told):
    folder = root(x={**BARE, "grid": {"steps": [3]}, **change})
    with pytest.raises(ConfigError) as error:
        check_sweeps(folder)
    parts = [re.escape(part) for part in told.split(".*")]
    assert re.search(".*".join(parts), str(error.value)), error.value


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        ({"low": 3, "high": 1}, "rate: low is 3 and high 1; low must be less"),
        ({"low": 3}, "rate: has low; it needs low and high, or choices"),
        ({"low": 3, "high": 4, "choices": [1]}, "it needs low and high, or choices"),
        ({"low": 0, "high": 1, "log": True}, "low is 0; with log it must be more than 0"),
        ({"low": 1, "hihg": 2}, "parameters.rate.hihg is not a parameter; did you mean 'high'?"),
        ({"choices": []}, "List should have at least 1 item"),
    ],
)
def test_a_wrong_draw_is_refused(root, draw, told):
    drawn = {"count": 2, "seed": 0, "parameters": {"rate": draw}}
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_sweeps(root(x={**BARE, "draws": drawn}))


def test_a_sweep_is_not_called_as_a_section_is(root):
    with pytest.raises(ConfigError, match=r"sweeps.walk: 'walk' is a section; take another name"):
        check_sweeps(root(walk=STEPS))
