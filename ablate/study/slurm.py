"""The part of a study file that ``ablate run --slurm`` reads. No run's key holds it."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic.dataclasses import dataclass

from model.config import SECTION, Positive


@dataclass(frozen=True, config=SECTION)
class SlurmConfig:
    """What SLURM is asked for, in sbatch's own words; read with --slurm alone, whose options win."""

    array: Positive = 1
    """Workers of the array."""
    partition: str | None = None
    """As sbatch's; the cluster's default if not given."""
    gres: str | None = None
    """As sbatch's, e.g. gpu:1."""
    time: str | Positive = "4:00:00"
    """Limit of a worker, which asks to be queued again shortly before it is over; a number: minutes."""
    mem: str | Positive | None = None
    """As sbatch's, e.g. 32G; a number: MB."""
    account: str | None = None
    """As sbatch's."""

    def but(self, **given: Any) -> SlurmConfig:
        """The same but for what is given; None stands for nothing given."""
        return dataclasses.replace(self, **{name: v for name, v in given.items() if v is not None})

    @property
    def sbatch(self) -> dict[str, str]:
        """sbatch's own options; the array is submitit's to ask for."""
        asked = dataclasses.asdict(self)
        return {name: str(value) for name, value in asked.items() if name != "array" and value is not None}
