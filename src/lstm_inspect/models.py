"""Load a model from a file, with the classes that it needs, and without running what is in it."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

KINDS = (".keras", ".h5", ".hdf5")
"""Endings of the files that Keras writes whole models into."""


LAMBDA = "it holds a Lambda layer, whose code runs with --trust alone"


def _holds_lambda(path: Path) -> bool:
    """Whether an ``.h5`` file describes a Lambda: Keras before 3.11.3 runs it unasked."""
    # The description is one attribute, which HDF5 keeps in one piece and as it is.
    return re.search(rb'"class_name":\s*"(?:[^"]*>)?Lambda"', path.read_bytes()) is not None


def custom_objects(modules: Sequence[str]) -> dict[str, Any]:
    """Import modules, from the current folder as well, and return their layers by name.

    Raises:
        ValueError: naming the module that can't be imported.
    """
    found: dict[str, Any] = {}
    if modules and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in modules:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # the user's code
            raise ValueError(
                f"--import {name}: it can't be imported ({type(error).__name__}: {error})"
            ) from error
        found |= {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, keras.layers.Layer)
        }
    return found


def load_model(path: Path, *, modules: Sequence[str] = (), trust: bool = False) -> keras.Model:
    """Return the model that a file holds.

    Args:
        path: A ``.keras`` file, or an ``.h5`` file of Keras 2 or 3.
        modules: Modules with classes that the model needs.
        trust: Whether to let a Lambda in the file run its code.

    Raises:
        ValueError: naming the file and what is wrong with it.
    """
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    if path.suffix not in KINDS or path.is_dir():
        raise ValueError(f"{path}: it must be a model of Keras, one of {', '.join(KINDS)}")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: it is no .keras file (a zip archive), or it is damaged")
    if path.suffix != ".keras" and not trust and _holds_lambda(path):
        raise ValueError(f"{path}: {LAMBDA}")
    known = custom_objects(modules)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an optimizer that is left out
            model = keras.saving.load_model(
                path, custom_objects=known, compile=False, safe_mode=not trust
            )
    except Exception as error:  # Keras raises errors of many kinds
        raise ValueError(f"{path}: {_reason(str(error), error)}") from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"{path}: it holds a {type(model).__name__}, and no model")
    return model


def _reason(text: str, error: Exception) -> str:
    """Return why Keras can't load a file, in one sentence, and what to do."""
    lowered = text.lower()
    if "lambda" in lowered and ("unsafe" in lowered or "safe_mode" in lowered):
        return LAMBDA
    if "could not locate" in lowered or "unknown layer" in lowered or "unknown object" in lowered:
        pattern = r"(?:locate (?:class|function)|unknown (?:layer|object)):? '?(\w+)"
        named = re.search(pattern, text, re.IGNORECASE)
        name = f" {named[1]!r}" if named else ""
        return f"it needs a class{name} of one's own; name its module with --import"
    if "no model config found" in lowered or "model_config" in lowered:
        return "it holds weights alone; save the whole model with model.save"
    return f"Keras can't load it ({type(error).__name__}: {' '.join(text.split())[:300]})"
