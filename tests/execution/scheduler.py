"""A whole SLURM on one machine, in a folder of its own, and stand-ins for its commands where it is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scancel", "squeue", "sinfo")

CONFIGURATION = """
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_min_interval=100000
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=tiny Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why SLURM cannot be brought up here; empty where it can be tried."""
    missing = [program for program in PROGRAMS if not _found(program)]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)}): apt-get install -y slurm-wlm munge"
    return "" if os.geteuid() == 0 else "SLURM's daemons (package slurm-wlm) are started as root, and this is another user"


def _found(program: str) -> str | None:
    """Where it is; daemons are not on everybody's path."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


def wait_for(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What it gives once that is true.

    Raises:
        TimeoutError: It was not in that time.
    """
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)
    return found


class Scheduler:
    """munged, slurmctld and slurmd: a node with two cores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start all three.

        Raises:
            TimeoutError: The node is not there after a minute.
        """
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "key").write_bytes(os.urandom(1024))
        (self.folder / "key").chmod(0o600)
        text = CONFIGURATION.format(folder=self.folder, host=socket.gethostname().split(".")[0], ports=_free_ports(2))
        (self.folder / "slurm.conf").write_text(text)
        files = {"socket": "munge.socket", "key-file": "key", "pid-file": "munge.pid", "log-file": "munge.log"}
        files["seed-file"] = "munge.seed"
        self._start("munged", "--foreground", "--force", *(f"--{what}={self.folder / name}" for what, name in files.items()))
        wait_for((self.folder / "munge.socket").exists, 60)
        self._start("slurmctld", "-D", "-c", "-f", str(self.folder / "slurm.conf"))
        self._start("slurmd", "-D", "-f", str(self.folder / "slurm.conf"))
        wait_for(lambda: self.says("sinfo", "--noheader", "--format=%T") == "idle", 60)

    def _start(self, program: str, *arguments: str) -> None:
        command = [_found(program) or program, *arguments]
        with (self.folder / f"{program}.out").open("wb") as log:
            self._daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def says(self, *command: str) -> str:
        """What one of SLURM's commands answers; empty where it fails."""
        environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.strip()

    def jobs(self, *states: str) -> list[str]:
        """The numbers of the jobs that are not over, or are in one of these states."""
        wanted = ["--states=" + ",".join(states)] if states else []
        return self.says("squeue", "--noheader", "--format=%i", *wanted).split()

    def end(self) -> None:
        """Nothing stays behind."""
        if len(self._daemons) == 3 and self.jobs():
            self.says("scancel", "--signal=KILL", "--full", *self.jobs())
            self.says("scancel", *self.jobs())
            wait_for(lambda: not self.jobs())
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(timeout=60)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def stand_in(folder: Path, name: str, code: str) -> None:
    """A command of this name, in a folder that is on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable} -SE\nimport os, signal, sys\nfrom pathlib import Path\n{code}")
    (folder / name).chmod(0o755)


SQUEUE = """
for entry in Path("/proc").iterdir():
    if entry.name.isdigit():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\\0")
        except OSError:
            continue
        if b"submitit.local._local" in words:
            print(entry.name, "RUNNING", "somebody's")
"""
"""For submitit's local executor, whose jobs have the number of a process."""

SCANCEL = """
number = sys.argv[-1]
name = sys.argv[1].removeprefix("--signal=") if len(sys.argv) > 2 else "TERM"
for child in Path(f"/proc/{number}/task/{number}/children").read_text().split():
    os.kill(int(child), signal.Signals["SIG" + name])
"""
