"""The lock, environment.yml and what is installed say the same."""

import re
import subprocess
from importlib.metadata import version

from tests.environment import render
from tests.repository import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_environment_yml_is_that_of_the_lock():
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == render(LOCK)


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
        ["git", "grep", "-lE", hosts], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert found.stdout == ""


def test_git_changes_no_byte_where_it_is_set_up_for_windows(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    contents = {
        ".gitattributes": (ROOT / ".gitattributes").read_bytes(),
        "params.yaml": b"stacked:\n  window: 100\n",
        "mine.csv": b"t,y\r\n1,2\r\n",
    }
    for name, content in contents.items():
        (theirs / name).write_bytes(content)
    git = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "core.safecrlf=false"]
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    for command in (["init"], ["add", "--all"], [*identity, "commit", "--message", "first"]):
        subprocess.run([*git, *command], cwd=theirs, check=True, capture_output=True)
    subprocess.run([*git, "clone", theirs, tmp_path / "ours"], check=True, capture_output=True)
    assert {name: (tmp_path / "ours" / name).read_bytes() for name in contents} == contents
