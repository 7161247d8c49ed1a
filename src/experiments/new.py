"""The command `lstm-states new`: create an experiment that is ready to run."""

from __future__ import annotations

import io
import json
import keyword
import re
import shutil
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.cell import notebook_defaults
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.stages.outputs import replace_text
from notebook_pipeline.stages.states import open_repo

TEMPLATES = Path(__file__).parent / "templates"
"""What an experiment is made from; ``example`` and ``Example`` stand there for its name."""

LONGEST = 40
"""Letters of a name at most."""

PAGES = {
    "pages": ("expectations.json", "report.ipynb"),
    "claims": ("evidence.json", "report.ipynb"),
    "index": ("expectations.json", "report.ipynb"),
}
"""What the stages that make pages read of a report."""


def make_experiment(
    name: str, root: Path, *, datasets: Sequence[str] = (), dependencies: Sequence[str] = ()
) -> list[Path]:
    """Write an experiment that is ready to run, and add it to dvc.yaml and params.yaml.

    Args:
        name: Name of the notebook, its folder, its section of params.yaml and its stage.
        root: The repository.
        datasets: Data sets that it reads, keys of ``datasets`` in params.yaml.
        dependencies: Other files and folders that it reads, relative to the repository.

    Returns:
        The new and the changed files.

    Raises:
        ConfigError: if the name is invalid or exists, or a dependency is missing; nothing is
            written then.
    """
    for problem in _problems(name, root):
        raise ConfigError(f"{name!r} can't be the name of an experiment: {problem}")
    known = load_parameters(root)
    for dataset in datasets:
        if dataset not in known.datasets:
            raise ConfigError(
                f"no data set {dataset!r} in params.yaml; {near_or_all(dataset, known.datasets)}"
            )
    _check_paths(dependencies, root)
    notebook = root / "notebooks" / f"{_next_number(root):02d}_{name}.ipynb"
    folder = root / "src/experiments" / name
    own = [f"data/processed/{dataset}.zarr" for dataset in datasets] + [
        path.rstrip("/") for path in dependencies
    ]
    text = _filled("example.ipynb", name)
    defaults = notebook_defaults(nbformat.reads(text, as_version=4), notebook.name)
    texts = {
        notebook: text,
        folder / "__init__.py": f'"""The experiment `{name}`."""\n',
        folder / "settings.py": _filled("example.py", name),
        folder / "half_life.py": _filled("half_life.py", name),
        root / "params.yaml": _with_section(root / "params.yaml", name, defaults),
        root / "dvc.yaml": _with_stage(root / "dvc.yaml", name, notebook.name, own),
    }
    _write_all(texts, folder)
    return list(texts)


def _problems(name: str, root: Path) -> Iterator[str]:
    """Yield why a name can't be an experiment's."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST:
        yield f"use lower-case letters, digits and _, starting with a letter, at most {LONGEST}"
        return
    if keyword.iskeyword(name) or keyword.iskeyword(_class_name(name)):
        yield "it is a Python keyword"
    if _class_name(name) in re.findall(r"import (\w+)", _template("example.py")):
        yield f"settings.py imports another {_class_name(name)}; choose another name"
    if name == "datasets":
        yield "it is the section of the data sets in params.yaml; choose another name"
    # YAML reads null as no name at all, and pydantic has no field called like its methods.
    if name == "null" or hasattr(BaseModel, name):
        yield f"params.yaml cannot have a section {name!r}; choose another name"
    places = (f"src/{name}", f"src/experiments/{name}", f"src/experiments/{name}.py",
              f"notebooks/[0-9][0-9]_{name}.ipynb", f"reports/{name}")  # fmt: skip
    for taken in (path for place in places for path in root.glob(place)):
        yield f"{taken.relative_to(root)} exists already"
    if name in ("failed", "interactive", "logs"):
        yield f"reports/{name} belongs to the pipeline"
    with open_repo(root) as repo:
        stages = {stage.addressing.partition("@")[0] for stage in repo.index.stages}
    if name in stages:
        yield "dvc.yaml has a stage with that name"


def _check_paths(paths: Sequence[str], root: Path) -> None:
    """Refuse dependencies that aren't there nor made by a stage, or that its pages make."""
    with open_repo(root) as repo:
        stages = repo.index.stages
        made = [Path(out.def_path) for stage in stages for out in stage.outs]
        after = [Path(o.def_path) for s in stages if s.addressing in PAGES for o in s.outs]
    for path in paths:
        inside = (root / path).resolve().is_relative_to(root.resolve())
        if not inside or Path(path).is_absolute():
            raise ConfigError(f"{path} is not a path within the repository, such as data/mine.csv")
        # Of a folder that a stage has yet to make, nobody knows what will be in it.
        is_made = any(
            out.is_relative_to(path)
            or (Path(path).is_relative_to(out) and not (root / out).exists())
            for out in made
        )
        if not (root / path).exists() and not is_made:
            raise ConfigError(f"{path} isn't there, and no stage of dvc.yaml makes it")
        for page in after:  # DVC would refuse all of dvc.yaml
            if page.is_relative_to(path) or Path(path).is_relative_to(page):
                raise ConfigError(f"{path} can't be read: {page} is made after all experiments")


