import json
import os

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell
from playwright.sync_api import expect

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.reports.readable import has_tag
from notebook_pipeline.run.debugging import debug_command
from notebook_pipeline.run.runner import find_notebook
from tests.lab import serving
from tests.repository import ROOT
from tests.toy_clone import copy_toy

pytestmark = pytest.mark.slow

LATE = """
import time

kernel = get_ipython().kernel
publish = kernel._publish_status


def late(status, *args, **options):
    if status == "idle":
        kernel._publish_status = publish
        time.sleep(6)
    publish(status, *args, **options)


kernel._publish_status = late
"""
"""A cell whose last word to the runner comes 6 seconds after its end."""


@pytest.fixture(scope="module")
def broken(toy_that_ran, tmp_path_factory):
    """A toy with a cell that divides by zero, once there are results and long output; it has run.

    Returns it, what the run printed, and the report that lay there before.
    """
    toy = copy_toy(toy_that_ran, tmp_path_factory.mktemp("broken") / "toy")
    toy.insert("walk", "settings.steps / 0")
    toy.insert("walk", "\n".join(f"print({number})" for number in range(100)))
    kept = (toy.path / "reports/walk/report.ipynb").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
        patch.setenv("DVC_STUDIO_TOKEN", "hunter2")
        printed = toy.call("run", "walk", ok=False)
    return toy, printed, kept


def test_a_failure_is_told_in_a_few_lines_and_loses_nothing(broken):
    broken, printed, kept = broken
    report = broken.path / "reports/walk/report.ipynb"
    said = printed[printed.index("python -m notebook_pipeline:") :]
    assert "01_walk.ipynb failed in code cell 6: ZeroDivisionError" in said
    assert "in reports/failed/walk; `python -m notebook_pipeline debug walk` opens" in said
    assert len(said.splitlines()) <= 3
    partial = broken.path / "reports/failed/walk/01_walk.ipynb"
    outputs = [c.get("outputs") for c in nbformat.read(partial, as_version=4).cells]
    assert any(o["output_type"] == "error" for found in outputs if found for o in found)
    client = broken.client()
    run = mlflow_runs.search_runs(client)[0]
    assert run.info.status == "FAILED"
    assert run.data.tags["configuration"] == "walk"
    assert "01_walk.ipynb" in [f.path for f in client.list_artifacts(run.info.run_id)]
    assert report.read_bytes() == kept


def test_a_single_run_shows_its_own_page_and_is_undone_without_force(toy):
    page = toy.path / "reports/walk/report.html"
    before = page.read_bytes()
    toy.insert("walk", "print('another walk')")
    printed = toy.run("dvc", "repro", "--single-item", "walk")
    assert "\nwrote reports/walk/report.html\n" in printed
    assert b"another walk" in page.read_bytes()
    toy.run("git", "checkout", "--", "dvc.lock", "notebooks", "reports")
    toy.run("dvc", "checkout")
    assert page.read_bytes() == before


def test_a_page_that_cannot_be_rendered_fails_no_run_and_leaves_no_old_page(toy):
    toy.insert("walk", """from IPython.display import HTML\n\nHTML("<img src='missing.png'>")""")
    printed = toy.run("dvc", "repro", "--single-item", "walk")
    assert "reports/walk/report.html can't be rendered: the report" in printed
    assert "would load missing.png" in printed
    assert "\nwrote reports/walk/report.ipynb\n" in printed
    assert not (toy.path / "reports/walk/report.html").exists()
    assert mlflow_runs.search_runs(toy.client())[0].info.status == "FINISHED"
    assert "would load missing.png" in toy.call("pages", ok=False)
    toy.run("git", "checkout", "--", "dvc.lock", "notebooks", "reports")
    toy.run("dvc", "checkout")


def test_an_output_that_takes_long_to_arrive_is_waited_for(toy):
    """As on a busy machine: papermill itself gives a cell's last output 4 seconds."""
    toy.insert("walk", "1 / 0", at=2)  # before the imports, which take time
    notebook = nbformat.read(toy.notebook("walk"), as_version=4)
    notebook.cells.insert(2, new_code_cell(LATE, id="late"))
    nbformat.write(notebook, toy.notebook("walk"))
    printed = toy.call("run", "walk", ok=False)
    toy.run("git", "checkout", "--", "notebooks")
    assert "failed in code cell 4: ZeroDivisionError" in printed


@pytest.mark.browser
def test_a_failure_leaves_a_bundle_that_opens_at_the_failing_cell(broken, browser):
    broken, *_ = broken
    folder = broken.path / "reports/failed/walk"
    params = yaml.safe_load((broken.path / "params.yaml").read_text(encoding="utf-8"))["walk"]
    assert yaml.safe_load((folder / "parameters.yaml").read_text(encoding="utf-8")) == params
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    assert environment["machine"]["packages"]["numpy"] == np.__version__
    assert environment["variables"]["PYTHONPATH"].split(os.pathsep) == [
        str(broken.path / "src"),
        str(ROOT / "src"),
    ]
    assert environment["variables"]["TOY_MOOD"] == "good"
    assert "hunter2" not in (folder / "environment.json").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in (folder / "log.txt").read_text(encoding="utf-8")
    notebook = nbformat.read(folder / "01_walk.ipynb", as_version=4)
    [injected] = [c for c in notebook.cells if has_tag(c, "injected-parameters")]
    assert f"steps = {params['steps']}" in injected.source
    with pytest.raises(ConfigError, match="no failed run of double"):
        debug_command("double", broken.path)
    command = ("python", "-m", "notebook_pipeline", "debug", "walk")
    with serving(broken, *command) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.goto(address)
        failed = page.locator(".jp-CodeCell").filter(has_text="ZeroDivisionError: division by")
        failed.wait_for(timeout=90_000)
        expect(failed).to_be_in_viewport()
        expect(page.get_by_role("heading", name="The cell that failed")).to_be_in_viewport()
        expect(page.get_by_text("cells hidden")).to_be_visible()
        expect(page.get_by_text("print(99)", exact=True)).not_to_be_visible()  # it is above
        # A server that is told to end while it starts a kernel would wait for ever.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        page.close()


def test_a_notebook_is_found_by_its_name(toy):
    assert find_notebook("walk", toy.path).name == "01_walk.ipynb"
    with pytest.raises(ConfigError, match=r"NN_nothing\.ipynb: 0 found"):
        find_notebook("nothing", toy.path)
