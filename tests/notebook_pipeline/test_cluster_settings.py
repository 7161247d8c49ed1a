"""cluster.yaml: what it may say, and what is refused before anything starts."""

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from textwrap import dedent

import pytest
import yaml

from notebook_pipeline.cluster import client, settings
from notebook_pipeline.cluster.client import cluster_client
from notebook_pipeline.cluster.settings import load_settings
from notebook_pipeline.errors import ConfigError, ReproError
from tests.notebook_pipeline.light import cluster_file
from tests.repository import ROOT

DOCS = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```yaml\n(.*?)```", DOCS, re.DOTALL | re.MULTILINE)
FILES = [dedent(text) for text in BLOCKS]


def write(folder, text):
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: slum\njobs: 1", r"kind is 'slum': Input should be 'local', 'slurm', .* 'address'"),
        ("kind: local\njbos: 1", r"jbos is not a section; did you mean 'jobs'\?"),
        ("kind: local\njobs: 0", "jobs is 0: "),
        ("jobs: 1", "kind is missing"),
        ("kind: ssh", "jobs is missing: how many stages may run at a time"),
        ("kind: slurm\njobs: 1", "kind slurm needs a package .*: pip install dask-jobqueue"),
        ("kind: local\nlifetime: soon", "lifetime is 'soon'; write a number and a unit"),
        ("kind: address\njobs: 1", "arguments.address is None; it must be tls://HOST:PORT"),
        (
            "kind: address\njobs: 1\narguments: {address: 'tcp://10.0.0.1:8786'}",
            "tcp://10.0.0.1:8786 is another machine and has no TLS",
        ),
        (
            "kind: address\njobs: 1\narguments: {address: 'tls://10.0.0.1:8786'}",
            "kind address needs security: ca, certificate and key",
        ),
        ("kind: ssh\njobs: 1", "kind ssh needs security"),
        (
            "kind: ssh\njobs: 1\nsecurity: {ca: none.pem, certificate: a, key: b}",
            "security.ca is 'none.pem': there is no such file",
        ),
        ("kind: ssh\njobs: 1\nsecurity: {ca: none.pem}", "security.certificate is missing"),
        ("kind: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, monkeypatch, text, told):
    found = settings.find_spec
    monkeypatch.setattr(settings, "find_spec", lambda n: None if "jobqueue" in n else found(n))
    with pytest.raises(ConfigError, match=rf"(?s)^cluster.yaml:? .*{told}"):
        load_settings(write(tmp_path, text))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        load_settings(tmp_path / "cluster.yaml")


def test_the_files_of_the_docs_are_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: True)
    monkeypatch.setattr(settings, "_check_files", lambda *_: None)
    told = [text for text in FILES if "apiVersion" not in text and "jobs:" in text]
    kinds = [load_settings(write(tmp_path, text)).kind for text in told]
    assert sorted(kinds) == ["address", "slurm", "ssh"]


def make_keys(home):
    """Make keys by the commands of the docs, and return what cluster.yaml says of them."""
    home.mkdir()
    [commands] = re.findall(r"```sh\n(mkdir.*?)```", DOCS, re.DOTALL)
    commands = commands.replace("~", shlex.quote(str(home)))
    subprocess.run(["sh", "-e", "-c", commands], check=True, capture_output=True)
    names = {"ca": "ca.pem", "certificate": "worker.pem", "key": "worker.key"}
    return {key: str(home / "keys" / name) for key, name in names.items()}


@pytest.mark.slow
def test_the_commands_of_the_manifest_make_a_cluster_that_only_the_key_opens(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 3)
    mine, other = make_keys(tmp_path / "mine"), make_keys(tmp_path / "other")
    keys = tmp_path / "mine/keys"
    manifest = next(yaml.safe_load_all(text) for text in FILES if "apiVersion" in text)
    scheduler, worker = (
        one["spec"]["template"]["spec"]["containers"][0]["command"]
        for one in manifest
        if one["kind"] == "Deployment"
    )
    with ExitStack() as stack:
        address = start(stack, scheduler, keys, tmp_path, {"8786": "0"}, r"tls://\S+")
        told = {"tls://dask-scheduler:8786": address}
        start(stack, worker, keys, tmp_path, told, "Registered to")
        file = {"kind": "address", "jobs": 1, "arguments": {"address": address}}
        wanted = load_settings(cluster_file(tmp_path, **file, security=mine))
        with cluster_client(wanted, 1) as found:
            assert found.submit(sum, [1, 2], pure=False).result(60) == 3
        stranger = load_settings(cluster_file(tmp_path, **file, security=other))
        with pytest.raises(ReproError, match=f"scheduler at {address} can't be reached"):
            cluster_client(stranger, 1).__enter__()


def start(stack, command, keys, folder, replaced, until):
    """Start a command of the manifest on loopback; return what it says once it is ready."""
    given = [replaced.get(word, word.replace("/keys", str(keys))) for word in command[1:]]
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *given, "--host", "127.0.0.1"], cwd=folder,
        stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    stack.callback(process.communicate)
    stack.callback(process.terminate)
    for line in process.stderr:
        if found := re.search(until, line):
            return found[0]
    raise AssertionError(f"{command} has ended")


@pytest.mark.slow
def test_workers_here_listen_on_loopback_with_a_key_and_compute_as_the_driver(tmp_path):
    with cluster_client(None, 2) as found:
        addresses = [found.scheduler.address, *found.scheduler_info()["workers"]]
        environments = found.run(client_environment)
        sessions = found.run(session_of)
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)
    assert [text for text in environments.values() if text] == []
    assert len(set(sessions.values())) == 2


def client_environment():
    """The variables that Dask sets to hold back the threads of a worker: ours are left alone."""
    import os

    return [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(name) == "1"]


def session_of():
    import os

    return os.getsid(0)
