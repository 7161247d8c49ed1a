"""The figures of two reports beside each other, and where their pixels differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

FOLDER = "figures"

MARK = (200, 0, 110)
"""Colour of pixels that differ, on a pale copy of the first figure."""

PALE = 0.75
"""How much white that copy holds."""

GREYS = range(256)


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes:
        uri: Its data URI.
        share: Its width, in percent of the wider of the two: both are shown to one scale.
    """

    uri: str
    share: float


@dataclass(frozen=True)
class Pair:
    """A figure of two sides.

    Attributes:
        name: Its file's, or where in the report it stands.
        first: The first side's; None if it has none.
        second: The second side's; None if it has none.
        apart: A pale copy with the pixels marked that differ; None if their sizes differ.
    """

    name: str
    first: Picture | None
    second: Picture | None
    apart: Picture | None


@dataclass(frozen=True)
class Pairs:
    """The figures of two reports.

    Attributes:
        differing: Those whose pixels differ, or that only one of them has.
        equal: Names of the others.
    """

    differing: tuple[Pair, ...] = ()
    equal: tuple[str, ...] = ()


def compare_figures(first: Path, second: Path) -> Pairs:
    """Compare the pictures in ``figures`` of two folders pixel by pixel."""
    return compare_pictures(*(_pictures(folder / FOLDER) for folder in (first, second)))


def compare_pictures(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> Pairs:
    """Compare PNG pictures, given by name."""
    names = sorted(first.keys() | second.keys())
    found = {name: _pair(name, first.get(name), second.get(name)) for name in names}
    return Pairs(
        tuple(pair for pair in found.values() if pair),
        tuple(name for name, pair in found.items() if not pair),
    )


def _pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def _pair(name: str, first: bytes | None, second: bytes | None) -> Pair | None:
    """Return two pictures to be shown; None if their pixels are the same."""
    sides = [None if data is None else _opened(data) for data in (first, second)]
    a, b = sides
    apart = None
    if a and b and a.size == b.size:
        marked = _marked(a, b)
        if marked is None:
            return None
        apart = Picture(_uri(marked), 100)
    widest = max(side.width for side in sides if side)
    shown = [
        Picture(_uri(data), 100 * side.width / widest) if side and data else None
        for side, data in zip(sides, (first, second), strict=True)
    ]
    return Pair(name, shown[0], shown[1], apart)


def _opened(data: bytes) -> Image.Image:
    """Return a picture as it looks on paper."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _marked(a: Image.Image, b: Image.Image) -> bytes | None:
    """Return a pale copy of a picture with the pixels marked that differ; None if none does."""
    apart = ImageChops.difference(a, b)
    if apart.getbbox() is None:
        return None
    red, green, blue = apart.split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    # A palette of greys and the mark: few bytes, and no pixel loses its colour.
    pale = a.convert("L").point([round(255 * PALE + (1 - PALE) * v) - 1 for v in GREYS])
    pale.paste(len(GREYS) - 1, mask=largest.point([0, *[255] * 255]))
    pale.putpalette([*(part for v in GREYS[1:] for part in (v, v, v)), *MARK])
    file = io.BytesIO()
    pale.save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
