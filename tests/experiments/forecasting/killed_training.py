"""Train in a process that can be killed; arguments: folder of backups, folder of results."""

import sys
from pathlib import Path

import keras
import numpy as np
import xarray as xr

from experiments.forecasting.training import fit_seeds, save_model
from experiments.shared.learning import make_deterministic

SEEDS = (6, 7)


def noise():
    """Random sequences, of which nothing can be learnt for the validation part."""
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "x": (("sample", "time", "feature"), rng.normal(0, 1, (24, 4, 2)).astype("float32")),
            "y": ("sample", rng.normal(0, 1, 24).astype("float32")),
            "part": ("sample", np.repeat([0, 1, 2], [12, 6, 6])),
        }
    )


def build(dropout=0.5, learning_rate=0.03):
    """A model that needs all that there is to keep: dropout's seed and Adam's moments."""
    layers = [keras.Input((4, 2)), keras.layers.LSTM(3, dropout=dropout), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(learning_rate), "mse")
    return model


def train(backup, build=build, **options):
    """Train two seeds; with patience the first stops after 3 epochs, the second never."""
    keras.backend.clear_session()  # layers are named as in a process of their own
    settings = {"seeds": SEEDS, "epochs": 7, "batch_size": 4, "patience": 2}
    return fit_seeds(build, noise(), **settings | options, backup=backup)


if __name__ == "__main__":
    make_deterministic()
    models, history = train(
        Path(sys.argv[1]), listeners=[lambda seed, epoch, _: print(seed, epoch, flush=True)]
    )
    for seed, model in zip(SEEDS, models, strict=True):
        save_model(model, Path(sys.argv[2]) / str(seed))
    history.to_netcdf(Path(sys.argv[2]) / "history.nc")
