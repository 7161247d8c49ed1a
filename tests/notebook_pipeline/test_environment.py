"""Wherever a stage is started from, its code is the repository's, and its bytes are the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from notebook_pipeline import mlflow_runs, repository
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.project import Project
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.system.environment import FIXED, stage_environment
from notebook_pipeline.system.machine import machine_class
from tests.repository import ROOT
from tests.toy_clone import make_toy, wait_for

ENGINE = ROOT / "src/notebook_pipeline"
CACHES = shutil.ignore_patterns("__pycache__")
PLAIN = Project(name="plain")

HOSTILE = {
    "BLOSC_CLEVEL": "1",
    "COLUMNS": "40",
    "KMP_AFFINITY": "none",
    "LANG": "de_DE.ISO-8859-1",
    "LC_ALL": "en_US.ISO-8859-1",
    "LC_NUMERIC": "de_DE.UTF-8",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "svg",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PANDAS_FUTURE_INFER_STRING": "0",
    "PYTHONHASHSEED": "7",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONOPTIMIZE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "error",
    "TOY_MOOD": "bad",
    "TOY_X": "1",
    "TZ": "Asia/Kathmandu",
    "ZARR_DEFAULT_ZARR_FORMAT": "2",
}
"""Each changes, or may change, what some stage computes, draws, stores or prints."""

CODE = """
import json, locale, os, sys, time
import toy
facts = {
    "file": toy.__file__, "doc": toy.__doc__, "python": sys.executable,
    "product": float((np.outer(walk, walk) @ np.outer(walk, walk)).sum()), "hash": hash("walk"),
    "zone": time.tzname, "locale": locale.setlocale(locale.LC_ALL, ""),
    "encoding": locale.getpreferredencoding(), "optimize": sys.flags.optimize,
    "started": "startup" in globals(), "mood": [os.environ["TOY_MOOD"], os.environ.get("TOY_X")],
    "frame": repr(pd.DataFrame(np.ones((2, 30)))), "text": str(pd.Series(["a"]).dtype),
}
(run.directory / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
zarr.save_array(run.directory / "states.zarr", walk)
"""
"""A cell in which the environment can be seen."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A toy at an odd path, in whose notebook that is seen."""
    small = make_toy(tmp_path_factory.mktemp("a % é") / "a toy")
    small.run("dvc", "repro", "numbers")
    return made_small(small)


def made_small(small):
    small.insert("walk", f"import zarr\n{CODE}", at=5)
    # Its engine is a copy of its own: the one on the path is another checkout's.
    shutil.copytree(ENGINE, small.path / "src/notebook_pipeline", ignore=CACHES)
    small.commit("seen")
    return small


def started_elsewhere(small, *command, home=None, **variables):
    """Run a command where the engine on the path is another checkout's; return what it said."""
    environment = {**small.environment(), "PYTHONPATH": str(ENGINE.parent), **variables}
    if home:
        environment["HOME"] = str(home)
    done = subprocess.run(
        command, cwd=small.path, env=environment, check=False, encoding="utf-8",
        errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


RUN = ("python", "-m", "notebook_pipeline", "run", "walk")


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", ".gitignore")
    }


def hostile_home(folder):
    """A home folder with settings of Matplotlib and IPython, and a kernel called python3."""
    texts = {
        ".config/matplotlib/matplotlibrc": "lines.linewidth: 9\nfigure.facecolor: red\n",
        ".ipython/profile_default/startup/00.py": "startup = True\n",
        "jupyter/kernels/python3/kernel.json": '{"argv": ["false"], "display_name": "Python 3", '
        '"language": "python"}',
        "jupyter/nbconvert/templates/base/null.j2": "another template",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def plain(small):
    """What the notebook of the small toy makes in an environment with nothing odd in it."""
    started_elsewhere(small, *RUN)
    folder = small.path / "reports/walk"
    return bytes_of(folder), read_run(folder)["key"]


@pytest.mark.slow
def test_the_kernel_computes_the_same_with_the_repositorys_own_code(small, plain, tmp_path):
    first, key = plain
    facts = json.loads(first["facts.json"])
    assert facts["file"] == str(small.path / "src/toy/__init__.py")
    assert facts["python"] == sys.executable
    assert facts["mood"] == ["good", None]
    home = hostile_home(tmp_path)
    folders = {"JUPYTER_PATH": "jupyter", "MATPLOTLIBRC": ".config/matplotlib"}
    started_elsewhere(
        small, *RUN, home=home,
        **HOSTILE, **{name: str(home / folder) for name, folder in folders.items()},
    )  # fmt: skip
    folder = small.path / "reports/walk"
    assert read_run(folder)["key"] == key
    assert bytes_of(folder) == first
    assert "mlruns" not in {path.name for path in small.path.iterdir()}
    assert small.path.parent.name not in {path.name for path in Path.cwd().iterdir()}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_variable_that_decides_what_is_computed_reaches_a_stage(small, name):
    project = Project(name="toy", deciding=("TOY_",))
    plain = stage_environment({"PATH": "/bin"}, small.path, project)
    assert stage_environment({"PATH": "/bin", name: HOSTILE[name]}, small.path, project) == plain


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_stage_gives_the_same_bytes_whatever_is_set(small, plain, name):
    started_elsewhere(small, *RUN, **{name: HOSTILE[name]})
    assert bytes_of(small.path / "reports/walk") == plain[0]


def test_what_the_machine_needs_stays_and_belongs_to_its_class(monkeypatch):
    needs = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "262144", "LD_LIBRARY_PATH": "/x"}
    environment = stage_environment({**needs, "HTTPS_PROXY": "p", "PATH": "/bin"}, ROOT, PLAIN)
    assert needs.items() <= environment.items()
    assert FIXED.items() <= environment.items()
    assert environment["HTTPS_PROXY"] == "p"
    assert environment["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]
    assert stage_environment(environment, ROOT, PLAIN) == environment
    for name, text in needs.items():
        monkeypatch.setenv(name, text)
    assert needs.items() <= machine_class(())["switches"].items()


def test_a_path_that_no_variable_can_hold_is_refused():
    with pytest.raises(ConfigError, match="the path /a:b contains ':'"):
        stage_environment({}, Path("/a:b"), PLAIN)


def test_the_engine_that_the_path_brings_is_brought_on_and_no_other(tmp_path):
    brought = {"PYTHONPATH": f"/elsewhere{os.pathsep}{ENGINE.parent}"}
    environment = stage_environment(brought, tmp_path, PLAIN)
    assert environment["PYTHONPATH"].split(os.pathsep) == [f"{tmp_path}/src", str(ENGINE.parent)]
    assert stage_environment(environment, tmp_path, PLAIN) == environment
    (tmp_path / "src/notebook_pipeline").mkdir(parents=True)
    own = stage_environment(brought, tmp_path, PLAIN)
    assert own["PYTHONPATH"] == stage_environment({}, tmp_path, PLAIN)["PYTHONPATH"]
    assert own["PYTHONPATH"] == f"{tmp_path}/src"


@pytest.mark.slow
def test_a_queued_experiment_runs_the_code_it_was_queued_with(own_toy):
    small = made_small(own_toy)  # DVC's own queue takes no path with an accent
    source = small.path / "src/toy/__init__.py"
    kept = source.read_text(encoding="utf-8")
    started_elsewhere(small, "dvc", "exp", "run", "--queue", "--name", "swift",
                      "-S", "walk.steps=3", "walk")  # fmt: skip
    source.write_text(kept.replace("A project", "Edited: a project"), encoding="utf-8")
    started_elsewhere(small, "dvc", "queue", "start")
    client = small.client()
    wait_for(lambda: finished(client, "swift"), seconds=300)
    [run] = finished(client, "swift")
    assert run.data.tags["dvc.experiment"] == "swift"
    file = client.download_artifacts(run.info.run_id, "facts.json", str(small.path.parent))
    facts = json.loads(Path(file).read_text(encoding="utf-8"))
    assert facts["doc"].startswith("A project")
    assert facts["file"].startswith(str(small.path / ".dvc/tmp/exps"))
    assert run.info.artifact_uri.startswith((small.path / "mlartifacts").as_uri())


def finished(client, experiment):
    runs = mlflow_runs.search_runs(client, "attributes.status = 'FINISHED'")
    return [run for run in runs if run.info.run_name.endswith(f" {experiment}")]


def test_a_folder_of_another_project_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    assert repository.project_root() == ROOT
    (tmp_path / "pyproject.toml").write_text("[tool.notebook_pipeline]\n", encoding="utf-8")
    assert repository.project_root() == tmp_path
    repository.check_own_code(tmp_path)  # it has none that could be another's


def test_another_checkouts_code_is_refused_with_what_brings_the_own(tmp_path):
    (tmp_path / "src/notebook_pipeline").mkdir(parents=True)
    told = f"Python has imported notebook_pipeline from {ENGINE}/__init__.py: set PYTHONPATH="
    with pytest.raises(ConfigError, match=told):
        repository.check_own_code(tmp_path)


def test_a_module_that_lies_elsewhere_or_was_written_meanwhile_is_refused(tmp_path, monkeypatch):
    repository.check_loaded_code(ROOT)
    module = type(sys)("notebook_pipeline.stray")
    module.__file__ = str(tmp_path / "stray.py")
    Path(module.__file__).touch()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(ConfigError, match=r"imported notebook_pipeline\.stray from .*stray\.py: s"):
        repository.check_loaded_code(ROOT)
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setattr(repository, "_BEGAN", 0.0)
    with pytest.raises(ConfigError, match=r"src/.*\.py changed while its code"):
        repository.check_loaded_code(ROOT)


def test_an_interpreter_that_does_not_heed_the_path_is_refused_in_one_line(small):
    done = subprocess.run(
        [sys.executable, "-I", "-c",
         f"import sys; sys.path.insert(0, {str(ENGINE.parent)!r}); "
         "from notebook_pipeline.cli import main; sys.exit(main())", "status"],
        cwd=small.path, env=small.environment(), check=False, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 1
    told = f"notebook_pipeline: this is {small.path}, but Python has imported notebook_pipeline"
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
