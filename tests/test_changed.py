"""`make check` runs quick tests of whatever has changed."""

import pytest

from tests.changed import PLACES, quick_tests
from tests.repository import ROOT

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.py"))


def test_each_module_has_a_quick_test_of_its_own_package():
    for path in MODULES:
        found = quick_tests(path)
        assert found, path
        assert all((ROOT / test).is_file() for test in found), path
        package = path.split("/")[1]
        assert all(test.startswith(f"tests/{package}/") for test in found), (path, found)


def test_no_place_and_no_test_of_the_table_is_gone():
    for place, tests in PLACES.items():
        assert (ROOT / place).exists(), place
        assert quick_tests(place), place
        assert all((ROOT / "tests" / test).exists() for test in tests), place


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("src/notebook_pipeline/reports/readable.py", ["notebook_pipeline/test_reports.py"]),
        ("src/notebook_pipeline/reports/canonical.py", ["notebook_pipeline/test_canonical.py"]),
        (
            "src/notebook_pipeline/reports/templates/report/style.css",
            ["notebook_pipeline/test_reports.py"],
        ),
        (
            "src/notebook_pipeline/run/runner.py",
            ["notebook_pipeline/test_contract.py", "notebook_pipeline/test_faults.py"],
        ),
        ("src/lstm_states/traces/join.py", ["lstm_states/traces/test_join.py"]),
        ("src/lstm_states/traces/tree.py", ["lstm_states/traces/test_record.py"]),
        (
            "src/experiments/index/index.html.j2",
            ["experiments/index/test_page.py"],
        ),
        ("bench/torch.lock", ["test_bench.py"]),
        ("notebooks/01_stacked.ipynb", ["experiments/test_notebooks.py"]),
        ("tests/test_readme.py", ["test_readme.py"]),
        ("tests/test_gone.py", []),
        ("LICENSE", []),
    ],
)
def test_the_nearest_tests_count(path, tests):
    assert quick_tests(path) == [f"tests/{test}" for test in tests]
