"""Put what Keras 2 wrote of a model into the words of Keras 3, which load it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

TF_OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
"""What Keras 2 made of operations on tensors, such as ``y[:, -1]``; Keras 3 has no such layers."""

RECURRENT = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D",
             "ConvLSTM3D")  # fmt: skip

MODELS = ("Sequential", "Functional", "Model")


def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Return what ``hard_sigmoid`` was before Keras 3, whose own is another function."""
    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


OBJECTS = {hard_sigmoid_of_keras_2.__name__: hard_sigmoid_of_keras_2}
"""What a translated description needs beside Keras."""


def kind_of(part: dict[str, Any]) -> str:
    """Return the class of an object that is described, without its package."""
    return str(part["class_name"]).rpartition(">")[2]


def parts_of(described: Any) -> Iterator[dict[str, Any]]:
    """Yield each object that a description holds, at any depth."""
    if isinstance(described, list):
        for part in described:
            yield from parts_of(part)
    elif isinstance(described, dict):
        if "class_name" in described and isinstance(described.get("config"), dict):
            yield described
        for part in described.values():
            yield from parts_of(part)


def translate(described: Any) -> None:
    """Change a description of a model of Keras 2 to one that Keras 3 reads.

    Raises:
        ValueError: naming the layer for which Keras 3 has no words.
    """
    parts = list(parts_of(described))
    for part in parts:
        config, kind = part["config"], kind_of(part)
        if kind in TF_OPERATIONS or config.pop("time_major", False):
            what = kind if kind in TF_OPERATIONS else "time_major=True"
            raise ValueError(f"layer {config.get('name')!r} is of Keras 2 alone ({what})")
    for part in parts:
        config = part["config"]
        for key, value in config.items():
            if key.endswith("activation") and value == "hard_sigmoid":
                name = hard_sigmoid_of_keras_2.__name__
                config[key] = {"module": "builtins", "class_name": "function", "config": name}
        inner = [config.get(key) for key in ("layer", "backward_layer", "cell")]
        for one in [*inner, *config.get("cells", [])]:  # before 2.12 without their module
            if isinstance(one, dict) and hasattr(keras.layers, kind_of(one)):
                one.setdefault("module", "keras.layers")
        if "output_layers" in config:
            _translate_graph(config)
        elif kind_of(part) == "Sequential" and kind_of(config["layers"][0]) == "InputLayer":
            for layer in config["layers"][1:]:  # the shape is told twice
                layer["config"].pop("batch_input_shape", None)


def _translate_graph(config: dict[str, Any]) -> None:
    """Change which calls a graph connects, and how."""
    kinds = {layer["name"]: kind_of(layer) for layer in config["layers"]}
    for layer in config["layers"]:
        for place, call in enumerate(layer["inbound_nodes"]):
            read = list(_places(call))
            for tensor in read:
                # Keras 2 counts the making of a model as its first call.
                if kinds.get(tensor[0]) in MODELS:
                    tensor[1] = max(tensor[1] - 1, 0)
            if kind_of(layer) in RECURRENT and len(read) > 1:
                first, *states = map(_tensor, read)
                options = {"initial_state": states, **read[0][3]}
                layer["inbound_nodes"][place] = {"args": [first], "kwargs": options}
    for tensor in _places(config["output_layers"]):
        if kinds.get(tensor[0]) == "Sequential":  # Keras 3 counts for the others itself
            tensor[1] = max(tensor[1] - 1, 0)


def _places(nested: Any) -> Iterator[list[Any]]:
    """Yield each tensor, which is the name of a layer, the number of a call, and that of an output.

    A single one may stand by itself, or in a list.
    """
    if isinstance(nested, list) and nested and isinstance(nested[0], str):
        yield nested
    elif isinstance(nested, list | dict):
        for part in nested.values() if isinstance(nested, dict) else nested:
            yield from _places(part)


def _tensor(place: list[Any]) -> dict[str, Any]:
    about = {"shape": [], "dtype": "float32", "keras_history": place[:3]}
    return {"class_name": "__keras_tensor__", "config": about}
