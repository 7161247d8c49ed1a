"""The stacks that configurations trained, with their data."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from lstm_states.builders import (
    build_intermediate_outputs,
    build_stacked,
    build_variable_length,
)
from lstm_states.config import load_params, project_root
from lstm_states.datasets import load_sequences, load_windows
from lstm_states.schema import PARTS
from lstm_states.trials.stack import make_models


def load_trained(
    configuration: str, *, samples: int, seeds: Sequence[int]
) -> tuple[dict[str, keras.Model], np.ndarray]:
    """Return a configuration's stack as it was trained and with random weights, and its data.

    Args:
        configuration: ``stacked``, ``intermediate_outputs`` or ``variable_length``, with the values
            that params.yaml holds.
        samples: Windows or sequences, spread evenly over the test part.
        seeds: One stack with random weights for each.

    Returns:
        The stacks by name, as :func:`make_models` returns them, and ``x (sample, time, feature)``,
        all in double precision.

    Raises:
        DataError: if the processed data isn't there.
        FileNotFoundError: if the configuration has not been trained.
    """
    root, settings = project_root(), getattr(load_params(), configuration)
    path = root / "data/processed" / f"{settings.dataset}.zarr"
    options = {name: getattr(settings, name) for name in ("units", "head_units", "head_activation")}
    if configuration == "variable_length":
        options["mask_value"] = settings.mask_value
        data = load_sequences(path, target=settings.target, mask_value=settings.mask_value)
    else:
        center = getattr(settings, "center", False)
        data = load_windows(path, target=settings.target, window=settings.window, center=center)
    test = data["x"].values[data["part"].values == PARTS.index("test")]
    x = test[np.linspace(0, len(test) - 1, samples).astype(int)].astype(np.float64)

    def build() -> keras.Model:
        if configuration == "variable_length":
            return build_variable_length(x.shape[-1], **options)
        windowed = {"stacked": build_stacked, "intermediate_outputs": build_intermediate_outputs}
        return windowed[configuration](*x.shape[1:], **options)

    weights = root / "reports" / configuration / "model/model.weights.h5"
    return make_models(build, weights, seeds), x
