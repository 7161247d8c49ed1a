"""The lock, environment.yml and what is installed say the same."""

import re
import subprocess
from importlib.metadata import version

from tests.clone import ROOT
from tests.environment import render

LOCK = (ROOT / "requirements.lock").read_text()


def test_environment_yml_is_that_of_the_lock():
    assert (ROOT / "environment.yml").read_text() == render(LOCK)


def test_the_lock_has_hashes_and_no_address():
    pins = re.findall(
        r"^[A-Za-z0-9][^\n]*==[^\n]*\\\n((?:    --hash=sha256:\w{64}[^\n]*\n)+)", LOCK, re.M
    )
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9][^\n]*==", LOCK, re.M)) > 100
    assert not re.search(r"https?://|^--(?!hash)|@ ", LOCK, re.M)


def test_what_is_installed_is_what_the_lock_says():
    for name in (
        "tensorflow",
        "keras",
        "mlflow",
        "dvc",
        "papermill",
        "jupyterlab",
        "xarray",
        "zarr",
    ):
        assert f"\n{name}=={version(name)} " in LOCK


def test_no_committed_file_names_a_package_index_or_a_machine():
    hosts = "|".join(
        ["pypi" + r"\.org", "python" + "hosted", r"anaconda\.", "/ro" + "ot/", "/ho" + "me/"]
    )
    found = subprocess.run(
        ["git", "grep", "-lE", hosts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
