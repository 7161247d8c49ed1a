"""What sweeps over the documented configurations are judged by, and what their pages say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.swept.settings import UNREAD, StackSize
from notebook_pipeline.project import Metric, Swept


def _baselines(root: Path, parameters: Mapping[str, Any]) -> dict[str, float]:
    """Return what simpler models score on the test part of `variable_length`.

    They are of its report; on other data, or with another target, they say nothing.
    """
    # Here: each start of a command imports this module.
    from notebook_pipeline.parameters.file import load_parameters
    from notebook_pipeline.stages.outputs import find_output

    own = load_parameters(root).variable_length
    if any(parameters.get(name) != getattr(own, name) for name in ("dataset", "target", "loss")):
        return {}
    path = find_output("variable_length", "metrics.json", root)
    kept = json.loads(path.read_text(encoding="utf-8"))["baselines"]
    return {name.replace("_", " "): values["accuracy"] for name, values in kept.items()}


SWEPT = {
    "variable_length": Swept(
        "experiments.swept.configurations:train_variable_length",
        chosen_by=Metric("loss", "loss on the validation part", lower_is_better=True),
        score=Metric("score", "accuracy on the test part"),
        size=Metric("weights", "number of weights"),
        shorthand=lambda: StackSize,
        unread=tuple(UNREAD),
        baselines=_baselines,
    )
}
