import json
import os
import subprocess
import sys

import numpy as np

from notebook_pipeline.system import machine
from notebook_pipeline.system.machine import class_difference


def machine_class():
    return machine.machine_class(["numpy", "pandas"])


def test_a_class_does_not_differ_from_itself():
    assert class_difference(machine_class(), machine_class()) == ""


def test_it_tells_features_versions_and_threads():
    here = machine_class()
    assert list(here["packages"]) == ["numpy", "pandas"]
    assert here["packages"]["numpy"] == np.__version__
    assert here["cores"] >= 1
    assert here["features"]
    assert "threads" in here["blas"][0]


def test_differences_are_told_in_words():
    here = machine_class()
    there = {
        **here,
        "cores": 1024,
        "features": ["NEON"],
        "packages": {**here["packages"], "pandas": "4.0"},
        "new": "x",
    }
    assert class_difference(there, here) == (
        f"features NEON for {' '.join(here['features'])}, cores 1024 for {here['cores']}, "
        f"pandas 4.0 for {here['packages']['pandas']}, new x for none"
    )


def class_with(**variables):
    """The class that a process with these variables finds."""
    code = """if True:
        import json
        import numpy
        from notebook_pipeline.system.machine import machine_class
        print(json.dumps(machine_class(["numpy"])))
    """
    env = os.environ | variables
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    return json.loads(done.stdout)


def test_what_the_environment_switches_is_another_class():
    one = class_with(OPENBLAS_NUM_THREADS="2")
    other = class_with(OPENBLAS_NUM_THREADS="1", ONEDNN_MAX_CPU_ISA="AVX2")
    said = class_difference(one, other)
    assert "2 threads for openblas" in said
    assert "1 threads" in said
    assert "ONEDNN_MAX_CPU_ISA none for AVX2" in said


def test_a_system_that_tells_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert machine_class()["cores"] == 12
