"""Write the page, or show it in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from lstm_explorer.blocks import Blocks
from lstm_explorer.content import Given, fill
from lstm_explorer.shell import NOTEBOOK_FRAME, in_frame, whole_page, write_page
from lstm_states.store.store import open_traces

if TYPE_CHECKING:
    import keras

Traces = xr.DataTree | str | Path

_BODY = """<div id="explorer"></div>
<noscript>This page needs JavaScript to show the states.</noscript>
<script type="application/json" id="header">{header}</script>
<script type="application/octet-stream" id="values">{values}</script>
<script>{script}</script>"""


@dataclass(frozen=True)
class Explorer:
    """A page as text; a notebook shows it in a frame."""

    page: str = field(repr=False)

    def _repr_html_(self) -> str:
        return in_frame(self.page, title="Explorer of states", attributes=NOTEBOOK_FRAME)


def explore(
    traces: Traces | Mapping[Any, Traces],
    *,
    inputs: Any = None,
    tokens: Sequence[str] | None = None,
    labels: Any = None,
    targets: Any = None,
    names: Sequence[str] | None = None,
    layers: Sequence[str] | str | None = None,
    quantities: Sequence[str] | str | None = None,
    model: keras.Model | None = None,
    title: str | None = None,
) -> Explorer:
    """Show the states of recurrent layers in a notebook, to look around in them.

    The page shows each chosen state and gate as a heat map, units by steps, below the inputs, the
    outputs that the tree holds, if they are vectors or numbers, and the targets. Choose a sample,
    point at a step, zoom; drag over steps to find other places where the same units are on.

    Args:
        traces: What ``record_traces`` returned, or the path of a store that it wrote. To compare
            several of the same samples, such as before and after an edit or by epoch
            (``RecordTraces(...).traces``): a dict of them, by what tells them apart.
        inputs: What the model was given: numbers ``(sample, time, feature)`` or ``(sample, time)``;
            an ``xarray.DataArray`` names its features. NaN and infinity show as no value. With
            ``tokens``, whole numbers ``(sample, time)``.
        tokens: The words that ``inputs`` counts from 0 on: the vocabulary, or categories.
        labels: The class of each sample, ``(sample,)``: texts or numbers.
        targets: What the outputs should be, ``(sample, time, feature)`` or ``(sample, feature)``;
            with two axes, the second is that of the outputs.
        names: What each sample is called; None is its label in the traces.
        layers: The addresses of the layers to show; None is all.
        quantities: What to show of each; None is its states, and the gate that keeps them.
        model: The model that was recorded; a unit's page then tells its strongest connections.
        title: Of the page; None is the model's name.

    Returns:
        What a notebook shows as a page of 800 pixels. Its attribute ``page`` is the HTML.

    Raises:
        ValueError: if an argument doesn't fit the traces; it says which. A page holds 4 million
            bytes, one for each value of a state or gate, two of several versions. Of more samples
            than fit, evenly spaced ones are shown, and the page says so; of more in one sample, it
            raises.

    Example:
        >>> explore(record_traces(model, x), inputs=x, labels=y)
    """
    trees = _opened(traces)
    if tokens is not None and inputs is None:
        raise ValueError("tokens needs inputs, whole numbers (sample, time) that count its words")
    blocks = Blocks()
    given = Given(inputs, tokens, labels, targets, names, model)
    header = fill(trees, given, blocks, layers=layers, quantities=quantities, title=title)
    own = resources.files("lstm_explorer")
    body = _BODY.format(
        # Within a script, only "<" could end it.
        header=json.dumps(header, allow_nan=False).replace("<", "\\u003c"),
        values=blocks.text(),
        script=own.joinpath("page.js").read_text(encoding="utf-8"),
    )
    style = own.joinpath("page.css").read_text(encoding="utf-8")
    return Explorer(whole_page(title=header["title"], style=style, body=body))


def _opened(traces: Any) -> dict[str, xr.DataTree]:
    """Return the trees to show by name; one alone has the empty name."""
    one = isinstance(traces, str | Path | xr.DataTree)  # a tree is a mapping as well
    versions = {"": traces} if one else traces
    if not isinstance(versions, Mapping) or isinstance(versions, xr.Dataset) or not versions:
        raise ValueError(
            f"traces is a {type(traces).__name__}; it must be a tree of record_traces, the path of "
            "its store, or a dict of such that isn't empty"
        )
    trees = {}
    for name, own in versions.items():
        if not isinstance(own, str | Path | xr.DataTree):
            raise ValueError(
                f"traces[{name!r}] is a {type(own).__name__}; it must be a tree of "
                "record_traces or the path of its store"
            )
        if str(name) in trees:
            raise ValueError(f"traces has two versions that are called {str(name)!r}")
        trees[str(name)] = own if isinstance(own, xr.DataTree) else open_traces(own)
    return trees


def write_explorer(traces: Traces | Mapping[Any, Traces], path: str | Path, **options: Any) -> Path:
    """Write the page that :func:`explore` shows into a file that opens anywhere, offline.

    The same traces give the same bytes.

    Args:
        traces: As for :func:`explore`.
        path: The file, such as ``states.html``; it is replaced.
        options: As for :func:`explore`.

    Returns:
        The path.

    Example:
        >>> write_explorer("states.zarr", "states.html", inputs=x, labels=y)
    """
    return write_page(explore(traces, **options).page, path)
