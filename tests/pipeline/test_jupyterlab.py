"""A person opens a notebook in JupyterLab, in a real browser, and runs all its cells."""

import time

import nbformat
import pytest

from lstm_states import tracking
from tests.lab import serving

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_run_all_cells(clone, browser):
    with serving(clone, "jupyter", "lab", "--ip=127.0.0.1") as lab:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab.replace("/lab?", "/lab/tree/notebooks/03_variable_length.ipynb?"))
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        run = _wait_for_the_run(tracking.connect(clone.path))
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2000)
        page.close()
    # The last cell's outputs are there, so every cell before it has passed.
    saved = nbformat.read(clone.path / "notebooks/03_variable_length.ipynb", as_version=4)
    clone.run("git", "checkout", "--", "notebooks")
    outputs = [cell.outputs for cell in saved.cells if cell.cell_type == "code"]
    assert "Largest residuals of the trace" in outputs[-1][-1]["data"]["text/html"]
    assert not [o for found in outputs for o in found if o["output_type"] in ("error", "stream")]
    assert run.data.tags["configuration"] == "variable_length"
    # Its files stand beside the pipeline's, which are left alone.
    assert (clone.path / "reports/interactive/variable_length/metrics.json").is_file()
    assert "up to date" in clone.run("dvc", "repro", "--dry")


def _wait_for_the_run(client):
    experiment = client.get_experiment_by_name("lstm-states")
    for _ in range(150):
        found = client.search_runs([experiment.experiment_id], "tags.interactive = 'true'")
        if found and found[0].info.status != "RUNNING":
            break
        time.sleep(1)
    [run] = found
    assert run.info.status == "FINISHED"
    return run
