"""What a batch system has said of this process in its environment."""

from __future__ import annotations

import os

_JOBS = ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID")


def job_name() -> str:
    """What the scheduler calls this process's job: ``12_3`` for task 3 of array 12; empty without one."""
    job = next((os.environ[name] for name in _JOBS if name in os.environ), "")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{job}_{task}" if job and task else job
