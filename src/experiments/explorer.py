"""A page to explore the states that a documented configuration recorded."""

from __future__ import annotations

from pathlib import Path

from experiments.forecasting.configuration import load_configuration
from lstm_explorer import write_explorer


def write_states_explorer(name: str, root: Path) -> Path:
    """Write the page of a configuration beside its report, and return its path.

    Args:
        name: ``stacked``, ``intermediate_outputs`` or ``variable_length``.
        root: The repository, with the outputs of the configuration's stage.
    """
    configuration = load_configuration(name)
    chosen = configuration.spread(configuration.settings.trace_samples)
    samples = configuration.part("test").isel(sample=chosen)
    classes = configuration.task == "classes"
    folder = root / "reports" / name
    model = configuration.build(for_training=False)
    model.load_weights(folder / "model/model.weights.h5")
    return write_explorer(
        folder / "states.zarr",
        folder / "explorer.html",
        inputs=samples["x"],
        targets=None if classes else samples["y"],
        labels=samples["y"].values.astype(int) if classes else None,
        names=[f"test sample {place}" for place in chosen],
        model=model,
        title=f"States of {name}",
    )
