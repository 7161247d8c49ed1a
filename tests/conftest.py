import ast
import os
from functools import lru_cache
from pathlib import Path

# Before TensorFlow starts: no device chatter, and nothing of ours talks to the network.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")
# A `make` that a test starts is nobody's child, though `make test` started the tests.
os.environ.pop("MAKEFLAGS", None)
os.environ.pop("MAKELEVEL", None)
os.environ.pop("MFLAGS", None)

import numpy as np
import pytest
from hypothesis import Phase, settings
from xdist.scheduler import LoadScopeScheduling

from tests.leaks import nothing_leaks, own_store
from tests.repository import ROOT

# A few examples, the same each time, in `make test`; a thousand new ones in `make nightly`,
# which then takes its time to make a failing one small.
settings.register_profile(
    "fast", max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate]
)
settings.register_profile("nightly", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("fast")

CHROMIUM = Path("/usr/bin/chromium")


class Scheduling(LoadScopeScheduling):
    """Side by side, keep the tests of a file together, and all files that use the clone.

    xdist's own `--dist loadgroup` groups nothing: pytest 9 doesn't read the name that it sets.
    """

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return "the clone" if uses_the_clone(file) else file


@lru_cache
def uses_the_clone(file):
    """Whether a test or a fixture of a file asks for the fixture `clone`."""
    functions = [
        node
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and (node.name.startswith("test_") or "fixture" in map(_last_name, node.decorator_list))
    ]
    return any(argument.arg == "clone" for node in functions for argument in node.args.args)


def _last_name(decorator):
    """The last name of a decorator such as `pytest.fixture(scope="module")`."""
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    return named.attr if isinstance(named, ast.Attribute) else named.id


def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """Begin with the clone: it takes minutes to make, in which other tests run beside."""
    items.sort(key=lambda item: "clone" not in item.fixturenames)


@pytest.fixture(scope="module", autouse=True)
def nothing_leaks_from_a_module():
    with nothing_leaks():
        yield


@pytest.fixture(autouse=True)
def nothing_leaks_from_a_test(nothing_leaks_from_a_module):
    with nothing_leaks():
        yield


@pytest.fixture
def store_put_back():
    """A test that calls `mlflow_runs.connect` asks for it: a process has one store of MLflow."""
    with own_store():
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """A clone of the working tree with small parameters, its pipeline run from nothing.

    What its stages read is written down beside it.
    """
    from tests.clone import make_clone  # imports MLflow, which takes seconds

    clone = make_clone(tmp_path_factory.mktemp("clone") / "lstm-states")
    audit = clone.path.parent / "audit"
    audit.mkdir()
    clone.run("dvc", "repro", audit=audit)
    return clone


@pytest.fixture(scope="session")
def browser():
    """A Chromium; where there is none the test is skipped, but not in CI."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"no browser at {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    flags = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    with sync_playwright() as play:
        path = CHROMIUM if CHROMIUM.exists() else None
        browser = play.chromium.launch(
            executable_path=path, args=[*flags.split(), "--no-first-run", "--disable-sync"]
        )
        yield browser
        browser.close()


def shake(model, rng):
    """Give every weight a random value: fresh zero biases would hide what padding does."""
    model.set_weights([rng.normal(0, 0.4, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model
