"""Reports: executed notebooks as readable pages.

A report is one HTML file that needs no other file and no network. It contains the code, folded,
and its equations as MathML.
Equal notebooks have equal bytes, so that DVC sees only real changes.
"""

from __future__ import annotations

import base64
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from jinja2 import pass_context
from nbconvert import HTMLExporter
from PIL import Image

from notebook_pipeline.departures import note_on
from notebook_pipeline.errors import UserError
from notebook_pipeline.expectations import read_expectations
from notebook_pipeline.reports.canonical import canonical_notebook
from notebook_pipeline.reports.markdown import markdown_html
from notebook_pipeline.reports.readable import first_heading, readable_notebook, shown_parameters
from notebook_pipeline.reports.tables import tidy_tables
from notebook_pipeline.reports.templating import TEMPLATES
from notebook_pipeline.stages.outputs import replace_text

if TYPE_CHECKING:
    from jinja2.runtime import Context
    from nbformat import NotebookNode

    from notebook_pipeline.expectations import Expectations
    from notebook_pipeline.project import Beside, Project

BASE_TEMPLATES = Path(sys.prefix) / "share" / "jupyter" / "nbconvert" / "templates"
SHOWN_TYPES = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/plain",
)
STILL = (480, 480)
"""The largest width and height of a small copy of a figure, in pixels."""

LONGEST_LOG = 12
"""Lines of printed text that a report shows unfolded."""

_LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|input)\b[^>]*?
            \s(?:src|srcset|data)\s*=\s*["']?(?!data:)(?P<src>[^"'\s>]+)
      | <link\b[^>]*?\shref\s*=\s*["']?(?!data:)(?P<href>[^"'\s>]+)
      | url\(\s*["']?(?!data:|\#)(?P<url>[^"')]+)
      | @import\s+["']?(?P<style>[^"';\s]+)
      | \bimport\s*\(?\s*["'](?P<module>https?:[^"']+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FOLDED_CODE = re.compile(r'<div class="\s?highlight.*?</div>', re.DOTALL)


class ExternalResourceError(UserError, ValueError):
    """A report would load something that is not in it."""


def render_html(
    notebook: NotebookNode,
    *,
    title: str,
    project: Project,
    expectations: Expectations | None = None,
    beside: Sequence[tuple[Beside, str]] = (),
) -> str:
    """Renders a notebook as a report.

    Cell tags that count: `hide` (the cell vanishes), `answer` (it goes up to the question),
    `show-code` (its code is not folded), `parameters` and `injected-parameters` (shown as one
    folded table). Cell metadata that counts: `alt` and `caption` of the cell's figures.

    Args:
        notebook: An executed notebook, canonical or not; its metadata may say what it was
            `made_from`. It is not changed.
        title: The page's title; also its heading if the notebook has no heading of level one.
        project: Whose report it is; the page tells its command, and leads to its index.
        expectations: What the run was held against; where it departs is said beside the answer.
        beside: Pages in the folder of the report that it links to, each with its still as a `data:`
            address, which may be empty.

    Returns:
        A whole HTML page. It links to `../index.html` if that is a page of the project.

    Raises:
        EquationError: If an equation can't be shown.
        ExternalResourceError: If the page would load a file or an address, such as a picture in a
            Markdown cell that is not embedded, or an output that fetches its scripts.
    """
    canonical = canonical_notebook(notebook)
    resources = {
        "made_from": notebook.metadata.get("made_from"),
        "title": title,
        "command": project.command,
        "index": any(page.file == "index.html" for page in project.pages.values()),
        "beside": beside,
        "heading": "" if first_heading(canonical) else title,
        "parameters": shown_parameters(canonical),
        "longest_log": LONGEST_LOG,
        "departures": expectations.departures if expectations else (),
        "departs": note_on(expectations) if expectations else "",
    }
    page, _ = _exporter().from_notebook_node(readable_notebook(canonical), resources)
    if loaded := external_resources(page):
        msg = f"the report {title!r} would load {', '.join(loaded)}: embed it in the notebook"
        raise ExternalResourceError(msg)
    return str(page)


def write_report(folder: Path, name: str, project: Project) -> Path:
    """Render the executed notebook in a folder as ``report.html`` beside it.

    Args:
        folder: Where ``report.ipynb`` lies.
        name: Of the notebook: the title of the page if the notebook has no heading of level one.
        project: As for :func:`render_html`.

    Raises:
        EquationError, ExternalResourceError: as :func:`render_html`.
    """
    notebook = nbformat.read(folder / "report.ipynb", as_version=4)
    page = render_html(
        notebook,
        title=first_heading(notebook) or name,
        project=project,
        expectations=read_expectations(folder),
        beside=[(one, _small(folder / one.still)) for one in project.beside.get(name, ())],
    )
    path = folder / "report.html"
    replace_text(path, page)
    return path


def _small(picture: Path) -> str:
    """Return a small copy of a picture as a `data:` address; empty where there is no picture."""
    if not picture.is_file():
        return ""
    small = io.BytesIO()
    with Image.open(picture) as whole:
        whole.thumbnail(STILL)
        whole.save(small, "PNG")
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"


def external_resources(page: str) -> list[str]:
    """Finds what a page loads from elsewhere. Links to follow don't count, nor does shown code.

    Example:
        >>> external_resources('<a href="https://example.org">more</a> <img src="a.png">')
        ['a.png']
    """
    matches = _LOADS.finditer(_FOLDED_CODE.sub("", page))
    return [next(filter(None, match.groups())) for match in matches]


@pass_context
def _markdown(context: Context, source: str) -> str:
    """The template's filter for Markdown of cells and outputs."""
    attachments = context["cell"].get("attachments")
    return markdown_html(source, of=context["resources"]["title"], attachments=attachments)


def _exporter() -> HTMLExporter:
    """An exporter with the template `report`."""
    exporter = HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        filters={"tidy_tables": tidy_tables, "markdown2html": _markdown},
    )
    # Ours and nbconvert's own, not what JUPYTER_PATH and a home folder hold.
    places = (str(TEMPLATES), str(BASE_TEMPLATES))
    exporter.template_paths = [path for path in exporter.template_paths if path.startswith(places)]
    exporter.config.NbConvertBase.display_data_priority = list(SHOWN_TYPES)
    return exporter
