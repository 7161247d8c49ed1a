"""Workers that are reached by SSH: a server of its own on loopback, which knows one key."""

import shutil
import socket
import subprocess
from contextlib import suppress

import pytest

from notebook_pipeline.cluster.client import cluster_client
from notebook_pipeline.cluster.settings import load_settings
from tests.notebook_pipeline.light import cluster_file
from tests.notebook_pipeline.test_cluster_settings import make_keys
from tests.toy_clone import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SERVER = shutil.which("sshd", path="/usr/sbin:/usr/bin")


@pytest.fixture
def port(tmp_path):
    """The port of the server; the key of its only user is in the file ``user``."""
    if SERVER is None:
        pytest.skip("sshd is missing: apt-get install openssh-server")
    for name in ("user", "host"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    options = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": tmp_path / "host", "UsePAM": "no",
        "AuthorizedKeysFile": tmp_path / "user.pub", "StrictModes": "no", "PidFile": "none",
    }  # fmt: skip
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with subprocess.Popen([SERVER, "-D", "-f", "/dev/null", *given]) as server:
        wait_for(lambda: listens(port))
        yield port
        server.terminate()


def listens(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_scheduler_and_workers_start_by_ssh_and_speak_tls(tmp_path, port):
    host = {"port": port, "known_hosts": None, "client_keys": [str(tmp_path / "user")]}
    path = cluster_file(
        tmp_path,
        kind="ssh",
        jobs=2,
        arguments={"hosts": ["127.0.0.1"] * 3, "connect_options": host},
        security=make_keys(tmp_path / "home"),
    )
    with cluster_client(load_settings(path), 2) as client:
        client.wait_for_workers(2, timeout=60)
        found = client.scheduler_info()
        assert client.submit(sum, [1, 2], pure=False).result(60) == 3
    assert len(found["workers"]) == 2
    assert all(address.startswith("tls://") for address in [found["address"], *found["workers"]])
