"""The registry of models: which run's model is the champion of its configuration."""

from __future__ import annotations

import mlflow
from mlflow.entities import RunData

from lstm_states.tracking.store import EXPERIMENT

CHAMPION = "champion"
"""Alias of the preferred version of a registered model."""


def registered_name(configuration: str) -> str:
    """Return the name under which the models of a configuration are registered."""
    return f"{EXPERIMENT}-{configuration}"


def register_champion(client: mlflow.MlflowClient, run_id: str, configuration: str) -> None:
    """Register the run's model; the alias ``champion`` goes to the one with the least kept loss.

    The validation loss decides, so the test part has no say in which model is preferred. A champion
    of other data, another target or another loss can't be compared and makes way.
    """
    name = registered_name(configuration)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    outputs = client.get_run(run_id).outputs
    if outputs is None or not outputs.model_outputs:
        raise LookupError(f"run {run_id} logged no model to register")
    model = client.get_logged_model(outputs.model_outputs[0].model_id)
    made = client.create_model_version(name, model.model_uri, run_id, model_id=model.model_id)
    aliases = client.get_registered_model(name).aliases
    if CHAMPION in aliases:
        champion = client.get_model_version_by_alias(name, CHAMPION).run_id
        if champion and _is_better(client.get_run(champion).data, client.get_run(run_id).data):
            return
    client.set_registered_model_alias(name, CHAMPION, made.version)


def _is_better(champion: RunData, challenger: RunData) -> bool:
    """Whether ``champion`` had the same task and a validation loss that is no higher."""
    same = all(
        champion.params[key] == challenger.params[key] for key in ("dataset", "target", "loss")
    )
    loss = "validation.kept_loss"
    return same and champion.metrics[loss] <= challenger.metrics[loss]
