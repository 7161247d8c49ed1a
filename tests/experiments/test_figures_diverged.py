"""What a training that diverged leaves, NaN, infinity and 0 alone, still has its figures."""

import numpy as np
import pytest
import xarray as xr

from experiments.claims.figure import plot_rule
from experiments.depth.figures import plot_fading
from experiments.forecasting.figures import plot_learning_curves, plot_results
from experiments.masking.figures import plot_encodings
from experiments.memory.figures import plot_errors, plot_recall, plot_slopes_by_part
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
    drawn(plot_recall(sweep))
    slopes = xr.Dataset({"slope": lost(part=1, model=1, lag=3)})
    kept = slopes.isel(part=0, lag=0).rename(slope="left")
    kept["left"].attrs["long_name"] = "Left"
    drawn(plot_slopes_by_part({"a": slopes}, kept, "left"))
    errors = xr.Dataset({"error": lost(predictor=1, length=2, model=1)})
    errors = errors.assign_coords(predictor=["do_nothing"], length=[20, 50])
    errors = errors.assign(whole=("length", [True, True]))
    drawn(plot_errors(errors, labels={"do_nothing": "always 1"}, baselines=[]))
    fading = xr.Dataset({"distance": lost(model=1, layer=2, step=4)})
    scales = xr.Dataset({"scale_layer_1": lost(model=1), "scale_layer_2": lost(model=1)})
    drawn(plot_fading({"a": fading.assign_coords(layer=[1, 2])}, scales, "scale"))


def test_training_and_result(lost):
    history = xr.Dataset({"loss": lost(seed=1, epoch=2), "val_loss": lost(seed=1, epoch=2)}).assign(
        kept_epoch=("seed", [1])
    )
    drawn(plot_learning_curves(history, loss="mse"))
    names = ("score", "low", "high", "gain", "gain_low", "gain_high")
    columns = {name: lost(predictor=2) for name in names}
    results = xr.Dataset(columns | {"seed_score": lost(seed=1)}, attrs={"metric": "r2"})
    drawn(plot_results(results.assign_coords(predictor=["model", "mean"])))


def test_encodings(lost):
    errors = xr.Dataset({"test": lost(encoding=2, seed=1), "ridge": ("encoding", [1.0, 1.0])})
    errors = errors.assign_coords(encoding=["0", "masked"])
    zeros = xr.Dataset({"ratio": lost(model=1).assign_attrs(long_name="Ratio")})
    drawn(plot_encodings(errors, errors.isel(encoding=[0]), zeros))
