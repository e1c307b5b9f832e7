"""Workers as a SLURM job array, by submitit. SLURM only starts them; what is theirs stands on the server.

A task is ``ablate worker``. Before its time limit, or when it is preempted, SLURM signals it: the worker
checkpoints, puts its run back, and the task goes into SLURM's queue again. A task that is cancelled or
whose node is lost leaves a lease behind, which expires.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ablate.running.cluster import Joined, fetch_results
from ablate.running.conclusion import Result, conclude
from ablate.running.frame import FrameWriter
from ablate.running.mirror import mirror
from ablate.running.progress import View, settled
from ablate.running.remote import read_shared, start_planned
from ablate.running.server import STORAGE, Remote
from ablate.study.plan import Plan
from ablate.study.slurm import SlurmConfig
from model.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

LOOK_EVERY = 2.0
"""Seconds between looks at the study."""
MOST_REQUEUES = 1000
"""Times a task asks to be queued again."""
WARNING = 120
"""Seconds before its time limit at which a task is told."""
_ENDED = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
)


@dataclass
class Task:
    """What one task of the array does; sent to it by submitit."""

    command: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> int:
        """Work until nothing is left. The exit code is the worker's."""
        # SLURM signals every process of a task; only this one is to hear its warning.
        self._process = subprocess.Popen(self.command, preexec_fn=_ignore_warning)
        while (code := self._process.poll()) is None:  # wait() would lock out the signal's handler
            time.sleep(0.2)
        return code

    def checkpoint(self) -> DelayedSubmission:
        """SLURM has warned us: put the run back, and ask to be started again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                os.kill(self._process.pid, signal.SIGTERM)
                while psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.1)
        return DelayedSubmission(Task(self.command))


def _ignore_warning() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def worker_command(joined: Joined) -> tuple[str, ...]:
    """What a task runs, in the submitting process's Python."""
    root = str(joined.workspace.root.resolve())
    return (
        sys.executable,
        "-m",
        "ablate",
        "worker",
        joined.plan.study,
        "--results",
        root,
        "--workers",
        "1",
    )


def submit(joined: Joined, options: SlurmConfig, command: tuple[str, ...]) -> list[Any]:
    """Start an array of tasks that run ``command``; returns submitit's jobs.

    The server's address travels in the environment. Raises ConfigError without submitit or SLURM,
    StorageError if SLURM refuses.
    """
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            "--slurm needs submitit", hint="install it with: pip install 'ablate[slurm]'"
        ) from None
    if shutil.which("sbatch") is None:
        raise ConfigError("there is no sbatch here", hint="submit from a login node of the cluster")
    executor = submitit.SlurmExecutor(folder=joined.workspace.logs / "slurm", max_num_timeout=MOST_REQUEUES)
    executor.update_parameters(
        job_name=f"ablate-{joined.plan.study}"[:60],
        array_parallelism=options.array,
        signal_delay_s=WARNING,
        additional_parameters=options.sbatch,
    )
    try:
        with executor.batch():
            return [executor.submit(Task(command)) for _ in range(options.array)]
    except submitit.core.utils.FailedJobError as error:
        raise StorageError(f"SLURM refuses: {' '.join(str(error).split())[:300]}") from error


def run_on_slurm(
    plan: Plan, root: Path, remote: Remote, options: SlurmConfig, view: View, *, retry: bool = False
) -> Result:
    """Plan a study on a server, have a SLURM array work on it, and wait for them.

    Ctrl-C ends the waiting alone: the array goes on, and ``ablate status`` shows it.
    """
    os.environ[STORAGE] = remote.address.url
    joined = start_planned(plan, root, remote, retry=retry)
    began, stopped = time.monotonic(), None
    jobs = submit(joined, options, worker_command(joined))
    view.say(f"SLURM job {jobs[0].job_id.partition('_')[0]}: {len(jobs)} workers asked for")
    try:
        while True:
            state = read_shared(joined)
            view.update(state)
            done, total = settled(state)
            if done == total or all(job.state in _ENDED for job in jobs):
                break
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        stopped = int(signal.SIGINT)
        view.say(
            f"no longer waiting; the workers go on (scancel {jobs[0].job_id.partition('_')[0]} ends them)"
        )
    view.close()
    fetch_results(joined)
    FrameWriter(joined.workspace, joined.plan).write()
    mirror(joined)
    return conclude(joined.workspace, read_shared(joined), stopped, time.monotonic() - began)
