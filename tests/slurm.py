"""A SLURM of one node from Debian's packages (slurm-wlm, munge), without systemd."""

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Say what a SLURM can't be set up for here; empty if it can."""
    if os.geteuid():
        return "only root can set up a SLURM"
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    return f"{', '.join(lacking)} missing: apt-get install slurm-wlm munge" if lacking else ""


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start it in a folder, and yield the variables by which its commands find it."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    ports = {"controller": _free_port(), "daemon": _free_port()}
    text = CONF.format(host=platform.node(), folder=folder, **ports)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    variables = {"SLURM_CONF": str(folder / "slurm.conf")}
    munge = [
        "munged", "--foreground", "--force", f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed", f"--log-file={folder}/munged.log",
    ]  # fmt: skip
    daemons: list[subprocess.Popen] = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemons.append(_start(command, variables, folder))
            time.sleep(2)
        _wait_for_node(variables)
        yield variables
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(60)


def _start(command: list[str], variables: dict[str, str], folder: Path) -> subprocess.Popen:
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            command, env=os.environ | variables, stdout=out, stderr=out, start_new_session=True
        )


def _wait_for_node(variables: dict[str, str]) -> None:
    for _ in range(60):
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"], env=os.environ | variables,
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        if done.stdout.strip() == "idle":
            return
        time.sleep(1)
    raise RuntimeError(f"the node is {done.stdout.strip() or done.stderr.strip()}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
