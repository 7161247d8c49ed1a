import json

import keras
import nbformat
import pytest
import yaml
from playwright.sync_api import expect

from lstm_states import tracking
from lstm_states.config import ConfigError
from lstm_states.pipeline.article import has_tag
from lstm_states.pipeline.debugging import debug_command
from lstm_states.pipeline.runner import find_notebook
from tests.clone import ROOT
from tests.lab import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def broken(clone):
    """The variable_length notebook of the clone with a cell that divides by zero."""
    path = clone.path / "notebooks/03_variable_length.ipynb"
    kept = path.read_text()
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells[3].source += "\nsettings.epochs / 0"
    nbformat.write(notebook, path)
    yield clone
    path.write_text(kept)


def test_a_failure_is_told_in_a_few_lines_and_loses_nothing(broken):
    report = broken.path / "reports/variable_length/report.html"
    kept = report.read_bytes()
    printed = broken.run("lstm-states", "run", "variable_length", ok=False)
    said = printed[printed.index("lstm-states:") :]
    assert "03_variable_length.ipynb failed in code cell 5: ZeroDivisionError" in said
    assert "in reports/failed/variable_length; `lstm-states debug variable_length` opens" in said
    assert len(said.splitlines()) <= 3
    partial = broken.path / "reports/failed/variable_length/03_variable_length.ipynb"
    outputs = [c.get("outputs") for c in nbformat.read(partial, as_version=4).cells]
    assert any(o["output_type"] == "error" for found in outputs if found for o in found)
    client = tracking.connect(broken.path)
    experiment = client.get_experiment_by_name("lstm-states")
    run = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert run.info.status == "FAILED"
    assert run.data.tags["configuration"] == "variable_length"
    assert "03_variable_length.ipynb" in [f.path for f in client.list_artifacts(run.info.run_id)]
    assert report.read_bytes() == kept


@pytest.mark.browser
def test_a_failure_leaves_a_bundle_that_opens_at_the_failing_cell(broken, browser, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("DVC_STUDIO_TOKEN", "hunter2")
    broken.run("lstm-states", "run", "variable_length", ok=False)
    folder = broken.path / "reports/failed/variable_length"
    params = yaml.safe_load((broken.path / "params.yaml").read_text())["variable_length"]
    assert yaml.safe_load((folder / "parameters.yaml").read_text()) == params
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["machine"]["packages"]["keras"] == keras.__version__
    assert environment["variables"]["PYTHONPATH"] == str(broken.path / "src")
    assert "hunter2" not in (folder / "environment.json").read_text()
    assert "ZeroDivisionError" in (folder / "log.txt").read_text()
    notebook = nbformat.read(folder / "03_variable_length.ipynb", as_version=4)
    [injected] = [c for c in notebook.cells if has_tag(c, "injected-parameters")]
    assert f"epochs = {params['epochs']}" in injected.source
    with pytest.raises(ConfigError, match="no failed run of stacked"):
        debug_command("stacked", broken.path)
    with serving(broken, "lstm-states", "debug", "variable_length") as address:
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(address)
        failed = page.locator(".jp-CodeCell").filter(has_text="ZeroDivisionError: division by")
        failed.wait_for(timeout=90_000)
        expect(failed).to_be_in_viewport()
        expect(page.get_by_text("cells hidden")).to_be_in_viewport()
        page.close()


def test_the_notebook_of_a_configuration_is_found_by_its_name():
    assert find_notebook("stacked", ROOT).name == "01_stacked.ipynb"
    with pytest.raises(ConfigError, match=r"NN_nothing\.ipynb: 0 found"):
        find_notebook("nothing", ROOT)
