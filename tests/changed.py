"""The quick tests of what differs from the last commit: `python -m tests.changed`.

Where nothing differs, those of the last commit itself. `make check` runs what it prints.
"""

import subprocess
from pathlib import Path, PurePath

from tests.repository import ROOT

PLACES = {
    "Makefile": ["test_setup.py"],
    "bench": ["test_bench.py"],
    "claims.yaml": ["experiments/claims"],
    "data/sources.yaml": ["experiments/data/test_raw.py"],
    "docs/cluster.md": ["notebook_pipeline/test_cluster_settings.py"],
    "docs/compare.md": ["experiments/test_comparison.py"],
    "docs/coverage.md": ["lstm_states/test_coverage_page.py"],
    "docs/examples": ["lstm_states/test_examples.py"],
    "docs/explorer.md": ["lstm_states/test_examples.py"],
    "docs/inspect.md": ["lstm_states/test_examples.py"],
    "docs/interventions.md": ["lstm_states/test_examples.py"],
    "docs/measures.md": ["lstm_states/test_examples.py"],
    "docs/questions.md": ["experiments/test_questions_page.py"],
    "dvc.yaml": ["experiments/test_dvc_yaml.py"],
    "environment.yml": ["test_environment.py"],
    "notebooks": ["experiments/test_notebooks.py"],
    "params.yaml": ["experiments/test_config.py", "experiments/test_notebooks.py"],
    "pyproject.toml": ["test_environment.py", "experiments/test_layers.py"],
    "README.md": ["test_readme.py"],
    "requirements.lock": ["test_environment.py"],
    "src/experiments": ["experiments/test_project.py", "experiments/test_layers.py"],
    "src/experiments/distances.py": ["experiments/test_comparison.py"],
    "src/experiments/shared/figures.py": ["experiments/test_figures.py"],
    "src/experiments/shared/scores.py": ["experiments/test_measures.py"],
    "src/experiments/templates": ["experiments/test_new.py"],
    "src/explorer": ["lstm_explorer"],
    "src/lstm_explorer": ["lstm_explorer"],
    "src/lstm_inspect": ["lstm_inspect"],
    "src/lstm_states": ["lstm_states/test_cells.py"],
    "src/lstm_states/acceleration.py": ["lstm_states/test_acceleration_keras_path.py"],
    "src/lstm_states/kernels": ["lstm_states/test_cells.py", "lstm_states/traces/test_probe.py"],
    "src/lstm_states/kernels/fused.py": ["lstm_states/traces/test_record.py"],
    "src/lstm_states/nodes.py": ["lstm_states/test_geometry.py"],
    "src/lstm_states/proof": ["lstm_states/test_cells.py", "lstm_states/traces/test_record.py"],
    "src/lstm_states/store": ["lstm_states/traces/test_store.py"],
    "src/lstm_states/streaming": ["lstm_states/traces/test_session.py"],
    "src/lstm_states/timing.py": ["lstm_states/test_acceleration.py"],
    "src/lstm_states/traces": ["lstm_states/traces/test_record.py"],
    "src/lstm_states/traces/derivative.py": ["lstm_states/traces/test_gradients.py"],
    "src/lstm_states/traces/job.py": ["lstm_states/traces/test_shared.py"],
    "src/notebook_pipeline": [
        "notebook_pipeline/test_cli.py",
        "notebook_pipeline/test_mistakes.py",
        "notebook_pipeline/test_toy.py",
    ],
    "src/notebook_pipeline/README.md": ["notebook_pipeline/test_start.py"],
    "src/notebook_pipeline/comparison": ["notebook_pipeline/test_comparison_parts.py"],
    "src/notebook_pipeline/departures.py": ["notebook_pipeline/test_expectations.py"],
    "src/notebook_pipeline/mlflow_runs": [
        "notebook_pipeline/test_results.py",
        "notebook_pipeline/test_runs.py",
        "notebook_pipeline/test_store.py",
    ],
    "src/notebook_pipeline/parameters": [
        "notebook_pipeline/test_contract.py",
        "notebook_pipeline/test_mistakes.py",
    ],
    "src/notebook_pipeline/repro": [
        "notebook_pipeline/test_dvc_stage.py",
        "notebook_pipeline/test_progress.py",
    ],
    "src/notebook_pipeline/run": [
        "notebook_pipeline/test_contract.py",
        "notebook_pipeline/test_faults.py",
    ],
    "src/notebook_pipeline/system": [
        "notebook_pipeline/test_machine.py",
        "notebook_pipeline/test_signals.py",
    ],
    "src/notebook_pipeline/verification": [
        "notebook_pipeline/test_clone.py",
        "notebook_pipeline/test_differences.py",
        "notebook_pipeline/test_tolerances.py",
    ],
    "tests/changed.py": ["test_changed.py"],
    "tests/toy": ["notebook_pipeline/test_toy.py"],
    "tolerances.yaml": ["notebook_pipeline/test_tolerances.py"],
}
"""Tests of files and folders that no test is called like, or none that is quick."""


def git(*arguments):
    shown = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )
    return [line for line in shown.stdout.splitlines() if line]


def changed():
    """Paths of the files that differ from the last commit, new ones included."""
    differ = git("diff", "--name-only", "HEAD")
    new = git("ls-files", "--others", "--exclude-standard")
    # Of the first commit nothing is before it.
    return differ + new or git("show", "--name-only", "--format=", "HEAD")


def quick_tests(path):
    """The quick test files of a file: of the nearest place that has some.

    A place is the file, then each folder around it. Its tests are those that :data:`PLACES` names,
    else those called like it: of ``src/package/room/module.py``
    ``tests/package/room/test_module.py``, ``tests/package/test_module.py`` or
    ``test_module_*.py``, and for the room the same, or all of ``tests/package/room``.
    """
    path = PurePath(path)
    if path.parts[0] == "tests" and path.name.startswith("test_"):
        return [path.as_posix()] if (ROOT / path).is_file() else []
    for place in (path, *path.parents):
        if found := [file for file in _tests_at(place) if _is_quick(file)]:
            return sorted(file.relative_to(ROOT).as_posix() for file in found)
    return []


def _tests_at(place):
    tests = ROOT / "tests"
    if place.as_posix() in PLACES:
        named = [tests / name for name in PLACES[place.as_posix()]]
        return [
            test for one in named for test in (one.glob("test_*.py") if one.is_dir() else [one])
        ]
    if place.parts[:1] != ("src",) or place.suffix not in ("", ".py") or len(place.parts) < 3:
        return []
    package, mirrored = tests / place.parts[1], tests.joinpath(*place.parts[1:]).with_suffix("")
    beside = [mirrored.with_name(f"test_{place.stem}.py"), package / f"test_{place.stem}.py"]
    called = [one for one in beside if one.is_file()][:1]
    return [*called, *package.glob(f"test_{place.stem}_*.py"), *mirrored.glob("test_*.py")]


def _is_quick(file: Path):
    """Whether a test file isn't slow as a whole."""
    return "\npytestmark = pytest.mark.slow\n" not in file.read_text(encoding="utf-8")


if __name__ == "__main__":
    print(*sorted({test for path in changed() for test in quick_tests(path)}))
