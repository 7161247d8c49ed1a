r"""Markdown with equations as HTML that needs no script: TeX becomes MathML.

Which text is an equation is JupyterLab's rule: `$...$` in a line, `$$...$$` or an environment such
as `\begin{align*}` in a line of its own; never in code, and never at `\$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from xml.etree import ElementTree

from latex2mathml.commands import MATRICES
from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathBlockParser,
    MathInlineParser,
)

from notebook_pipeline.errors import UserError

CHILDREN = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "mover", "munder"), 2) | dict.fromkeys(
    ("msubsup", "munderover"), 3
)
"""How many parts an element of MathML needs."""

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(.*?)\}")

FROM_NOTEBOOKS = "../reports/"
"""How a link leads from the folder of the notebooks to that of the reports."""

_NOTEBOOK = re.compile(r"^\d\d_(\w+)\.ipynb(?=#|$)")


class EquationError(UserError, ValueError):
    """An equation of a notebook can't be shown in its report."""


def markdown_html(source: str, *, of: str, attachments: Mapping[str, Any] | None = None) -> str:
    r"""Return Markdown as HTML, with its equations as MathML.

    Args:
        source: Of a cell or an output.
        of: The notebook, for messages.
        attachments: Pictures of the cell by name, as nbformat holds them.

    Raises:
        EquationError: if an equation isn't TeX that MathML can show; it names both.

    Example:
        >>> markdown_html("$h$", of="walk")
        '<p><math display="inline"><mrow><mi>h</mi></mrow></math></p>\n'
    """
    renderer = _Renderer(of, attachments=dict(attachments or {}), anchor_link_text="#")
    inline = _InlineParser(hard_wrap=False)
    return MarkdownWithMath(renderer, block=_BlockParser(), inline=inline).render(source)


def mathml(tex: str, *, display: bool) -> str:
    """Return an equation as MathML.

    Args:
        tex: Without its dollar signs.
        display: Whether it stands in a line of its own.

    Raises:
        EquationError: saying what is wrong.
    """
    # Both look the same; the converter knows one of them.
    tex = tex.replace("{aligned}", "{split}")
    _check_braces(tex)
    for name in _ENVIRONMENT.findall(tex):
        if rf"\{name}" not in MATRICES:
            raise EquationError(f"the environment {name!r} is unknown")
    try:
        written = convert(tex, xmlns="", display="block" if display else "inline")
        math = ElementTree.fromstring(written)
    except ElementTree.ParseError as error:
        raise EquationError("an & needs an environment, and \\unicode a number") from error
    except Exception as error:  # the converter's errors have no common class, and most have no text
        raise EquationError(f"{type(error).__name__} {error}".strip()) from error
    for part in math.iter():
        # The converter passes on what it doesn't know.
        if (part.text or "").startswith("\\"):
            raise EquationError(f"the command {part.text} is unknown")
        if len(part) != CHILDREN.get(part.tag, len(part)):
            raise EquationError(f"a command has {len(part)} of {CHILDREN[part.tag]} arguments")
        if part.tag not in CHILDREN:
            _space_functions(part)
    return ElementTree.tostring(math, encoding="unicode", short_empty_elements=False)


def _space_functions(row: ElementTree.Element) -> None:
    """Set a thin space behind the name of a function, as TeX does unless a bracket follows."""
    parts = list(row)
    for place in range(len(parts) - 1, 0, -1):
        before, argument = parts[place - 1], parts[place]
        name = before[0] if before.tag in ("msub", "msup", "munder") else before
        if name.tag == "mi" and len(name.text or "") > 1 and argument.text != "(":
            row.insert(place, ElementTree.Element("mspace", width="0.167em"))


def _check_braces(tex: str) -> None:
    depth = 0
    for sign in _ESCAPED.sub("", tex):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            break
    if depth:
        raise EquationError("its braces don't match")


# nbconvert looks for dollar signs before it looks for code; JupyterLab does the opposite.
class _BlockParser(MathBlockParser):
    SPECIFICATION: ClassVar[dict[str, str]] = {
        **MathBlockParser.SPECIFICATION,
        "multiline_math": MathBlockParser.MULTILINE_MATH.replace("{2}.*?", "{2}[^`]*?"),
    }


class _InlineParser(MathInlineParser):
    SPECIFICATION: ClassVar[dict[str, str]] = {
        name: rule.replace("_tex>.", "_tex>[^`]")
        for name, rule in MathInlineParser.SPECIFICATION.items()
    }


class _Renderer(IPythonRenderer):
    """Writes equations as MathML, a wide one in a box that scrolls."""

    def __init__(self, of: str, **options: Any) -> None:
        super().__init__(escape=False, **options)
        self.of = of

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Write a link; one to a report, or to a notebook that has one, works in reports, too."""
        url = _NOTEBOOK.sub(rf"{FROM_NOTEBOOKS}\1/report.html", url)
        if url.startswith(FROM_NOTEBOOKS):
            url = f"../{url.removeprefix(FROM_NOTEBOOKS)}"
        return super().link(text, url, title)

    def inline_math(self, body: str) -> str:
        """Write `$...$`."""
        return self._equation(body, f"${body}$", display=False)

    def block_math(self, body: str) -> str:
        """Write `$$...$$`."""
        return self._boxed(body, f"$${body}$$")

    def latex_environment(self, name: str, body: str) -> str:
        """Write an environment, which needs no dollar signs."""
        whole = rf"\begin{{{name}}}{body}\end{{{name}}}"
        return self._boxed(whole, whole)

    def _boxed(self, tex: str, shown: str) -> str:
        return f'<span class="equation">{self._equation(tex, shown, display=True)}</span>'

    def _equation(self, tex: str, shown: str, *, display: bool) -> str:
        try:
            return mathml(tex, display=display)
        except EquationError as error:
            msg = f"the equation {shown} of the notebook {self.of!r} can't be shown: {error}"
            raise EquationError(msg) from error
