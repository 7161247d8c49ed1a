"""What a training that diverged leaves, NaN, infinity and 0 alone, still has its figures."""

import numpy as np
import pytest
import xarray as xr

from experiments.claims.figure import plot_rule
from experiments.depth.figures import plot_fading
from experiments.forecasting.figures import plot_learning_curves, plot_results
from experiments.masking.figures import plot_encodings
from experiments.memory.figures import plot_errors, plot_recall, plot_slopes
from experiments.shared.figures import plot_evidence, plot_seeds

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # means of nothing


@pytest.fixture(params=[np.nan, np.inf, 0.0], ids=["nan", "inf", "zero"])
def lost(request):
    """A function that makes arrays of nothing but such values."""

    def make(**sizes):
        values = np.full(tuple(sizes.values()), request.param)
        coords = {name: np.arange(size) for name, size in sizes.items()}
        return xr.DataArray(values, dims=tuple(sizes), coords=coords)

    return make


def drawn(figure):
    figure.draw_without_rendering()


def test_evidence(lost):
    values = lost(model=1).assign_coords(model=["trained"])
    evidence = xr.Dataset({"move": values.assign_attrs(long_name="Move", units="1")})
    drawn(plot_evidence(evidence, title="t"))
    drawn(plot_seeds(evidence, title="t", xlabel="x"))
    drawn(plot_seeds(evidence, title="t", xlabel="x", log=True))
    test = {"holds": "<= 0", "fails": None, "when": "", "says": "Move",
            "values": {"trained": float(values[0])}}  # fmt: skip
    drawn(plot_rule([test], title="t"))


def test_memory(lost):
    sizes = {"forget_bias": 2, "model": 1, "layer": 1}
    sweep = xr.Dataset(
        {"change": lost(**sizes, step=3), "half_life": lost(**sizes), "predicted": lost(**sizes)}
    )
    drawn(plot_recall(sweep, title="t"))
    slopes = xr.Dataset({"slope": lost(part=1, model=1, lag=3)})
    drawn(plot_slopes({"a": slopes}, "part", title="t"))
    errors = xr.Dataset({"error": lost(predictor=1, length=2, model=1)})
    errors = errors.assign_coords(predictor=["gru"], length=[20, 50])
    drawn(plot_errors(errors, title="t", labels={"gru": "GRU"}, baselines=[]))
    fading = xr.Dataset({"distance": lost(model=1, layer=2, step=4)})
    drawn(plot_fading({"a": fading.assign_coords(layer=[1, 2])}, title="t"))


def test_training_and_result(lost):
    history = xr.Dataset({"loss": lost(seed=1, epoch=2), "val_loss": lost(seed=1, epoch=2)}).assign(
        kept_epoch=("seed", [1])
    )
    drawn(plot_learning_curves(history, loss="mse", title="t"))
    columns = {name: lost(predictor=2) for name in ("score", "low", "high")}
    results = xr.Dataset(columns | {"seed_score": lost(seed=1)}, attrs={"metric": "r2"})
    drawn(plot_results(results.assign_coords(predictor=["model", "mean"]), title="t"))


def test_encodings(lost):
    errors = xr.Dataset({"test": lost(encoding=2, seed=1), "ridge": ("encoding", [1.0, 1.0])})
    errors = errors.assign_coords(encoding=["0", "masked"])
    drawn(plot_encodings(errors, errors.isel(encoding=[0]), title="t"))
