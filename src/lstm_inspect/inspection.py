"""Inspect a model over data, and keep what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from lstm_explorer.shell import NOTEBOOK_FRAME, in_frame, write_page
from lstm_inspect.evidence import gather
from lstm_inspect.findings import Finding
from lstm_inspect.given import check_given
from lstm_inspect.report import render
from lstm_inspect.rules import judge
from lstm_inspect.tables import layers_table, probes_table, sensitivity_table, states_table


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    Args:
        findings: The traps that the model is in, the most severe first.
        layers: What each layer is, whether a mask reaches it, and its residual.
        states: Half-lives, saturation and idle units of each layer.
        probes: What can be read of the labels; None without labels or without scikit-learn.
        sensitivity: How far outputs move if something changes that should not matter.
        page: The report, one HTML file.
    """

    findings: tuple[Finding, ...]
    layers: pd.DataFrame
    states: pd.DataFrame
    probes: pd.DataFrame | None
    sensitivity: pd.DataFrame
    page: str = field(repr=False)

    def write(self, path: str | Path) -> Path:
        """Write the report into a file, which is replaced; return its path."""
        return write_page(self.page, path)

    def _repr_html_(self) -> str:
        return in_frame(self.page, title="Report of an inspection", attributes=NOTEBOOK_FRAME)


def inspect_model(
    model: keras.Model,
    x: Any,
    *,
    labels: Any = None,
    tokens: Sequence[str] | None = None,
    mask: Any = None,
    title: str | None = None,
    samples: int | None = None,
) -> Inspection:
    """Record a model over data, and tell what its states do and which traps it is in.

    The model stays as it is: weights, live states and counters. All runs start from states of zero.
    The same model and data give the same bytes.

    Args:
        model: A built model with recurrent layers.
        x: Its inputs: an array ``(sample, time, ...)``, or a list or dict of arrays. Those
            that are inspected are run several times; a few dozen are enough.
        labels: The class or the number of each sample ``(sample,)`` or step ``(sample, time)``.
        tokens: The words that whole numbers in ``x`` count, from 0 on.
        mask: ``(sample, time)``, true where a step is real; passed to the model.
        title: Of the report; None is the model's name.
        samples: How many samples to inspect; None is all. They are evenly spaced, or the first
            batches of a model that is built for batches of one size.

    Returns:
        The findings, the tables, and the report.

    Raises:
        TypeError: if ``model`` is no model of the installed Keras.
        ValueError: if an argument doesn't fit the model; it says which and what would be right.

    Example:
        >>> inspect_model(model, x, labels=y, samples=64).write("report.html")
    """
    if samples is not None and (isinstance(samples, bool) or samples < 1):
        raise ValueError(f"samples is {samples!r}; it must be a whole number of at least 1")
    given = check_given(model, x, mask=mask, labels=labels, tokens=tokens)
    seen = gather(given, samples)
    findings = judge(seen)
    layers, states, sensitivity = layers_table(seen), states_table(seen), sensitivity_table(seen)
    probes, about_probes = probes_table(seen)
    page = render(
        seen,
        title=model.name if title is None else title,
        findings=findings,
        tables={"layers": layers, "states": states, "probes": probes, "sensitivity": sensitivity},
        about_probes=about_probes,
    )
    return Inspection(findings, layers, states, probes, sensitivity, page)
