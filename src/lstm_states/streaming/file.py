"""Save a streaming session to a file that holds only numbers and text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from lstm_states.arrays import write_arrays
from lstm_states.kernels.cells import kind_of, units_of

FORMAT = "lstm-states session 1"

Array = np.ndarray


@dataclass(frozen=True)
class Saved:
    """Where a session is, and of which model.

    ``cells`` describe the recurrent cells from the bottom up, ``states`` and ``started (sample,)``
    are theirs in the same order, each state ``(sample, unit)``.
    """

    samples: int
    steps: int
    weights_sha256: str
    cells: list[dict[str, Any]]
    states: list[tuple[Array, ...]]
    started: list[Array]


def describe_cells(cells: Mapping[str, keras.Layer]) -> list[dict[str, Any]]:
    """Return of each cell, given by address, what decides how it goes on from a state."""
    convolution = ("kernel_size", "strides", "padding", "dilation_rate", "data_format")
    options = ("activation", "recurrent_activation", "reset_after", *convolution)
    return [
        {"address": address, "cell": kind_of(cell).name, "units": units_of(cell)}
        | {name: _text(getattr(cell, name)) for name in options if hasattr(cell, name)}
        for address, cell in cells.items()
    ]


def check_same_model(
    saved: Saved, model: str, cells: list[dict[str, Any]], weights_sha256: str, what: str
) -> None:
    """Refuse a model on which ``what`` can't go on.

    Args:
        saved: Where the session is.
        model: The model's name.
        cells: What :func:`describe_cells` says of it.
        weights_sha256: Of its weights.
        what: The session, in words.

    Raises:
        ValueError: saying what differs.
    """
    if len(saved.cells) != len(cells):
        there, here = ([cell["address"] for cell in part] for part in (saved.cells, cells))
        raise ValueError(f"{what} has the recurrent cells {there}, but model {model!r} has {here}")
    for before, now in zip(saved.cells, cells, strict=True):
        for name in sorted((before.keys() | now.keys()) - {"address"}):
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"{what} was at cell {before['address']!r} with {name} {before.get(name)!r}, "
                    f"but {now['address']!r} of model {model!r} has {now.get(name)!r}"
                )
    if saved.weights_sha256 != weights_sha256:
        raise ValueError(
            f"{what} belongs to weights with SHA-256 {saved.weights_sha256[:12]}..., but those of "
            f"model {model!r} have {weights_sha256[:12]}...; load the weights it was made with"
        )


def write_session(path: Path, saved: Saved) -> None:
    """Write ``saved`` to ``path``, in the place of an older file once it is complete."""
    text = {
        "format": FORMAT,
        "samples": saved.samples,
        "steps": saved.steps,
        "weights_sha256": saved.weights_sha256,
        "cells": [
            {**cell, "states": len(states)}
            for cell, states in zip(saved.cells, saved.states, strict=True)
        ],
    }
    arrays = {"session": np.array(json.dumps(text))}
    for number, (states, started) in enumerate(zip(saved.states, saved.started, strict=True)):
        arrays[f"started_{number}"] = started
        arrays |= {f"state_{number}_{place}": state for place, state in enumerate(states)}
    write_arrays(path, arrays)


def read_session(path: Path) -> Saved:
    """Read what :func:`write_session` wrote.

    Raises:
        FileNotFoundError: if there is no file at ``path``.
        ValueError: if it isn't a session.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no session at {path}; StreamingSession.save writes one")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            text = json.loads(str(arrays["session"]))
            if text["format"] != FORMAT:
                raise ValueError(f"its format is {text['format']!r}, not {FORMAT!r}")
            counts = [cell.pop("states") for cell in text["cells"]]
            return Saved(
                samples=int(text["samples"]),
                steps=int(text["steps"]),
                weights_sha256=str(text["weights_sha256"]),
                cells=text["cells"],
                states=[
                    tuple(arrays[f"state_{number}_{place}"] for place in range(count))
                    for number, count in enumerate(counts)
                ],
                started=[arrays[f"started_{number}"].astype(bool) for number in range(len(counts))],
            )
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} isn't a readable session: {error}") from error


def _text(option: Any) -> Any:
    return option if isinstance(option, bool) else getattr(option, "__name__", str(option))
