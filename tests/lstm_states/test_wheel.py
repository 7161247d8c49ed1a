"""What is published is the library alone, and it needs what it says it needs."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXAMPLE = ROOT / "docs/examples/any_model.py"


def run(*command, **options):
    """Run a command that knows nothing of this checkout, and return all that it printed."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MLFLOW_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    ran = subprocess.run(
        list(map(str, command)), env=env | options.pop("env", {}), encoding="utf-8", check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: building leaves things behind."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=unwanted)
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, folder)
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_its_page_alone(wheel):
    assert {path.name for path in (ROOT / "src").iterdir() if (path / "__init__.py").exists()} == {
        "lstm_states",
        "lstm_explorer",
        "lstm_inspect",
        "notebook_pipeline",
        "experiments",
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        said = archive.read(about).decode()
    held = {name for name in names if ".dist-info/" not in name}
    source = ROOT / "src"
    files = [f for kind in ("py", "js", "css") for f in source.glob(f"lstm_*/**/*.{kind}")]
    assert held == {str(path.relative_to(source)) for path in files}
    assert {"lstm_explorer/page.js", "lstm_explorer/page.css", "lstm_inspect/report.css"} < held
    assert not [name for name in names if "entry_points" in name]  # no command
    assert {name.split("/")[0] for name in names - held} == {about.split("/")[0]}
    needed = [line.split(": ")[1] for line in said.splitlines() if line.startswith("Requires-Dist")]
    plain = {str(Requirement(line)) for line in needed if "extra ==" not in line}
    assert plain == {str(Requirement(line)) for line in PROJECT["dependencies"]}


def installed_with(requirements):
    """Return the names of distributions that ``requirements`` bring along, as installed here."""
    todo, found = [Requirement(line) for line in requirements], set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, tuple(wanted.extras)) in found:
            continue
        found.add((name, tuple(wanted.extras)))
        try:
            needed = metadata.requires(name) or ()
        except PackageNotFoundError:
            continue
        for one in map(Requirement, needed):
            extras = [{"extra": extra} for extra in ("", *wanted.extras)]
            if one.marker is None or any(map(one.marker.evaluate, extras)):
                todo.append(one)
    return {name for name, _ in found}


def modules_beyond(requirements):
    """Return the importable names that are installed here and not brought by ``requirements``."""
    allowed = installed_with(requirements)
    return sorted(
        module
        for module, owners in metadata.packages_distributions().items()
        if not allowed & {canonicalize_name(owner) for owner in owners}
        and module not in {"lstm_states", "lstm_explorer", "lstm_inspect"}
        and module not in {"pkg_resources", "setuptools", "_distutils_hack"}
    )


WITHOUT = """
import sys

class Rest:  # what is hidden isn't there either for who asks first, as xarray does
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in beyond:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Rest, sys.meta_path)
"""

EVERYTHING = """
import importlib, pkgutil, runpy
import keras, numpy as np
import lstm_explorer, lstm_inspect, lstm_states

for name in lstm_states.__all__:
    assert getattr(lstm_states, name)
for module in pkgutil.walk_packages(lstm_states.__path__, "lstm_states."):
    if not module.name.startswith("lstm_states.plots"):
        importlib.import_module(module.name)

told = []
log = lambda metrics, step: told.append(step)
x = np.zeros((2, 3, 1), "float32")
model = keras.Sequential([keras.Input((3, 1)), keras.layers.LSTM(2), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(x, x[:, 0], verbose=0, callbacks=[lstm_states.LogStateStatistics(x, log=log)])
assert told == [0, 1], told
traces = lstm_states.record_traces(model, x)
lstm_states.write_traces(traces, "traces.zarr")
assert lstm_states.open_traces("traces.zarr").attrs["layers"] == ["lstm"]
assert "</html>" in lstm_explorer.write_explorer(traces, "states.html", inputs=x).read_text()
for module in pkgutil.walk_packages(lstm_inspect.__path__, "lstm_inspect."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
found = lstm_inspect.inspect_model(model, x, labels=[0, 1])
assert found.probes is None and "lstm-states[probes]" in found.page
try:
    lstm_states.probe_states(traces, numbers=x[..., 0])
except ModuleNotFoundError as error:
    assert "lstm-states[probes]" in str(error), error
else:
    raise AssertionError("a probe is fitted without scikit-learn")
try:
    lstm_states.open_traces("traces.zarr", chunks="auto")
except ModuleNotFoundError as error:
    assert "lstm-states[dask]" in str(error), error
else:
    raise AssertionError("traces are opened in chunks without Dask")
runpy.run_path(example)
print("all of it works")
"""


