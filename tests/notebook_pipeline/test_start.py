"""The start of the engine's README, followed word by word in an empty folder."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from notebook_pipeline.commands import COMMANDS
from notebook_pipeline.results import Results
from tests.repository import ROOT
from tests.toy_clone import Toy

README = (ROOT / "src/notebook_pipeline/README.md").read_text(encoding="utf-8")
START = README.partition("## A start of five minutes")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"^`([\w./]+)`.*?^```\w+\n(.*?)^```", START, re.DOTALL | re.MULTILINE))


def notebook_of(text):
    """The notebook of a text with a line `# %%` before each cell, as JupyterLab saves one."""
    cells = []
    for kind, source in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n)*)", text, re.MULTILINE):
        if "[markdown]" in kind:
            cells.append(new_markdown_cell(re.sub(r"^# ?", "", source, flags=re.MULTILINE).strip()))
        else:
            tags = re.findall(r'"(\w+)"', kind)
            cells.append(new_code_cell(source.strip(), metadata={"tags": tags} if tags else {}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The folder in which all of it has been done, and what the last command said."""
    started = Toy(tmp_path_factory.mktemp("start") / "dice")
    for name, text in FILES.items():
        path = started.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".ipynb":
            nbformat.write(notebook_of(text), path)
    [commands] = re.findall(r"```sh\n(.*?)```", START, re.DOTALL)
    identity = "git config --global user.name me; git config --global user.email me@example.invalid"
    home = f"export HOME={started.path.parent}; {identity}\n"
    return started, started.run("sh", "-e", "-c", home + commands)


def test_six_files_are_written():
    assert len(FILES) == 6
    assert "six files" in START


@pytest.mark.slow
def test_it_makes_a_report_with_the_answer(started):
    project, said = started
    assert re.search(r"^pages: done after", said, re.MULTILINE)
    text = (project.path / "reports/sixes/report.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert page.h1.get_text().startswith("How often does a die show a six?")
    assert "A six comes in" in page.main.get_text()
    assert "departs from none of 1 expectations" in page.main.get_text()


@pytest.mark.slow
def test_all_commands_agree(started):
    project, _ = started
    assert project.call("repro") == "everything is up to date\n"
    project.commit("results")
    assert "0 problems" in project.call("status")
    assert project.call("verify").endswith("all of them agree\n")


def test_every_command_and_call_is_told():
    for command in COMMANDS:
        assert f"| `{command.name}" in README
    for name in re.findall(r"\brun\.(\w+)\(", README):
        assert hasattr(Results, name)
