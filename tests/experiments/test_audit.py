"""What each stage read, sources included, is what dvc.yaml says that it depends on.

tests/audit/sitecustomize.py says what is not seen.
"""

from pathlib import Path

import pytest
from dvc.repo import Repo

from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from experiments.project import PROJECT
from tests.experiments.declared import POINTS, of_the_engine, starts_the_work

pytestmark = pytest.mark.slow

# Not of the pipeline: what MLflow is told (dvc.lock has the data's digest), and work in progress.
ASIDE = (
    ".git",
    ".gitignore",
    ".dvc",
    ".dvcignore",
    "dvc.lock",
    "dvc.yaml",
    "mlartifacts",
    "params.yaml",  # declared by section
    "pyproject.toml",  # names the project
    "reports/failed",
    "reports/points",  # each under a digest of all that decides it
)
# The environment was made from the one; the index page shows the others, and a browser opens them.
PAGES = {"pages", *PROJECT.pages}
READ_BY_OTHERS = {"requirements.lock"} | {f"reports/{name}/figures" for name in CONFIGURATIONS}


def of_a_schema(file):
    """Whether each process imports a file to check params.yaml: test_dvc_yaml says who uses it."""
    of_all = ("src/experiments/data", "src/experiments/swept/scores.py", POINTS)
    return covers(of_all, file) or Path(file).match("src/experiments/*/settings.py")


def covers(paths, file):
    return any(file == path or file.startswith(f"{path}/") for path in paths)


def read_by(stage, clone):
    """Files of the clone that the stage's processes read, relative to it."""
    root = f"{clone.path.resolve()}/"
    logs = (clone.path.parent / "audit").glob(f"{stage}.*")
    lines = {line for log in logs for line in log.read_text(encoding="utf-8").splitlines()}
    files = {line.removeprefix(root) for line in lines if line.startswith(root)}
    return {
        file
        for file in files
        if (clone.path / file).is_file()
        and not file.endswith(("/.gitignore", "/run.json"))  # handed to MLflow with their folder
        and not covers(ASIDE, file)
    }


def excused(stage, file):
    """Whether a stage needn't declare a file that it reads."""
    return starts_the_work(file) or of_the_engine(file, page=stage in PAGES) or of_a_schema(file)


def declared(clone):
    """By stage, its dependencies and its outputs."""
    with Repo(clone.path) as repo:
        return {
            stage.name: (
                {dep.def_path for dep in stage.deps} - {"params.yaml"},
                {out.def_path for out in stage.outs},
            )
            for stage in repo.index.stages
            if stage.cmd
        }


def undeclared(stages, clone):
    """What stages read that isn't declared, such as ``index: src/lstm_states/schema.py``."""
    return {
        f"{stage}: {file}"
        for stage, (dependencies, outputs) in stages.items()
        for file in read_by(stage, clone)
        if not covers(dependencies | outputs, file) and not excused(stage, file)
    }


def test_every_stage_was_audited(clone):
    stages = declared(clone)
    assert set(stages) >= {"prepare@order_book", "experiment@stacked", "cost", "index"}
    for stage in stages:
        assert "src/notebook_pipeline/cli.py" in read_by(stage, clone)


def test_what_stages_read_is_declared(clone):
    assert undeclared(declared(clone), clone) == set()


def test_a_dependency_that_is_not_declared_is_found(clone):
    stages = declared(clone)
    weights = "reports/stacked/model/model.weights.h5"
    for stage, dependency, file in [
        ("experiment@stacked", "src/lstm_states", "src/lstm_states/summary.py"),
        ("depth", "src/experiments/depth", "src/experiments/depth/figures.py"),
        ("claims", "src/notebook_pipeline/reports", "src/notebook_pipeline/reports/templating.py"),
        ("index", "reports/stacked/metrics.json", "reports/stacked/metrics.json"),
        ("prepare@order_book", "data/sources.yaml", "data/sources.yaml"),
        ("how_states_flow", weights.rpartition("/")[0], weights),
    ]:
        stages[stage][0].remove(dependency)
        assert f"{stage}: {file}" in undeclared(stages, clone)


def test_what_is_declared_is_read(clone):
    idle = {
        f"{stage}: {dependency}"
        for stage, (dependencies, _) in declared(clone).items()
        for dependency in dependencies - READ_BY_OTHERS
        if not any(covers([dependency], file) for file in read_by(stage, clone))
    }
    assert idle == set()
