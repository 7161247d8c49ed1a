import json
import math

import pytest

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.verification.tolerances import (
    Tolerance,
    beyond_tolerance,
    is_compared,
    load_tolerances,
)


def tolerances(tmp_path, text):
    path = tmp_path / "tolerances.yaml"
    path.write_text(text, encoding="utf-8")
    return load_tolerances(path)


def beyond(tmp_path, name, here, again, text='metrics: {"stacked.*": {absolute: 0.1}}'):
    for folder, content in (("here", here), ("again", again)):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    paths = (tmp_path / folder / name for folder in ("here", "again"))
    compared = {"verdicts.json": lambda found: {"verdict": found[0]}}
    found = beyond_tolerance(*paths, name, tolerances(tmp_path, text), compared)
    return [str(difference) for difference in found]


@pytest.mark.parametrize(
    ("here", "again", "agree"),
    [
        (1.0, 1.1, True),
        (1.0, 1.11, True),  # 0.1 + 0.01 of the larger
        (1.0, 1.12, False),
        (-1.0, -1.12, False),
        (0.0, 0.11, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, math.inf, True),
        (math.inf, 1.0, False),
    ],
)
def test_numbers_agree_within_both_bounds(here, again, agree):
    assert Tolerance(absolute=0.1, relative=0.01).allows(here, again) is agree


def test_metrics_beyond_are_named_with_their_size_and_what_is_allowed(tmp_path):
    name = "reports/stacked/metrics.json"
    assert beyond(tmp_path, name, {"test": {"r2": 0.5}}, {"test": {"r2": 0.59}}) == []
    assert beyond(tmp_path, name, {"test": {"r2": 0.5}}, {"test": {"r2": 0.75}}) == [
        f"{name}, stacked.test.r2: 0.5 here, 0.75 in the clone, 0.25 apart, allowed are 0.1 + 0 of "
        "the larger"
    ]
    assert beyond(tmp_path, name, {"a": 1}, {"b": 1}) == [
        f"{name}, stacked.a: only here",
        f"{name}, stacked.b: only in the clone",
    ]


def test_a_metric_that_no_pattern_fits_never_passes(tmp_path):
    name = "reports/depth/metrics.json"
    assert beyond(tmp_path, name, {"r2": 0.5}, {"r2": 0.5}) == [
        f"{name}, depth.r2: no pattern in tolerances.yaml matches it"
    ]


def test_of_evidence_the_values_are_compared(tmp_path):
    name = "reports/stacked/evidence.json"
    here, again = (
        {"lead": {"values": {"seed 0": value}, "says": "Lead", "execution_count": count}}
        for value, count in ((0.5, 3), (0.75, 4))
    )
    [said] = beyond(tmp_path, name, here, again)
    assert said.startswith(f"{name}, stacked.lead.seed 0: 0.5 here, 0.75 in the clone")
    assert beyond(tmp_path, name, here, here) == []


def test_what_a_project_compares_must_be_the_same(tmp_path):
    name = "reports/verdicts.json"
    assert beyond(tmp_path, name, ["yes", 0.5], ["yes", 0.9]) == []
    assert beyond(tmp_path, name, ["yes", 0.5], ["no", 0.5]) == [
        f"{name}, verdict: 'yes' here, 'no' in the clone"
    ]


def test_the_first_pattern_that_fits_counts(tmp_path):
    read = tolerances(tmp_path, 'metrics: {"a.b*": {absolute: 1}, "a.*": {relative: 0.5}}')
    assert read.of("a.bc") == Tolerance(absolute=1)
    assert read.of("a.c") == Tolerance(relative=0.5)
    assert read.of("b.a") is None


def test_a_metric_may_be_left_to_its_verdict(tmp_path):
    name, text = "reports/depth/metrics.json", 'metrics: {"depth.r2": {verdict: true}}'
    assert beyond(tmp_path, name, {"r2": 0}, {"r2": 100}, text) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{absolute: -1}", r"metrics\.a\.absolute is -1: .*greater than or equal to 0"),
        ("{absolute: .inf}", r"metrics\.a\.absolute is inf: .*finite"),
        ("{absolut: 1}", r"metrics\.a\.absolut is 1: Extra inputs"),
        ("{relative: high}", r"metrics\.a\.relative is 'high': .*valid number"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, entry, said):
    with pytest.raises(ConfigError, match=r"^tolerances\.yaml: " + said):
        tolerances(tmp_path, f"metrics: {{a: {entry}}}")


def test_the_points_of_a_sweep_are_compared_by_metric_point_and_seed(tmp_path):
    here = {
        "seeds": [0, 1],
        "rows": [{"given": {"steps": 3}, "metrics": {"far": [1.0, None], "weights": [3, 3]}}],
    }
    again = json.loads(json.dumps(here).replace("1.0", "1.5").replace("[3, 3]", "[3, 4]"))
    text = 'metrics: {"sums.far.*": {absolute: 0.6}, "*": {}}'
    assert is_compared("reports/sums/points.json", {})
    assert beyond(tmp_path, "reports/sums/points.json", here, again, text) == [
        "reports/sums/points.json, sums.weights.steps 3, seed 1: 3.0 here, 4.0 in the clone, 1 "
        "apart, allowed are 0 + 0 of the larger"
    ]
