"""Workers as a SLURM job array, by submitit. SLURM only starts them; what is theirs stands in the queue.

The queue is a server's, or a study's journal where locks hold between hosts. A task is ``ablate worker``.
Before its time limit, or when it is preempted, SLURM signals it: the worker checkpoints, puts its run back,
and the task goes into SLURM's queue again. A task that is cancelled or whose node is lost leaves a lease
behind, which expires, or a lock, which the file system takes back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ablate.running.cluster import fetch_results
from ablate.running.conclusion import Result, conclude
from ablate.running.folder import Workspace
from ablate.running.frame import FrameWriter
from ablate.running.journal import quiet_optuna, sound_journal
from ablate.running.mirror import mirror
from ablate.running.progress import View, settled
from ablate.running.recorded import StoredPlan
from ablate.running.remote import read_shared, start_planned
from ablate.running.seal import seal
from ablate.running.server import STORAGE, Remote
from ablate.running.session import RunOptions, announced, live_sessions, new_session
from ablate.running.status import StudyStatus
from ablate.running.supervisor import planned_work
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


def worker_command(workspace: Workspace, options: RunOptions) -> tuple[str, ...]:
    """What a task runs, in the submitting process's Python: one worker with the session's own options."""
    root = str(workspace.root.resolve())
    further = {
        "--timeout": None if options.timeout is None else f"{options.timeout:g}",
        "--retries": str(options.retries),
        "--device": options.device,
        "--cache": options.cache_dir and str(Path(options.cache_dir).resolve()),
    }
    return (
        sys.executable,
        "-m",
        "ablate",
        "worker",
        workspace.study_dir.name,
        "--results",
        root,
        "--workers",
        "1",
        *(word for name, value in further.items() if value is not None for word in (name, value)),
    )


def submit(workspace: Workspace, options: SlurmConfig, command: tuple[str, ...]) -> list[Any]:
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
    executor = submitit.SlurmExecutor(folder=workspace.logs / "slurm", max_num_timeout=MOST_REQUEUES)
    executor.update_parameters(
        job_name=f"ablate-{workspace.study_dir.name}"[:60],
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
    plan: Plan, root: Path, remote: Remote, options: RunOptions, asked: SlurmConfig, view: View
) -> Result:
    """Plan a study on a server, have a SLURM array work on it, and wait for them.

    Ctrl-C ends the waiting alone: the array goes on, and ``ablate status`` shows it.
    """
    os.environ[STORAGE] = remote.address.url
    joined = start_planned(plan, root, remote, retry=options.retry_failed)
    command = worker_command(joined.workspace, options)
    stopped, took = _wait(joined.workspace, asked, command, lambda: read_shared(joined), view)
    view.close()
    fetch_results(joined)
    FrameWriter(joined.workspace, joined.plan).write()
    mirror(joined)
    return conclude(joined.workspace, read_shared(joined), stopped, took)


def run_on_slurm_here(
    plan: Plan,
    root: Path,
    options: RunOptions,
    asked: SlurmConfig,
    view: View,
    *,
    command: tuple[str, ...] | None = None,
) -> Result:
    """The same with the study's own journal, in a folder where locks hold between hosts.

    ``command``: what a task runs; ``ablate worker`` if not given.
    """
    quiet_optuna()
    stored, workspace = StoredPlan.of(plan), Workspace(root / plan.spec.study)
    workspace.create()
    session = new_session(stored.digest, replace(options, workers=0))
    with announced(workspace, session, plan.spec, stored), contextlib.closing(view):
        seal(workspace, plan)
        journal, notes = sound_journal(workspace, alone=len(live_sessions(workspace)) == 1)
        work = planned_work(journal, stored, options, notes)
        for line in work.notes:
            view.say(line)
        command = command or worker_command(workspace, options)
        stopped, took = _wait(workspace, asked, command, work.read, view)
        # Another plan, as of a further round with more seeds, may not begin while they hold this one.
        while stopped is None and len(live_sessions(workspace)) > 1:
            time.sleep(LOOK_EVERY)
        work.finished()
        return conclude(workspace, work.read(), stopped, took)


def _wait(
    workspace: Workspace,
    asked: SlurmConfig,
    command: tuple[str, ...],
    read: Callable[[], StudyStatus],
    view: View,
) -> tuple[int | None, float]:
    """Submit an array and show the study until it is done, or all tasks are, or somebody has seen enough.

    Returns the signal that ended the waiting, if one did, and its seconds. Submits nothing where nothing is
    left.
    """
    began, state = time.monotonic(), read()
    done, total = settled(state)
    if done == total:
        return None, 0.0
    jobs = submit(workspace, asked, command)
    number = jobs[0].job_id.partition("_")[0]
    view.say(f"SLURM job {number}: {len(jobs)} workers asked for")
    try:
        while True:
            state = read()
            view.update(state)
            done, total = settled(state)
            if done == total:
                for job in jobs:
                    if job.state == "PENDING":  # it would find nothing
                        job.cancel(check=False)
            if done == total or all(job.state in _ENDED for job in jobs):
                return None, time.monotonic() - began
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        view.say(f"no longer waiting; the workers go on (scancel {number} ends them)")
        return int(signal.SIGINT), time.monotonic() - began
