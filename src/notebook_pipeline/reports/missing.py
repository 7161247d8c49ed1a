"""The note of a page on a missing result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Missing:
    """What a page says of a stage whose result it is made without.

    Attributes:
        stage: Its name in dvc.yaml, such as "trial@sixes".
        why: Such as "failed", or "skipped: needs trial@sixes".
        links: What there is of it, paths relative to the page by what they lead to.
    """

    stage: str
    why: str
    links: Mapping[str, str] = field(default_factory=dict)
