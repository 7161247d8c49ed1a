"""Make pages from the existing results and name the missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from notebook_pipeline.errors import OutputsError
from notebook_pipeline.project import project_of
from notebook_pipeline.reports.missing import Missing
from notebook_pipeline.stages.outputs import FAILED
from notebook_pipeline.stages.points import FILE
from notebook_pipeline.stages.provenance import read_provenance, read_run
from notebook_pipeline.stages.states import current_inputs, notebooks_of, open_repo, sweeps_of


def write_pages(root: Path, without: Mapping[str, str], notebooks: Mapping[str, str]) -> list[str]:
    """Make the pages that DVC can't make while stages fail, of the results that there are.

    DVC is told nothing: to it these pages are files that have changed, which its next successful
    run makes again. A page that can't be made is taken away: it would pass as one of this run.

    Args:
        root: The repository.
        without: Why the result of a stage isn't used, by stage: "failed", or another reason.
        notebooks: The stages that run notebooks, by the notebook's name.

    Returns:
        What became of each page.
    """
    told: list[str] = []
    pages, names = project_of(root).pages, {stage: name for name, stage in notebooks.items()}
    missing = [
        missing_result(stage, why, root, names.get(stage))
        for stage, why in without.items()
        if stage not in pages
    ]
    failed = False
    for stage, page in pages.items():
        if stage in without or failed:  # a later page may lead to an earlier one
            try:
                page.write(root, missing)
                told.append(f"reports/{page.file} shows what exists and names what is missing")
            except Exception as problem:  # whatever it is, it must not hide what failed before
                failed = True
                (root / "reports" / page.file).unlink(missing_ok=True)
                missing.append(Missing(stage, f"can't be made: {problem}"))
                told.append(f"reports/{page.file} can't be made: {problem}")
    return told


def missing_result(stage: str, why: str, root: Path, name: str | None) -> Missing:
    """Return what a page says of a stage without a result, with what there is to look at.

    Args:
        stage: Its name in dvc.yaml.
        why: Why there is none, in words.
        root: The repository.
        name: The notebook's, if it runs one.
    """
    reports = root / "reports"
    found = {"its log": reports / "logs" / f"{stage}.log"} if why == "failed" else {}
    if name:
        for notebook in (root / FAILED / name).glob("*.ipynb"):
            found["the notebook of its last attempt"] = notebook
        found["an older report"] = reports / name / "report.html"
    links = {text: path.relative_to(reports).as_posix() for text, path in found.items()
             if path.is_file()}  # fmt: skip
    return Missing(stage, why, links)


def missing_now(page: str, root: Path) -> list[Missing]:
    """Return the results that a page needs and that are not there, or not of the present state.

    Args:
        page: The stage that makes it.
        root: The repository.

    Raises:
        OutputsError: if none of them is there.
    """
    with open_repo(root) as repo:
        graph = repo.index.graph
        needed = {s.addressing for s in graph.successors(repo.stage.load_one(name=page))}
        stages = {s: name for name, s in notebooks_of(repo, root).items() if s in needed}
        sweeps = {s: name for name, s in sweeps_of(repo, root).items() if s in needed}
    states = current_inputs(root, *stages, *sweeps)
    found = []
    for stage, name in stages.items():
        made = read_provenance(root / "reports" / name)
        if made is None:
            found.append(missing_result(stage, "has no report", root, name))
        elif made.get("key") != states[stage].key:
            why = "has changed since its report was made"
            found.append(missing_result(stage, why, root, name))
    for stage, name in sweeps.items():
        made = read_run(root / "reports" / name)
        if not (root / "reports" / name / FILE).is_file():
            found.append(missing_result(stage, "has not run", root, name))
        elif made and made["key"] != states[stage].key:
            found.append(missing_result(stage, "has changed since it ran", root, name))
    if len(found) == len(stages) + len(sweeps):
        raise OutputsError("no report is up to date; `dvc repro` makes them")
    return found
