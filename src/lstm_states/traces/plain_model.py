"""A model as plain data, which another process makes it from again."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import Any

import keras
import numpy as np

from lstm_states.traces.tree import describe_model


def plain_model(model: keras.Model) -> dict[str, Any]:
    """Return the config of a model, its weights, and where the classes are that aren't Keras's.

    Raises:
        ValueError: if Keras has no config of the model, or a class is in no module to import.
    """
    try:
        config = keras.saving.serialize_keras_object(model)
    except Exception as error:  # what a get_config raises
        raise ValueError(_refusal(model.name, error)) from error
    config.pop("compile_config", None)  # a recording needs no loss and no optimizer
    foreign = {type(layer) for layer in model._flatten_layers()}
    foreign = {kind for kind in foreign if not kind.__module__.startswith("keras.")}
    for kind in foreign:
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            raise ValueError(
                f"model {model.name!r} has a {kind.__qualname__} of {kind.__module__}, which "
                "workers can't import: put the class into a module that they find, or record "
                "without client"
            )
    return {
        "name": model.name,
        "config": json.dumps(config),
        "weights": [np.asarray(weight) for weight in model.weights],
        "classes": sorted(
            (keras.saving.get_registered_name(kind), kind.__module__, kind.__qualname__)
            for kind in foreign
        ),
        "about": describe_model(model),
    }


def rebuild_model(plain: dict[str, Any]) -> keras.Model:
    """Return the model that :func:`plain_model` described.

    Raises:
        ValueError: if it can't be made again here; the message names the class or the difference.
    """
    name = plain["name"]
    try:
        known = {
            registered: getattr(import_module(module), kind)
            for registered, module, kind in plain["classes"]
        }
        config = json.loads(plain["config"])
        model = keras.saving.deserialize_keras_object(config, custom_objects=known)
        model.set_weights(plain["weights"])
    except Exception as error:  # what the code of a class raises
        raise ValueError(_refusal(name, error)) from error
    about = describe_model(model)
    for fact, value in plain["about"].items():
        if about[fact] != value:
            raise ValueError(
                f"model {name!r} made again by a worker has {fact} {about[fact]!r}, not {value!r}: "
                "workers need the versions of this process, and a config that holds all of the "
                "model"
            )
    return model


def _refusal(name: str, error: Exception) -> str:
    # Keras repeats the whole config for each object that one is in.
    missing = re.search(r"Could not locate \w+ '[^']*'", str(error))
    why = missing.group() if missing else f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return (
        f"model {name!r} can't be made again by workers: {why}. Its classes and functions must "
        "be registered (keras.saving.register_keras_serializable) in modules that workers import, "
        "and their get_config complete; or record without client"
    )
