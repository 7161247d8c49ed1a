"""What the engine is told of the toy: two pages, and what must hold of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.page_commands import page_command
from notebook_pipeline.project import Metric, Page, Project, Swept
from notebook_pipeline.reports.missing import Missing

if TYPE_CHECKING:
    from toy.parameters import Parameters, Stride


def _schema() -> type[Parameters]:
    from toy.parameters import Parameters

    return Parameters


def _stride() -> type[Stride]:
    from toy.parameters import Stride

    return Stride


def _check(name: str, settings: Any, root: Path) -> None:
    if name == "walk" and settings.steps > 100:
        raise ConfigError(f"walk.steps is {settings.steps}; there are 100 numbers")


def _lines(root: Path, missing: Sequence[Missing]) -> list[str]:
    """What each notebook answered, and what is missing."""
    from notebook_pipeline.reports.readable import answer
    from notebook_pipeline.stages.outputs import read_report
    from notebook_pipeline.stages.states import notebook_stages

    without = {one.stage for one in missing}
    lines = [
        f"<li>{name}: {answer(read_report(name, root))}</li>"
        for name, stage in notebook_stages(root).items()
        if stage not in without
    ]
    for one in missing:
        links = ", ".join(f'<a href="{path}">{text}</a>' for text, path in one.links.items())
        lines.append(f'<li class="missing">{one.stage} {one.why}: {links}</li>')
    return lines


def _write_answers(root: Path, missing: Sequence[Missing]) -> Path:
    return _write(root / "reports/answers.html", _lines(root, missing))


def _write_index(root: Path, missing: Sequence[Missing]) -> Path:
    others = [f'<a href="{path.name}">answers</a>' for path in [root / "reports/answers.html"]
              if path.is_file()]  # fmt: skip
    return _write(root / "reports/index.html", [*others, *_lines(root, missing)])


def _write(page: Path, lines: Sequence[str]) -> Path:
    from notebook_pipeline.stages.outputs import replace_text

    replace_text(page, "\n".join(lines))
    return page


def _commands() -> Sequence[click.Command]:
    return page_command("answers", "Tell all answers."), page_command("index", "Write the index.")


PROJECT = Project(
    name="toy",
    schema=_schema,
    sections_from="each is a class in src/toy/project.py",
    commands=_commands,
    environment={"TOY_MOOD": "good"},
    deciding=("TOY_",),
    packages=("numpy", "matplotlib"),
    preflight=_check,
    swept={
        "walking": Swept(
            "toy.points:measure",
            chosen_by=Metric("error", "error on the validation part", lower_is_better=True),
            score=Metric("far", "distance on the test part", "m"),
            size=Metric("weights", "steps"),
            shorthand=_stride,
            unread=("label",),
        )
    },
    pages={
        "answers": Page("answers.html", _write_answers),
        "index": Page("index.html", _write_index),
    },
)
