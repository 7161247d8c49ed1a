import math

import pytest

from notebook_pipeline.conditions import check_condition, excess, satisfies, span


@pytest.mark.parametrize(
    "text", ["", "1", "> ", ">1", "= 1", "> one", "> 1 < 2", "> 1e+3", "> nan"]
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="is no condition; write one such as"):
        check_condition(text)


@pytest.mark.parametrize(
    ("value", "condition", "beyond"),
    [(0.5, "> 0.25", 0), (0.5, "<= 0.5", 0), (0.5, "< 0.25", 0.25), (-2, ">= 1", 3), (1, "> 1", 0),
     (math.inf, "< 2", math.inf)],
)  # fmt: skip
def test_how_far_a_value_is_beyond_a_limit(value, condition, beyond):
    assert excess(value, condition) == beyond
    assert satisfies(value, condition) is (beyond == 0 and value != 1)


def test_nan_satisfies_nothing_and_is_beyond_by_no_number():
    assert not any(satisfies(math.nan, f"{sign} 1") for sign in ("<", ">", "<=", ">="))
    assert math.isnan(excess(math.nan, "< 1"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.0, 0.0], "0"),
        ([1.0], "1"),
        ([0.123, 0.456], "0.12 to 0.46"),
        ([0.0, 3.2e-16], "0 to 3e-16"),
        ([-1234.0, 0.001], "-1e3 to 1e-3"),
        ([1.0, math.inf], "1 to inf"),
        ([math.nan, 2.0, 1.0], "1 to 2, no number in 1 of 3"),
        ([math.nan], "no number"),
    ],
)
def test_a_span_of_values(values, text):
    assert span(values) == text
