"""What runs took, to estimate those to come."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.study.plan import Run
from model.files import read_json


@dataclass(frozen=True)
class Timing:
    """What a committed run took."""

    method: str
    """What is not trained takes no time per iteration, so methods say nothing of each other."""
    encoder: str
    image: tuple[int, int]
    """Height and width of the network's input, pixels."""
    device: str
    """A GPU's name, or ``cpu``."""
    iterations: int
    seconds: float


class Timings:
    """Durations of the committed runs under a results root, to estimate those to come."""

    def __init__(self, timings: Iterable[Timing]) -> None:
        self._timings = tuple(timings)

    @classmethod
    def read(cls, root: Path) -> Timings:
        """From all studies under ``root``; folders that do not say are passed over."""
        found = (_timing(path) for path in sorted(root.glob("*/runs/*/provenance.json")))
        return cls(timing for timing in found if timing is not None)

    def estimate(self, run: Run, *, device: str | None = None) -> float | None:
        """Seconds that ``run`` will take: median of like runs, else scaled by iterations, else None.

        Like: same method, encoder and input size, and same ``device`` if one is named (a GPU's name, or
        ``cpu``: see :func:`ablate.running.process.device_name`). A GPU says nothing about a processor.
        """
        iterations = run.config.train.iterations
        like = [t for t in self._timings if (t.method, t.encoder, t.image) == _likeness(run)]
        like = [t for t in like if device in (None, t.device)]
        exact = [t.seconds for t in like if t.iterations == iterations]
        if exact:
            return statistics.median(exact)
        rates = [t.seconds / t.iterations for t in like if t.iterations]
        return statistics.median(rates) * iterations if rates else None


def _likeness(run: Run) -> tuple[str, str, tuple[int, int]]:
    config = run.config
    return config.method, config.encoder.name, (config.image.crop[0], config.image.crop[1])


def _timing(provenance: Path) -> Timing | None:
    values = read_json(provenance) or {}
    try:
        config = values["config"]
        crop = config["image"]["crop"]
        return Timing(
            method=str(config["method"]),
            encoder=str(config["encoder"]["name"]),
            image=(int(crop[0]), int(crop[1])),
            device=_device(values),
            iterations=int(config["train"]["iterations"]),
            seconds=float(values["timings"]["total"]),
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _device(values: Mapping[str, Any]) -> str:
    """What a run was computed on: the machine's GPU, unless it was told not to use it."""
    return "cpu" if values.get("device") == "cpu" else str(values["hardware"]["device"])
