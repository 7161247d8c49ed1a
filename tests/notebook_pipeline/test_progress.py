"""What is told of stages while they run."""

import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from rich.console import Console

from notebook_pipeline.repro.progress import StageLines, last_lines, read_cells
from tests.notebook_pipeline.light import SLOW, stage

MAIN = "from notebook_pipeline.cli import main; raise SystemExit(main(['repro']))"


@pytest.mark.slow
def test_without_a_terminal_a_stage_that_goes_on_is_told_of_again(repository):
    waits = "until [ -e read ]; do sleep 0.1; done; cat bar; "
    clone = repository(slow=stage(f"{waits}{SLOW['cmd']}; true notebook_pipeline run slow", "slow"))
    (clone.path / "notebooks/09_slow.ipynb").touch()
    (clone.path / "reports/slow").mkdir(parents=True)
    (clone.path / "bar").write_text("Executing:  45%|██▌ | 9/20", encoding="utf-8")
    attempt = clone.path / "reports/failed/slow"
    attempt.mkdir(parents=True)
    shown = new_output("display_data", {"text/plain": "seed 1 of 2, epoch 3 of 9: loss 0.5"})
    cell = new_code_cell("fit()", outputs=[shown], metadata={"papermill": {"status": "running"}})
    nbformat.write(new_notebook(cells=[cell]), attempt / "09_slow.ipynb")
    often = "from notebook_pipeline.repro import progress; progress.INTERVAL = 0.5; "
    with subprocess.Popen(
        [sys.executable, "-c", f"{often}{MAIN}"],
        cwd=clone.path, env={**clone.environment(), "FORCE_COLOR": "1"}, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        told = []
        for line in process.stdout:
            told.append(line)
            if re.fullmatch(r"slow: running for \d+ s\n", line):
                (clone.path / "read").touch()
            if "epoch" in line:
                (clone.path / "go").touch()
    assert process.returncode == 0, told
    assert told.pop() == "created the run of slow from its outputs\n"
    assert told[0] == "slow: running\n"
    assert re.fullmatch(r"slow: running for \d+ s\n", told[1])  # cat waits for this
    assert re.fullmatch(
        r"slow: running for \d+ s, cell 9/20 since \d+ s, "
        r"seed 1 of 2, epoch 3 of 9: loss 0.5\n",
        told[-2],
    )
    assert told[-1].startswith("slow: done after")


def test_in_a_terminal_a_line_changes_in_its_place(tmp_path):
    console = Console(force_terminal=True, width=60, legacy_windows=False, color_system=None)
    with console.capture() as captured, StageLines(["one", "two"], console) as shown:
        shown.start("one")
        shown.advance("one", "cell 3/9", tmp_path)
        shown._progress.refresh()
        shown.end("one", "done")
    moving, final = captured.get().split("cell 3/9")
    assert re.search(r"one running *0:00:00 *$", moving)
    assert re.search(r"one done +0:00:00 *\ntwo waiting -:--:-- *\n", final)


def test_a_log_says_how_far_papermill_is(tmp_path):
    log = tmp_path / "stage.log"
    log.write_text("Running\n", encoding="utf-8")
    assert read_cells(log) == ""
    log.write_text(
        "x" * 900 + "\rExecuting:  40%|████▌ | 9/20 [00:05<00:06,  1.5cell/s]", encoding="utf-8"
    )
    assert read_cells(log) == "cell 9/20"
    log.write_text("first\n\nExecuting: 1/2\rExecuting: 2/2\nsecond\nthird\n", encoding="utf-8")
    assert last_lines(log, 2) == "second\nthird"
    assert last_lines(log) == "first\nsecond\nthird"
