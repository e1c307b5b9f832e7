"""A SLURM cluster of one node for tests: munged, slurmctld and slurmd, started by hand, without systemd."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.ablate.running.studies import wait_for

REST = 30
"""Seconds that a requeued job rests, and in which a granted one must have begun; 120 by default."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")


def missing() -> list[str]:
    """What is not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def _ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class SlurmNode:
    """The cluster; ``environment`` is what its clients need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(parents=True, mode=0o700)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        controller, daemon = _ports(2)
        host = socket.gethostname().split(".")[0]
        cores = os.cpu_count() or 1
        (folder / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire={REST}
CredType=cred/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=30
UnkillableStepTimeout=600
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MaxArraySize=100
NodeName={host} NodeAddr=127.0.0.1 CPUs={max(cores, 4)} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
SlurmdParameters=config_overrides
"""
        )
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        munge = self.folder / "munge"
        self._start(
            "munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
            f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        wait_for((munge / "socket").exists)
        self._start("slurmctld", "-D", "-i")
        self._start("slurmd", "-D", "-N", socket.gethostname().split(".")[0])
        wait_for(lambda: b"idle" in self.client("sinfo", "-h", "-o", "%T"))

    def client(self, *command: str) -> bytes:
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, check=False
        )
        return done.stdout

    def account(self) -> str:
        """How its jobs and nodes stand and what its daemons said last, for a test that waits in vain."""
        asked = (("squeue", "-o", "%i %T %r %S"), ("scontrol", "show", "job"), ("scontrol", "show", "node"))
        parts = [(" ".join(command), self.client(*command).decode()) for command in asked]
        logs = [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("*.out"))]
        parts += [(log.name, log.read_text(errors="replace")[-3000:]) for log in logs]
        return "\n".join(f"--- {name}\n{text}" for name, text in parts)

    def stop(self) -> None:
        self.client("scancel", "--user=root")
        deadline = time.monotonic() + 20
        while self.client("squeue", "-h") and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, program: str, *arguments: str) -> None:
        path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert path is not None
        self.processes.append(
            subprocess.Popen(
                [path, *arguments],
                env={**os.environ, **self.environment},
                stdout=(self.folder / f"{program}.out").open("ab"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
