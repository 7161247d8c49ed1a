"""Prepare a canonical notebook for readers: which parts to show, and how to name them.

The report template only arranges its input. All decisions are made here: which cells and outputs
to hide, the values of the parameters, and the captions of figures.
"""

from __future__ import annotations

import ast
import base64
import copy
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbconvert.preprocessors import TagRemovePreprocessor
from PIL import Image

from notebook_pipeline.parameters.cell import read_assignments
from notebook_pipeline.reports.markdown import markdown_html

if TYPE_CHECKING:
    from nbformat import NotebookNode

IMAGES = ("image/svg+xml", "image/png", "image/jpeg")
CSS_DPI = 96

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_ANSWER = re.compile(r"\*\*Answer\.\*\*\s+(.+?)(?:\n\n|\Z)", re.DOTALL)
_PLOT_REPR = re.compile(r"^\[?(<Axes|<Figure|<matplotlib\.|<seaborn\.|Text\(|array\(\[+<Axes)")
_AXES_TITLE = re.compile(r"title=\{'center': (['\"])(?P<title>.+?)\1\}")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a run.

    Attributes:
        name: The variable's name.
        value: The value that the run used, as Python source.
        default: The notebook's own value where the run used another, otherwise empty.
        meaning: The comment behind the default, or empty.
    """

    name: str
    value: str
    default: str = ""
    meaning: str = ""


def has_tag(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell carries a tag."""
    return tag in cell.metadata.get("tags", [])


def readable_notebook(notebook: NotebookNode) -> NotebookNode:
    """Copies a notebook without what a reader should not see, and with its figures described.

    Cells tagged `hide` vanish, so does the injected copy of a parameters cell, which
    `shown_parameters` folds into one, and the text that stands for a plot object. Cells tagged
    `answer` go up to the first cell, which asks the question.
    Each figure gets `number`, `alt`, `caption`, `width` and `height` in its output's metadata.

    Args:
        notebook: A canonical notebook. It is not changed.
    """
    readable = copy.deepcopy(notebook)
    has_defaults = any(has_tag(cell, "parameters") for cell in readable.cells)
    hidden = {"hide", "injected-parameters"} if has_defaults else {"hide"}
    TagRemovePreprocessor(remove_cell_tags=hidden).preprocess(readable, {})
    readable.cells[1:] = sorted(readable.cells[1:], key=lambda cell: not has_tag(cell, "answer"))
    _describe_figures(readable)
    for cell in readable.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_plot_repr(output)]
    return readable


def shown_parameters(notebook: NotebookNode) -> list[Parameter]:
    """Reads the parameters from the cells tagged `parameters` and `injected-parameters`.

    Returns:
        The parameters in the order of the notebook, injected ones without a default last.

    Raises:
        ConfigError: if such a cell holds anything but names and literals; no run leaves one.
    """
    defaults: dict[str, tuple[str, str]] = {}
    injected: dict[str, str] = {}
    for cell in notebook.cells:
        if has_tag(cell, "parameters"):
            for one in read_assignments(cell.source, "the report"):
                defaults[one.name] = one.written, one.comment
        elif has_tag(cell, "injected-parameters"):
            for one in read_assignments(cell.source, "the report"):
                injected[one.name] = one.written
    return [
        _parameter(name, *defaults.get(name, ("", "")), injected=injected.get(name))
        for name in defaults | injected
    ]


def parameter(notebook: NotebookNode, name: str) -> Any:
    """The value of one parameter, None where the notebook has none of that name."""
    values = {found.name: found.value for found in shown_parameters(notebook)}
    return ast.literal_eval(values[name]) if name in values else None


def first_heading(notebook: NotebookNode) -> str:
    """The text of the notebook's first heading of level one, or an empty string."""
    headings = (heading for cell in notebook.cells for heading in _headings(cell))
    return next((text for level, text in headings if level == 1), "")


def answer(notebook: NotebookNode) -> str:
    """The answer, which the cell tagged `answer` worded from what was measured, as HTML.

    It is empty where there is no such cell, or where it has not run.

    Raises:
        EquationError: if an equation in it can't be shown.
    """
    outputs = [out for cell in notebook.cells if has_tag(cell, "answer") for out in cell.outputs]
    said = (output.get("data", {}).get("text/markdown", "") for output in outputs)
    found = next(filter(None, map(_ANSWER.search, said)), None)
    return markdown_html(found[1], of=first_heading(notebook)) if found else ""


def _parameter(name: str, default: str, meaning: str, *, injected: str | None) -> Parameter:
    """Says which value was used, and the default only if it was another."""
    if injected is None or injected == default:
        return Parameter(name, default, meaning=meaning)
    return Parameter(name, injected, default, meaning)


def _headings(cell: NotebookNode) -> list[tuple[int, str]]:
    """Level and text of the headings in a Markdown cell."""
    if cell.cell_type != "markdown":
        return []
    found = _HEADING.findall(_FENCE.sub("", cell.source))
    return [(len(marks), re.sub(r"[*_`]", "", text)) for marks, text in found]


def _is_plot_repr(output: NotebookNode) -> bool:
    """Whether an output is only the text of a plot object, such as `<Axes: ...>`."""
    data = output.get("data", {})
    return set(data) == {"text/plain"} and bool(_PLOT_REPR.match(data["text/plain"]))


def _describe_figures(notebook: NotebookNode) -> None:
    """Numbers the figures and describes each, in place."""
    number, section = 0, ""
    for cell in notebook.cells:
        section = next((text for _, text in reversed(_headings(cell))), section)
        for output in cell.get("outputs", []):
            mime = next((m for m in IMAGES if m in output.get("data", {})), None)
            if mime is None or "text/html" in output.data:
                continue
            number += 1
            title = _figure_title(cell, output, mime)
            output.metadata[mime] = _size(output.data[mime], mime) | {
                **output.metadata.get(mime, {}),
                "number": number,
                "alt": title or f"Figure {number}" + (f": {section}" if section else ""),
                "caption": cell.metadata.get("caption", ""),
            }


def _figure_title(cell: NotebookNode, output: NotebookNode, mime: str) -> str:
    """The figure in words, from the first source that has them.

    These are: the alt text of the output or the cell, the title in the PNG's own metadata, the
    title of the axes that the cell returned, the caption.
    """
    said = output.metadata.get(mime, {}).get("alt") or cell.metadata.get("alt")
    if said:
        return str(said)
    if mime == "image/png":
        with Image.open(io.BytesIO(base64.b64decode(output.data[mime]))) as image:
            if title := image.info.get("Title") or image.info.get("Description"):
                return str(title)
    texts = (other.get("data", {}).get("text/plain", "") for other in cell.outputs)
    match = next(filter(None, map(_AXES_TITLE.search, texts)), None)
    return match["title"] if match else str(cell.metadata.get("caption", ""))


def _size(data: str, mime: str) -> dict[str, int]:
    """The figure's size on paper in CSS pixels: text keeps its size, the rest is sharpness.

    A page that knows the sizes does not jump while it loads.
    """
    if mime == "image/svg+xml":
        return {}
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        dots, _ = image.info.get("dpi", (CSS_DPI, CSS_DPI))
        scale = CSS_DPI / dots if dots > CSS_DPI else 1.0
        return {"width": round(image.width * scale), "height": round(image.height * scale)}
