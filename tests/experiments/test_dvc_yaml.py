"""The dependencies that dvc.yaml declares are those that a stage's code imports and loads."""

import ast
from pathlib import Path

import grimp
import nbformat
import pytest
import yaml

import lstm_states
from experiments.data.catalogue import _KINDS, any_data_set
from experiments.project import PROJECT
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.repository import find_notebook
from notebook_pipeline.stages.states import notebooks_of, open_repo, stages_of, sweeps_of
from tests.experiments.declared import of_the_engine, starts_the_work
from tests.repository import ROOT

GRAPH = grimp.build_graph("lstm_states", "lstm_explorer", "notebook_pipeline", "experiments")
any_data_set()  # imports all kinds
with open_repo(ROOT) as repo:
    STAGES = notebooks_of(repo, ROOT)
    SWEEPS = sweeps_of(repo, ROOT)
    DECLARED = {stage.addressing: stage.deps for stage in stages_of(repo)}

OURS = {
    *("stacked", "intermediate_outputs", "variable_length"),
    *("how_states_flow", "memory", "depth", "carrying_state", "masking", "cost"),
    *("order_book", "japanese_vowels", "table"),
}
"""Of these, a dependency that isn't needed is a fault. Who adds an experiment or a kind of data may
leave those in that `lstm-states new` writes, so that none is missing later."""


def deps_of(stage):
    return [dep.def_path for dep in DECLARED[stage] if dep.def_path != "params.yaml"]


def params_of(stage):
    """Sections of params.yaml."""
    return {name for dep in DECLARED[stage] if dep.def_path == "params.yaml" for name in dep.params}