def test_every_public_name_works_with_what_it_says_it_needs(tmp_path):
    beyond = modules_beyond(PROJECT["dependencies"])
    assert {"mlflow", "seaborn", "matplotlib", "pydantic", "sklearn", "dvc"} <= set(beyond)
    assert not {"keras", "numpy", "tensorflow", "xarray", "zarr", "pandas"} & set(beyond)
    facts = f"beyond = {set(beyond)}\nexample = {str(EXAMPLE)!r}\n"
    source = {"PYTHONPATH": str(ROOT / "src")}
    printed = run(sys.executable, "-c", facts + WITHOUT + EVERYTHING, cwd=tmp_path, env=source)
    assert printed.endswith("all of it works\n"), printed


def test_probes_need_the_extra_for_probes_alone():
    extra = PROJECT["optional-dependencies"]["probes"]
    assert "sklearn" not in modules_beyond([*PROJECT["dependencies"], *extra])
    assert set(extra) <= set(PROJECT["optional-dependencies"]["experiments"])


def test_chunks_and_clients_need_the_extra_for_dask_alone():
    extra = PROJECT["optional-dependencies"]["dask"]
    assert {"dask", "distributed"} <= set(modules_beyond(PROJECT["dependencies"]))
    assert not {"dask", "distributed"} & set(modules_beyond([*PROJECT["dependencies"], *extra]))
    assert set(extra) <= set(PROJECT["optional-dependencies"]["experiments"])


@pytest.mark.parametrize("extra", [None, "plots"])
def test_figures_need_the_extra_for_figures(extra):
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(extra, ())]
    program = f"beyond = {set(modules_beyond(lines))}\n{WITHOUT}\n"
    program += "import os; os.environ['MPLBACKEND'] = 'agg'\ntry:\n    import lstm_states.plots\n"
    program += "except ModuleNotFoundError as error:\n    print('without', error.name)\n"
    printed = run(sys.executable, "-c", program, env={"PYTHONPATH": str(ROOT / "src")})
    assert printed == ("" if extra else "without seaborn\n")


def test_no_module_of_the_library_imports_what_an_extra_brings_but_plots():
    """At no time: what MLflow logs by default and what scikit-learn fits is asked for when used."""
    extras = PROJECT["optional-dependencies"]["experiments"]
    brought = {"mlflow", "seaborn", "matplotlib", "sklearn"} | {
        Requirement(line).name for line in extras
    }
    found = set()
    for path in (ROOT / "src").glob("lstm_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ())]
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = {name.partition(".")[0] for name in names}
                found |= {(path.parent.name, root) for root in roots & brought}
    assert found == {
        ("plots", "seaborn"),
        ("plots", "matplotlib"),
        ("lstm_states", "mlflow"),
        ("lstm_states", "sklearn"),
        ("traces", "distributed"),
    }


@pytest.mark.nightly
def test_the_wheel_runs_in_an_empty_environment(wheel, tmp_path):
    """With its own dependencies, as pip finds them; takes minutes and gigabytes."""
    folder = tmp_path / "empty"
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin/python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
    try:
        run(*pip, "download", "--no-deps", "--dest", tmp_path / "probe", "tqdm")
    except AssertionError as error:
        pytest.skip(f"pip reaches no package index: {str(error).splitlines()[0]}")
    run(*pip, "install", "--no-compile", wheel)
    listed = {line.partition("==")[0].lower() for line in run(*pip, "freeze").splitlines()}
    assert not {"mlflow", "seaborn", "pydantic", "papermill", "dvc", "click"} & listed
    shutil.copy(EXAMPLE, tmp_path)
    printed = run(python, EXAMPLE.name, cwd=tmp_path)
    assert "layer_output" in printed
    assert "forget_gate" in printed
    draw = "import lstm_states.plots as p; print(p.plot_gates.__name__)"
    with pytest.raises(AssertionError, match="No module named 'seaborn'"):
        run(python, "-c", draw, cwd=tmp_path)
    run(*pip, "install", "--no-compile", f"{wheel}[plots]")
    assert run(python, "-c", draw, cwd=tmp_path) == "plot_gates\n"
    assert "experiments" not in " ".join(os.listdir(next(folder.glob("lib/python*/site-packages"))))
