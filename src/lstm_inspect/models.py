"""Load a model from a file, with the classes that it needs, and without running what is in it."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import h5py
import keras

from lstm_inspect.keras_2 import OBJECTS, kind_of, parts_of, translate

KINDS = (".keras", ".h5", ".hdf5")
"""Endings of the files that Keras writes whole models into."""


LAMBDA = "it holds a Lambda layer, whose code runs with --trust alone"


class _UnreadableError(ValueError):
    """Keras can't or mayn't read a file; the message is the reason, in one sentence."""


def custom_objects(modules: Sequence[str]) -> dict[str, Any]:
    """Import modules, from the current folder as well, and return what is theirs by name.

    These are their classes and functions, and the layers that they take from elsewhere.

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
        found |= {key: value for key, value in vars(module).items() if _is_own(value, module)}
    return found


def _is_own(value: Any, module: ModuleType) -> bool:
    """Tell whether a model may need something of a module: no ``tanh`` of another library."""
    if isinstance(value, type) and issubclass(value, keras.layers.Layer):
        return True
    package = module.__name__.partition(".")[0]
    return isinstance(value, type | FunctionType) and value.__module__.split(".")[0] == package


@contextmanager
def _readable(path: Path, *, trust: bool) -> Iterator[Path]:
    """Look at what an ``.h5`` file describes, and yield a file that Keras 3 can read.

    Raises:
        _UnreadableError: if it holds a Lambda that isn't trusted, which Keras before 3.11.3 runs
            unasked, or if it is of Keras 2 and Keras 3 can't make a model of it.
    """
    with h5py.File(path) as file:
        told, version = file.attrs.get("model_config"), str(file.attrs.get("keras_version", ""))
    if told is None:
        raise _UnreadableError("it holds weights alone; save the whole model with model.save")
    described = json.loads(told)
    if not trust and {"Lambda", "__lambda__"} & set(map(kind_of, parts_of(described))):
        raise _UnreadableError(LAMBDA)
    if not version.startswith("2."):
        yield path
        return
    try:
        translate(described)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copyfile(path, Path(folder, path.name)))
            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = json.dumps(described)
            yield copy
    except Exception as error:
        if _MISSING.search(str(error)):
            raise
        raise _UnreadableError(
            f"Keras 3 can't make a model of this file of Keras 2 ({_short(error)}); build the "
            "model with Keras 3 and load its weights from this file"
        ) from error


def load_model(path: Path, *, modules: Sequence[str] = (), trust: bool = False) -> keras.Model:
    """Return the model that a file holds.

    Args:
        path: A ``.keras`` file, or an ``.h5`` file of Keras 2 or 3.
        modules: Modules with classes and functions that the model needs.
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
    known = custom_objects(modules) | OBJECTS
    readable = nullcontext(path) if path.suffix == ".keras" else _readable(path, trust=trust)
    try:
        # Of an .h5 file, Keras hands what it is given on to no layer inside of another.
        with warnings.catch_warnings(), keras.saving.custom_object_scope(known), readable as file:
            warnings.simplefilter("ignore")  # of an optimizer that is left out
            model = keras.saving.load_model(file, compile=False, safe_mode=not trust)
    except Exception as error:  # Keras raises errors of many kinds
        raise ValueError(f"{path}: {_reason(str(error), error)}") from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"{path}: it holds a {type(model).__name__}, and no model")
    return model


_MISSING = re.compile(
    r"(?:locate (?:class|function)|unknown (?:layer|object)):? '?(\w+)"
    r"|could not interpret .*?'class_name': '(\w+)'",
    re.IGNORECASE,
)
"""What Keras says of a class or a function that it doesn't know."""


def _reason(text: str, error: Exception) -> str:
    """Return why Keras can't load a file, in one sentence, and what to do."""
    lowered = text.lower()
    if isinstance(error, _UnreadableError):
        return text
    if "lambda" in lowered and ("unsafe" in lowered or "safe_mode" in lowered):
        return LAMBDA
    if named := _MISSING.search(text):
        name = named[1] or named[2]
        if name == "__lambda__":
            return LAMBDA
        return f"it needs {name!r}, a class or function of one's own; name its module with --import"
    return f"Keras can't load it ({_short(error)})"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