def code_of(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    return ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


def modules_of(notebook):
    """The modules of ours that a notebook imports, lazy names followed to their homes."""
    for node in ast.walk(code_of(notebook)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield home(node.module, alias.name)


def home(module, name):
    """The module that ``from module import name`` reads."""
    if module == "lstm_states":
        return f"lstm_states.{lstm_states._HOMES.get(name, name)}"
    inner = f"{module}.{name}"
    return inner if inner in GRAPH.modules else module


def file_of(module):
    path = Path("src", *module.split("."))
    return str(path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py"))


def reached(modules, is_excused=lambda file: False):
    """Files that ``modules`` need, themselves included.

    What is excused is left out, and what that alone needs.
    """
    wanted = [module for module in modules if module in GRAPH.modules]
    needed = set()
    while wanted:
        module = wanted.pop()
        file = file_of(module)
        # Lazy homes are a public name's: a module that imports the package needs what it names.
        if file in needed or is_excused(file):
            continue
        needed.add(file)
        wanted += GRAPH.find_modules_directly_imported_by(module)
    return needed


def covers(dep, file):
    return file == dep or file.startswith(f"{dep}/")


def undeclared(modules, deps, *, page=False):
    """Files that ``modules`` need and that no dependency covers, but for what starts the work."""

    def is_excused(file):
        return starts_the_work(file) or of_the_engine(file, page=page)

    files = reached(modules, is_excused)
    return {file for file in files if not any(covers(dep, file) for dep in deps)}


def idle(modules, deps):
    """Dependencies on code that ``modules`` don't need."""
    files, code = reached(modules), [dep for dep in deps if dep.startswith("src/")]
    return {dep for dep in code if not any(covers(dep, file) for file in files)}


@pytest.mark.parametrize("name", STAGES)
def test_code_of_a_notebook(name):
    deps = deps_of(STAGES[name])
    modules = {*modules_of(find_notebook(name, ROOT)), "notebook_pipeline.reports.canonical"}
    assert undeclared(modules, deps) == set()
    assert name not in OURS or idle(modules, deps) == set()


@pytest.mark.parametrize("name", STAGES)
def test_inputs_of_a_notebook(name):
    """Its own, and those of the configurations that it loads and whose parameters it `uses`."""
    code = code_of(find_notebook(name, ROOT))
    calls = [node for node in ast.walk(code) if isinstance(node, ast.Call)]
    others = {
        call.args[0].value for call in calls if ast.unparse(call.func) == "load_configuration"
    } - {name}
    uses = {
        other
        for call in calls
        for word in call.keywords
        if word.arg == "uses"
        for other in ast.literal_eval(word.value)
    }
    assert uses == others or name not in OURS
    assert params_of(STAGES[name]) >= {name} | others
    sections = [getattr(load_parameters(ROOT), section) for section in {name} | others]
    datasets = {section.dataset for section in sections if hasattr(section, "dataset")}
    needed = {
        "requirements.lock",
        *(str(find_notebook(one, ROOT).relative_to(ROOT)) for one in {name} | others),
        *(f"data/processed/{dataset}.zarr" for dataset in datasets),
        *(f"reports/{other}/model" for other in others),
    }
    declared = {dep for dep in deps_of(STAGES[name]) if not dep.startswith("src/")}
    assert declared >= needed
    if name in OURS:
        assert declared == needed
        assert params_of(STAGES[name]) == {name} | others


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        ("claims", {"experiments.claims.page"}),
        ("explorer@stacked", {"experiments.explorer"}),
        # What a sweep is judged by is the project's, which the engine finds by its name.
        ("index", {"experiments.index.index", "experiments.swept.scores"}),
        ("pages", {"notebook_pipeline.reports.page"}),
        (
            "sweep_page@depth_and_width",
            {"notebook_pipeline.sweeps.page", "experiments.swept.scores"},
        ),
    ],
)
def test_code_of_a_page(stage, modules):
    assert undeclared(modules, deps_of(stage), page=True) == set()
    assert idle(modules, deps_of(stage)) == set()


@pytest.mark.parametrize("name", SWEEPS)
def test_code_and_inputs_of_a_sweep(name):
    settings = load_parameters(ROOT).sweeps[name]
    function = PROJECT.swept[settings.of].function
    modules = {function.partition(":")[0], "notebook_pipeline.parameters.sweeps"}
    deps = deps_of(SWEEPS[name])
    assert undeclared(modules, deps) == set()
    assert idle(modules, deps) == set()
    dataset = getattr(load_parameters(ROOT), settings.of).dataset
    assert {dep for dep in deps if not dep.startswith("src/")} == {
        f"data/processed/{dataset}.zarr",
        "requirements.lock",
    }
    assert params_of(SWEEPS[name]) == {settings.of, f"sweeps.{name}"}


@pytest.mark.parametrize(("maker", "kind"), _KINDS.items())
def test_code_of_prepare(maker, kind):
    """Of any kind of data set, each in a module of its name."""
    own, book = (f"src/experiments/data/{name}.py" for name in (maker, "order_book"))
    deps = [own if dep == book else dep for dep in deps_of("prepare@order_book")]
    modules = {"experiments.data.prepare", kind.__module__}
    assert undeclared(modules, deps) == set()
    assert maker not in OURS or idle(modules, deps) == set()


def test_lists_are_in_alphabetical_order():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    for stage in pipeline["stages"].values():
        for kind in ("deps", "outs", "params"):
            items = stage.get("do", stage).get(kind, [])
            paths = [item if isinstance(item, str) else next(iter(item)) for item in items]
            assert paths == sorted(paths)


@pytest.mark.parametrize(
    ("dep", "file"),
    [
        ("src/lstm_states", "src/lstm_states/summary.py"),
        ("src/experiments/shared", "src/experiments/shared/learning.py"),
        *[(path := "src/experiments/data/samples.py", path)],
        ("src/experiments/forecasting", "src/experiments/forecasting/training.py"),
        *[(path := "src/notebook_pipeline/reports/canonical.py", path)],
    ],
)
def test_a_missing_dependency_is_found(dep, file):
    modules = {
        *modules_of(find_notebook("stacked", ROOT)), "notebook_pipeline.reports.canonical"
    }  # fmt: skip
    deps = [one for one in deps_of(STAGES["stacked"]) if one != dep]
    assert file in undeclared(modules, deps)


def test_what_a_page_shows_is_no_part_of_what_finds_it():
    assert undeclared({"notebook_pipeline.reports.page"}, [], page=True) >= {
        "src/notebook_pipeline/reports/page.py",
        "src/notebook_pipeline/departures.py",
    }


def test_a_dependency_that_no_code_needs_is_found():
    modules, deps = {*modules_of(find_notebook("cost", ROOT))}, deps_of(STAGES["cost"])
    samples = "src/experiments/data/samples.py"
    assert idle(modules, [*deps, samples]) == {
        samples,
        "src/notebook_pipeline/reports/canonical.py",
    }
