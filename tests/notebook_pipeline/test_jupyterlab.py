"""A person opens a notebook in JupyterLab, in a real browser, and runs all its cells."""

import nbformat
import pytest

from notebook_pipeline import mlflow_runs
from tests.lab import serving
from tests.toy_clone import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_run_all_cells(toy, browser):
    client = toy.client()

    def ended():
        """The runs that a person has made, if they have ended."""
        found = mlflow_runs.search_runs(client, "tags.interactive = 'true'")
        return [run for run in found if run.info.status != "RUNNING"]

    with serving(toy, "jupyter", "lab", "--ip=127.0.0.1") as lab:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab.replace("/lab?", "/lab/tree/notebooks/01_walk.ipynb?"))
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        wait_for(ended)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        for _ in range(20):  # the run ends before its last cell does
            page.keyboard.press("Control+s")
            page.wait_for_timeout(500)
            saved = nbformat.read(toy.path / "notebooks/01_walk.ipynb", as_version=4)
            outputs = [cell.outputs for cell in saved.cells if cell.cell_type == "code"]
            if outputs[-1]:
                break
        page.close()
    toy.run("git", "checkout", "--", "notebooks")
    # The last cell's outputs are there, so every cell before it has passed.
    answer, held = (found[-1]["data"] for found in outputs[-2:])
    assert "**Answer.** It ends at" in answer["text/markdown"]
    assert "This run departs from none of 1" in held["text/html"]
    assert not [o for found in outputs for o in found if o["output_type"] in ("error", "stream")]
    [run] = ended()
    assert run.info.status == "FINISHED"
    assert run.data.tags["configuration"] == "walk"
    # Its files stand beside the pipeline's, which are left alone.
    assert (toy.path / "reports/interactive/walk/metrics.json").is_file()
    assert "up to date" in toy.run("dvc", "repro", "--dry")
