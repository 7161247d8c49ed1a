"""A toy project; a tiny notebook, two executions of it, its report; a browser to look at it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from notebook_pipeline.project import Project
from notebook_pipeline.reports.page import render_html
from tests.toy_clone import Toy, copy_toy, make_once, make_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nbformat import NotebookNode

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
NOISY = """
import sys, time, uuid, warnings
from IPython.display import HTML, Image, display
print("before", object())
for done in range(4):
    time.sleep(0.01)
    sys.stderr.write(f"\\r{25 * done}%|##| {done}/4 [00:00<00:00, {time.time()}it/s]")
print("after")
warnings.warn("look out")
styler = "T_" + uuid.uuid4().hex[:5]
display(HTML(f'<style>#{styler}_row0 {{}}</style><table id="{styler}"><tbody>'
             f'<tr id="{styler}_row0"><td>1.5</td><td>ridge</td></tr></tbody></table>'
             f'<i id="{uuid.uuid4()}"></i>'))
"""
PICTURE = f"""
import base64
display(Image(base64.b64decode("{PIXEL}"), format="png"))
"""


@pytest.fixture(scope="session")
def toy_that_ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy in which all stages have run, made once for all processes of these tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    make_once(folder / "toy")
    return folder / "toy"


@pytest.fixture(scope="module")
def toy(toy_that_ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A copy of it for the tests of a file."""
    return copy_toy(toy_that_ran, tmp_path_factory.mktemp("module") / "toy")


@pytest.fixture
def own_toy(toy_that_ran: Path, tmp_path: Path) -> Toy:
    """A copy of it for one test, which may spoil it."""
    return copy_toy(toy_that_ran, tmp_path / "toy")


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Toy]:
    """A function that writes a dvc.yaml into a repository."""
    clone = Toy(make_project(tmp_path / "repository"))
    (clone.path / "src").mkdir()
    (clone.path / "params.yaml").write_text("stacked: {epochs: 1}\n", encoding="utf-8")
    clone.run("git", "init", "--quiet")
    clone.run("dvc", "init", "--quiet")

    def write_pipeline(**stages: Any) -> Toy:
        (clone.path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
        return clone

    return write_pipeline


def tiny_notebook() -> NotebookNode:
    """A notebook with one of everything that a report treats on its own."""
    cells = [
        new_markdown_cell("# What moves?\n\nOnly *h* does."),
        new_code_cell("units = 4  # width of h\nrate = 0.1", metadata={"tags": ["parameters"]}),
        new_code_cell("print('nobody sees this')", metadata={"tags": ["hide"]}),
        new_code_cell(NOISY),
        new_markdown_cell("## Effect"),
        new_code_cell(PICTURE),
        new_code_cell(PICTURE, metadata={"alt": 'A "square" & more', "caption": "One dot."}),
        new_code_cell("for line in range(60):\n    print('line', line, 'word ' * 40)"),
        new_code_cell("list(range(units))"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="session")
def executions(tmp_path_factory: pytest.TempPathFactory) -> list[NotebookNode]:
    """Two executions of the tiny notebook by papermill, each in its own working directory."""
    papermill = pytest.importorskip("papermill")
    folder = tmp_path_factory.mktemp("runs")
    nbformat.write(tiny_notebook(), folder / "source.ipynb")
    results = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        executed = papermill.execute_notebook(
            folder / "source.ipynb",
            folder / name / "executed.ipynb",
            parameters={"units": 5},
            cwd=folder / name,
            progress_bar=False,
        )
        results.append(executed)
    return results


@pytest.fixture(scope="session")
def page(executions: list[NotebookNode]) -> str:
    """The report of the first execution."""
    return render_html(executions[0], title="States & gates", project=Project("dice"))


@pytest.fixture(scope="session")
def soup(page: str) -> BeautifulSoup:
    """The parsed report."""
    return BeautifulSoup(page, "html.parser")
