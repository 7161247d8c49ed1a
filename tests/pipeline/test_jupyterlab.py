"""A person opens a notebook in JupyterLab, in a real browser, and runs all its cells."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from lstm_states import tracking

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture
def lab(clone):
    """JupyterLab serving the clone on loopback; gives its address with the token."""
    folder = Path(sys.executable).parent
    env = {**os.environ, "PYTHONPATH": str(clone.path / "src")}
    env["PATH"] = f"{folder}{os.pathsep}{env['PATH']}"
    log = clone.path.parent / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [folder / "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port=0",
             *(["--allow-root"] if os.geteuid() == 0 else [])],
            cwd=clone.path, env=env, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield _address(log, server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _address(log: Path, server: subprocess.Popen) -> re.Match:
    for _ in range(120):
        found = re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", log.read_text())
        if found:
            return found
        assert server.poll() is None, log.read_text()
        time.sleep(0.5)
    raise TimeoutError(log.read_text())


def test_run_all_cells(clone, lab, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{lab[1]}/lab/tree/notebooks/03_variable_length.ipynb?token={lab[2]}")
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
