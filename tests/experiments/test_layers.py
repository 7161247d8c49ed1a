"""An experiment imports no other one; pyproject.toml knows those alone that came with it."""

import grimp
import pytest

from experiments.parameters import SETTINGS

GRAPH = grimp.build_graph("experiments")
BELOW = {"forecasting", "shared", "data"}
NAMES = sorted({module.__name__.split(".")[1] for module in SETTINGS} - BELOW)


def others_used(name):
    """The folders of ``experiments`` that one of them imports from, those below it apart."""
    modules = {f"experiments.{name}", *GRAPH.find_descendants(f"experiments.{name}")}
    used = {u for m in modules for u in GRAPH.find_modules_directly_imported_by(m)}
    return {u.split(".")[1] for u in used} - BELOW - {name}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_imports_no_other(name):
    assert others_used(name) == set()


def test_all_experiments_are_looked_at():
    assert {"depth", "memory"} <= set(NAMES)


def test_one_that_does_is_found():
    assert others_used("project") >= {"claims", "index"}
