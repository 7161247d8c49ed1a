"""The model registry: which run's model is the champion of its notebook."""

from __future__ import annotations

from mlflow.entities import RunData

from notebook_pipeline.mlflow_runs.store import Client
from notebook_pipeline.project import Champion

CHAMPION = "champion"
"""Alias of the preferred version of a registered model."""


def registered_name(client: Client, notebook: str) -> str:
    """Return the name under which the models of a notebook are registered."""
    return f"{client.name}-{notebook}"


def register_champion(client: Client, run_id: str, notebook: str, rule: Champion) -> None:
    """Register the run's model if it logged one; the best one gets the alias ``champion``.

    The rule decides which. A champion that can't be compared makes way.
    """
    outputs = client.get_run(run_id).outputs
    if outputs is None or not outputs.model_outputs:
        return
    name = registered_name(client, notebook)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    model = client.get_logged_model(outputs.model_outputs[0].model_id)
    made = client.create_model_version(name, model.model_uri, run_id, model_id=model.model_id)
    aliases = client.get_registered_model(name).aliases
    if CHAMPION in aliases:
        champion = client.get_model_version_by_alias(name, CHAMPION).run_id
        if champion and _is_better(
            client.get_run(champion).data, client.get_run(run_id).data, rule
        ):
            return
    client.set_registered_model_alias(name, CHAMPION, made.version)


def _is_better(champion: RunData, challenger: RunData, rule: Champion) -> bool:
    """Whether ``champion`` can be compared and its metric is no higher."""
    same = all(champion.params[key] == challenger.params[key] for key in rule.same)
    return same and champion.metrics[rule.metric] <= challenger.metrics[rule.metric]
