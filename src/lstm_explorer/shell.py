"""A page that is whole in one file, and what a notebook shows of it."""

from __future__ import annotations

import html
from pathlib import Path

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

# What a browser lets the page do: run what is in it, and load nothing. Its frames inherit this.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


def whole_page(*, title: str, style: str, body: str) -> str:
    """Return an HTML page that loads nothing.

    Args:
        title: In plain text.
        style: A style sheet.
        body: In HTML.
    """
    told = html.escape(title).encode("ascii", "xmlcharrefreplace").decode()
    return _PAGE.format(policy=_POLICY, title=told, style=style, body=body)


def in_frame(page: str, *, title: str, attributes: str) -> str:
    """Return HTML that shows a page within another one.

    Args:
        page: Of :func:`whole_page`.
        title: What a screen reader calls the frame.
        attributes: Further ones of the frame, in HTML.
    """
    return f'<iframe srcdoc="{html.escape(page)}" title="{title}" {attributes}></iframe>'


NOTEBOOK_FRAME = 'width="100%" height="800" style="border: 0"'
"""Attributes of a frame that fills the width of a notebook's cell."""


def write_page(page: str, path: str | Path) -> Path:
    """Write a page into a file, which is replaced, and return its path."""
    path = Path(path)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path
