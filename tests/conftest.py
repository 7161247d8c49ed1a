import os

# Before TensorFlow starts: no device chatter, and nothing of ours talks to the network.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")

import numpy as np
import pytest
from hypothesis import Phase, settings
from xdist.scheduler import LoadScopeScheduling

from tests.clone import Clone, make_clone

# A few examples, the same each time, in `make test`; thousands of new ones in `make nightly`,
# which then takes its time to make a failing one small.
settings.register_profile(
    "fast", max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate]
)
settings.register_profile("nightly", max_examples=3000, deadline=None, print_blob=True)
settings.load_profile("fast")


class Scheduling(LoadScopeScheduling):
    """Side by side, keep the tests of a file together, and all that share the clone."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        has_its_own = file.endswith("/test_interrupted.py")
        return "pipeline" if "/pipeline/" in file and not has_its_own else file


def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Clone:
    """A clone of the working tree with small parameters, its pipeline run from nothing.

    What its stages read is written down beside it.
    """
    clone = make_clone(tmp_path_factory.mktemp("clone") / "lstm-states")
    audit = clone.path.parent / "audit"
    audit.mkdir()
    clone.run("dvc", "repro", audit=audit)
    return clone


def shake(model, rng):
    """Give every weight a random value: fresh zero biases would hide what padding does."""
    model.set_weights([rng.normal(0, 0.4, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model