def _next_number(root: Path) -> int:
    """Return the number after the last notebook's."""
    taken = [int(path.name[:2]) for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb")]
    number = max(taken, default=-1) + 1
    if number > 99:
        raise ConfigError("notebooks/99_*.ipynb exists already, and numbers have two digits")
    return number


def _filled(template: str, name: str) -> str:
    """Return a template with the name in it."""
    text = re.sub(r"\bExample\b", _class_name(name), _template(template))
    return re.sub(r"\bexample\b", name, text)


def _template(file: str) -> str:
    return (TEMPLATES / file).read_text(encoding="utf-8")


def _class_name(name: str) -> str:
    return name.title().replace("_", "")


def _with_section(path: Path, name: str, values: Mapping[str, Any]) -> str:
    """Return params.yaml with a section at its end, the rest of it untouched."""
    lines = [f"  {key}: {json.dumps(value)}\n" for key, value in values.items()]
    return f"{path.read_text(encoding='utf-8').rstrip()}\n\n{name}:\n{''.join(lines)}"


def _with_stage(path: Path, name: str, notebook: str, dependencies: Sequence[str]) -> str:
    """Return dvc.yaml with a stage whose report is among what the pages show."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width, yaml.preserve_quotes = 4096, True
    pipeline = yaml.load(path.read_text(encoding="utf-8"))
    stages: CommentedMap = pipeline["stages"]
    stage = yaml.load(_filled("stage.yaml", name))[name]
    stage["deps"] = sorted({*stage["deps"], f"notebooks/{notebook}", *dependencies})
    stages.insert(list(stages).index("pages"), name, stage)
    for page, files in PAGES.items():
        for file in files:
            _insert(stages[page]["deps"], f"reports/{name}/{file}")
    _insert(stages["pages"]["outs"], f"reports/{name}/report.html")
    text = io.StringIO()
    yaml.dump(pipeline, text)
    return text.getvalue()


def _insert(paths: CommentedSeq, path: str) -> None:
    """Insert a path in alphabetical order."""
    index = bisect(paths, path)
    paths.insert(index, path)
    if index == len(paths) - 1 and (after := paths.ca.items.pop(index - 1, None)):
        paths.ca.items[index] = after  # the empty line below the list


def _write_all(texts: Mapping[Path, str], folder: Path) -> None:
    """Write all files, or leave everything as it was."""
    before = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in texts}
    folder.mkdir()
    try:
        for path, text in texts.items():
            replace_text(path, text)
    except BaseException:
        shutil.rmtree(folder)
        for path, text_before in before.items():
            if text_before is None:
                path.unlink(missing_ok=True)
            else:
                replace_text(path, text_before)
        raise
