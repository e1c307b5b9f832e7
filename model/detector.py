"""What a run fits and scores: a trained student or a reference row, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from model import baselines
from model.baselines import METHODS
from model.baselines.patches import Layout, Scorer
from model.baselines.scoring import predict as predict_row
from model.config import ModelConfig
from model.encoders.base import EncoderShape
from model.errors import InterruptedRun
from model.evaluation import Predictions, predict
from model.features import Features
from model.pseudo import PseudoDefects
from model.student import Student
from model.training import Step, fit

BATCH = 16
"""Images that a reference row reads at once."""


class Detector(Protocol):
    """Fitted to normal images; scores others."""

    config: ModelConfig
    history: list[Step]
    """Empty for what is not trained."""
    student: Student | None
    """The trained decoder, where there is one."""

    def predict(self, features: Features, indices: Tensor) -> Predictions:
        """Score the images at ``indices`` [n]. Raises DivergedError if a score is not finite."""
        ...


@dataclass
class Trained:
    """Dinomaly: a student that was trained."""

    config: ModelConfig
    student: Student | None
    history: list[Step]
    device: torch.device

    def predict(self, features: Features, indices: Tensor) -> Predictions:
        """See :class:`Detector`."""
        assert self.student is not None
        return predict(self.student, features, indices, device=self.device)


@dataclass
class ReferenceRow:
    """A method without training. It computes on the CPU, where its neighbours are searched."""

    config: ModelConfig
    scorer: Scorer
    history: list[Step] = field(default_factory=list)
    student: Student | None = None

    def predict(self, features: Features, indices: Tensor) -> Predictions:
        """See :class:`Detector`."""
        groups = self.config.group_count
        batches = (features[chunk][:, :groups].cpu() for chunk in indices.split(BATCH))
        return predict_row(self.scorer, batches, self.config.image.crop, self.config.score)


def fit_detector(
    config: ModelConfig,
    shape: EncoderShape,
    features: Features,
    indices: Tensor,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    pseudo: PseudoDefects | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Detector:
    """Fit the method of ``config`` to the features at ``indices`` [n].

    Parameters are those of :func:`model.training.fit`, and so are the errors; a reference row has neither
    checkpoint nor pseudo-defects, its ``on_step`` counts images with a loss of 0, and ``seed`` drives its
    subsampling alone. DataError where nothing varies between the images.
    """
    if config.method == "dinomaly":
        student = Student(shape, config)
        history = fit(
            student,
            features,
            indices,
            seed,
            device=device,
            pseudo=pseudo,
            checkpoint=checkpoint,
            key=key,
            on_step=on_step,
            should_stop=should_stop,
        )
        return Trained(config, student, history, torch.device(device))

    def batches() -> Iterator[Tensor]:
        done = 0
        for chunk in indices.split(BATCH):
            if should_stop():
                raise InterruptedRun(f"stopped by request after {done} of {len(indices)} images")
            yield features[chunk][:, : config.group_count].cpu()
            done += len(chunk)
            on_step(done, len(indices), 0.0)

    layout = Layout(shape.grid, shape.prefix, shape.class_token)
    knobs = getattr(config, METHODS[config.method].section)
    return ReferenceRow(config, baselines.fit(knobs, batches(), layout, seed))
