"""Sweeps in the toy: with real workers, a real store of runs, real signals."""

import json
import re
import signal
import subprocess
import time

import psutil
import pytest

from notebook_pipeline import mlflow_runs
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.system.lock import one_at_a_time
from tests.notebook_pipeline.light import workers
from tests.notebook_pipeline.sweeping import (
    GRID,
    STEPS,
    add_sweeps,
    calls,
    files_of,
    set_sweeps,
    table,
)
from tests.toy_clone import Toy, copy_toy, make_toy, wait_for

pytestmark = pytest.mark.slow

SEEDS = STEPS["seeds"]
ALL = sorted(f"{s}-{f}-{seed}" for s in GRID["steps"] for f in GRID["factor"] for seed in SEEDS)
SMALL = {**STEPS, "grid": {"steps": [3, 7]}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A toy in which a sweep has run, and what its function was called with."""
    toy = make_toy(tmp_path_factory.mktemp("swept") / "toy")
    toy.run("dvc", "repro", "--quiet", "numbers")
    add_sweeps(toy, steps=STEPS)
    toy.run("dvc", "repro", "--quiet", "sweep_page")
    return toy, calls(toy)


@pytest.fixture
def own(swept, tmp_path) -> Toy:
    """A copy of it, without what the sweep kept."""
    return copy_toy(swept[0].path, tmp_path / "toy")


@pytest.fixture
def fresh(own) -> Toy:
    """A copy of it in which no point has been computed."""
    own.run("rm", "-r", "reports/points", "reports/steps", "mlflow.db", "mlartifacts")
    return own


def run(toy, *options, name="steps", ok=True):
    return toy.call("sweep", name, *options, ok=ok)


def children(toy, parent):
    client = toy.client()
    return mlflow_runs.search_runs(client, f"tags.mlflow.parentRunId = '{parent}'")


def parents(toy):
    runs = mlflow_runs.search_runs(toy.client())
    return {
        run.info.run_id: run.info.status
        for run in runs
        if run.data.tags["configuration"] == "steps" and "mlflow.parentRunId" not in run.data.tags
    }


def test_each_point_is_computed_once_and_kept_in_order(swept):
    toy, called = swept
    assert called == ALL
    rows = table(toy, "steps")["rows"]
    given = [row["given"] for row in rows]
    assert given == [{"steps": s, "factor": f} for s in GRID["steps"] for f in GRID["factor"]]
    by_hand = json.loads(
        toy.run(
            "python", "-c",
            "import json; from toy.points import measure\n"
            "print(json.dumps([measure({'steps': 7, 'factor': 2.0}, seed, '.')"
            " for seed in (0, 1, 2)]))",
        )
    )  # fmt: skip
    calls(toy)
    metrics = rows[3]["metrics"]
    assert metrics == {name: [one[name] for one in by_hand] for name in by_hand[0]}


def test_a_second_repro_does_nothing_and_a_forced_one_computes_nothing(own):
    before, runs = files_of(own, "steps"), parents(own)
    # An interruption can leave a child that was begun and not ended.
    client, [parent] = own.client(), runs
    about = {"configuration": "steps", "mlflow.parentRunId": parent, "sweep.point": "half made"}
    client.create_run(client.experiment_id, tags=about)
    assert set(before) == {"points.json", "sweep.html"}
    assert "up to date" in own.run("dvc", "repro", "sweep_page")
    told = own.run("dvc", "repro", "--force", "--single-item", "sweep@steps")
    assert "18 of 18 points are kept from before" in told
    assert calls(own) == []
    assert files_of(own, "steps") == before
    [parent] = parents(own)
    assert {parent: "FINISHED"} == runs
    assert len(children(own, parent)) == 18


def test_a_finer_grid_computes_the_new_points_alone(own):
    finer = {**STEPS, "grid": {"steps": [3, 5, 7, 20], "factor": [1.0, 2.0]}, "seeds": [0, 1, 2, 3]}
    set_sweeps(own, steps=finer)
    told = run(own)
    assert "18 of 32 points are kept from before" in told
    new = sorted({f"{s}-{f}-{seed}" for s in (3, 5, 7, 20) for f in (1.0, 2.0) for seed in range(4)}
                 - set(ALL))  # fmt: skip
    assert calls(own) == new
    rows = table(own, "steps")["rows"]
    assert [row["given"]["steps"] for row in rows] == [3, 3, 5, 5, 7, 7, 20, 20]
    run_id = read_run(own.path / "reports/steps")["run"]
    assert len(children(own, run_id)) == 32


@pytest.mark.parametrize(
    ("path", "text"),
    [("src/toy/points.py", "\n"), ("data/numbers.csv", "0.5\n"), ("requirements.lock", "\n")],
)
def test_other_code_data_or_packages_make_other_points(own, path, text):
    file = own.path / path
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    assert "0 of 18 points are kept from before" in run(own)
    assert calls(own) == ALL


def test_a_damaged_point_is_computed_again(own):
    expected = files_of(own, "steps")
    kept = sorted((own.path / "reports/points").glob("*.json"))
    kept[0].write_text(kept[0].read_text(encoding="utf-8")[:40], encoding="utf-8")
    kept[1].write_text("{}", encoding="utf-8")
    assert "16 of 18 points are kept from before" in run(own)
    assert len(calls(own)) == 2
    assert files_of(own, "steps") == expected


def test_the_number_of_workers_changes_no_byte(swept, fresh):
    run(fresh, "--jobs", "1")
    assert calls(fresh) == ALL
    expected = files_of(swept[0], "steps")["points.json"]
    assert files_of(fresh, "steps") == {"points.json": expected}


def interrupted(toy, number):
    """Interrupt a sweep by a signal once two points are done and others wait; return its status."""
    (toy.path / "hold").touch()
    process = toy.start_call("sweep", "steps", "--jobs", "2", stdout=subprocess.PIPE)
    points = toy.path / "reports/points"
    wait_for(lambda: len(list(points.glob("[!.]*.json"))) == 2)
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    took = time.monotonic() - began
    psutil.wait_procs(family, timeout=30)
    assert not any(one.is_running() and one.status() != "zombie" for one in family)
    (toy.path / "hold").unlink()
    return process.returncode, took


def test_interrupted_it_ends_soon_and_goes_on_to_the_same_bytes(swept, fresh):
    status, took = interrupted(fresh, signal.SIGINT)
    assert status == 130
    assert took < 20
    assert list(parents(fresh).values()) == ["KILLED"]
    done = set(calls(fresh))
    assert "2 of 18 points are kept from before" in run(fresh)
    # Two were done; up to two more had begun.
    assert set(calls(fresh)) | done == set(ALL)
    [(parent, status)] = parents(fresh).items()
    assert status == "FINISHED"
    assert len(children(fresh, parent)) == 18
    assert files_of(fresh, "steps")["points.json"] == files_of(swept[0], "steps")["points.json"]


def test_killed_it_goes_on_to_the_same_bytes_and_no_worker_stays(swept, fresh):
    status, _ = interrupted(fresh, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "2 of 18 points are kept from before" in run(fresh)
    [(parent, status)] = parents(fresh).items()
    assert status == "FINISHED"
    assert len({one.data.tags["sweep.point"] for one in children(fresh, parent)}) == 18
    assert files_of(fresh, "steps")["points.json"] == files_of(swept[0], "steps")["points.json"]


def test_what_is_computed_while_an_input_changes_is_not_kept(fresh):
    (fresh.path / "hold").touch()
    process = fresh.start_call("sweep", "steps", "--jobs", "2", stdout=subprocess.PIPE)
    points = fresh.path / "reports/points"
    wait_for(lambda: len(list(points.glob("[!.]*.json"))) == 2)
    data = fresh.path / "data/numbers.csv"
    data.write_text(data.read_text(encoding="utf-8") + "9.0\n", encoding="utf-8")
    (fresh.path / "hold").unlink()
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "changed while sweep@steps ran: data/numbers.csv. What was computed meanwhile" in told
    assert list(points.iterdir()) == []
    assert list(parents(fresh).values()) == ["FAILED"]


def test_where_points_fail_the_others_are_kept_and_the_stage_fails(swept, fresh):
    (fresh.path / "fail").touch()
    told = run(fresh, ok=False)
    assert (
        "6 of 18 points of steps failed; the others are kept and won't run again:\n"
        "  steps 7, factor 1.0, seed 0: ValueError: seven steps are too many\n"
        "  steps 7, factor 1.0, seed 1: ValueError: seven steps are too many\n"
        "  steps 7, factor 1.0, seed 2: ValueError: seven steps are too many\n"
        "  and 3 more\nSee reports/failed/steps/log.txt\n"
    ) in told
    assert "Traceback" not in told
    log = fresh.path / "reports/failed/steps/log.txt"
    text = log.read_text(encoding="utf-8")
    assert text.count("Traceback") == 6
    assert 'points.py", line' in text
    assert not (fresh.path / "reports/steps/points.json").exists()
    assert list(parents(fresh).values()) == ["FAILED"]
    (fresh.path / "fail").unlink()
    calls(fresh)
    assert "12 of 18 points are kept from before" in run(fresh)
    assert {call.partition("-")[0] for call in calls(fresh)} == {"7"}
    assert list(parents(fresh).values()) == ["FINISHED"]
    assert not log.exists()
    assert files_of(fresh, "steps")["points.json"] == files_of(swept[0], "steps")["points.json"]


def test_a_point_whose_worker_is_killed_runs_again(swept, fresh):
    (fresh.path / "kill").write_text("process\nworker\n", encoding="utf-8")
    run(fresh, "--jobs", "1")
    assert len(calls(fresh)) == len(ALL) + 2
    assert files_of(fresh, "steps")["points.json"] == files_of(swept[0], "steps")["points.json"]


def test_a_point_that_kills_each_worker_fails_and_the_others_are_kept(fresh):
    set_sweeps(fresh, steps=SMALL)
    (fresh.path / "kill").write_text("process\n" * 3, encoding="utf-8")
    told = run(fresh, "--jobs", "1", ok=False)
    assert "1 of 4 points of steps failed" in told
    assert "steps 3, seed 0: its process was killed 3 times, possibly out of memory" in told
    assert "3 of 4 points are kept from before" in run(fresh)


def test_runs_say_which_point_they_are(swept):
    toy, _ = swept
    [parent] = parents(toy)
    runs = children(toy, parent)
    assert {one.info.status for one in runs} == {"FINISHED"}
    named = {one.info.run_name: one for one in runs}
    one = named["steps 7, factor 2.0, seed 1"]
    assert one.data.params == {"steps": "7", "factor": "2.0", "seed": "1"}
    assert one.data.metrics == {
        name: values[1] for name, values in table(toy, "steps")["rows"][3]["metrics"].items()
    }
    files = {file.path for file in toy.client().list_artifacts(parent)}
    assert files == {"points.json", "sweep.html"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"grid": {"stepz": [1]}}, "'stepz' is not a parameter of walking; did you mean 'steps'?"),
        ({"grid": {"steps": [3, "many"]}}, "point steps many: steps is 'many': Input should be a"),
    ],
)
def test_a_wrong_parameter_is_told_before_anything_starts(own, change, told):
    set_sweeps(own, steps={**STEPS, **change})
    for command in ("sweep", "steps"), ("repro",):
        printed = own.call(*command, ok=False)
        assert told in printed
        assert "kept from before" not in printed
    assert calls(own) == []


def test_an_unknown_sweep_and_one_without_a_stage_are_told(own):
    assert "'step' is not a sweep; did you mean 'steps'?" in run(own, name="step", ok=False)
    set_sweeps(own, others=STEPS)
    text = (own.path / "dvc.yaml").read_text(encoding="utf-8")
    text = text.replace("foreach: [steps]", "foreach: [steps, other]")
    (own.path / "dvc.yaml").write_text(text, encoding="utf-8")
    assert "params.yaml has no sweep 'other'; did you mean 'others'?" in run(
        own, name="other", ok=False
    )


def test_a_missing_input_is_told(own):
    (own.path / "data/numbers.csv").unlink()
    told = run(own, ok=False)
    assert "data/numbers.csv is missing; `dvc repro sweep@steps` makes it" in told


def test_two_at_once_do_not_mix(own):
    with one_at_a_time("sweep-steps", own.path):
        assert "another run of sweep-steps is active in" in run(own, ok=False)


def test_workers_of_a_cluster_compute_the_same_whatever_their_variables(swept, fresh):
    with workers(fresh) as (_, file):
        run(fresh, "--cluster", file)
    assert files_of(fresh, "steps")["points.json"] == files_of(swept[0], "steps")["points.json"]
    # What a machine computes that is not this one is not taken for what this one does.
    assert "0 of 18 points are kept from before" in run(fresh)


def test_status_knows_the_runs_and_backfill_makes_them_again(own):
    told = own.call("status", ok=False)  # no other stage has run
    assert re.search(r"^sweep@steps +steps @\w{7} \(\w{32}\)$", told, re.MULTILINE)
    assert "18 of points of sweeps" in told
    assert "sweep_page@steps                   matches dvc.lock" in told
    own.run("rm", "-r", "mlflow.db", "mlartifacts", "reports/steps/run.json")
    assert "MLflow has no run of it: `python -m notebook_pipeline backfill`" in own.call(
        "status", ok=False
    )
    assert own.call("backfill") == "created the runs of sweep@steps from its table\n"
    [(parent, status)] = parents(own).items()
    assert status == "FINISHED"
    names = {one.info.run_name.replace(",", "") for one in children(own, parent)}
    assert names == {"steps {} factor {} seed {}".format(*one.split("-")) for one in ALL}
    assert read_run(own.path / "reports/steps")["run"] == parent
    assert own.call("backfill") == ""
    assert calls(own) == []


@pytest.mark.nightly
def test_a_thousand_points_cost_at_most_50_ms_each(own):
    """All of the overhead: start, workers, files and runs in MLflow; the points take no time."""
    many = {"steps": list(range(1, 101)), "factor": [1.0, 2.0]}
    set_sweeps(own, steps={**STEPS, "grid": many, "seeds": [5, 6, 7, 8, 9]})
    began = time.monotonic()
    own.run("python", "-m", "notebook_pipeline", "sweep", "steps", "--jobs", "2")
    took = time.monotonic() - began
    assert len(calls(own)) == 1000
    print(f"{took:.1f} s for 1,000 points")
    assert took / 1000 < 0.05
