"""Behavioural: configurations that share a run train and score alike, bit for bit.

The pairs are those of the tests of run keys; here each member is trained.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from ablate.study import settings as fields
from model.canonical import canonical
from model.config import ModelConfig, build_config, knobs_of
from model.data.samples import Sample
from model.encoders.base import EncoderShape
from model.evaluation import Predictions, predict
from model.student import Student
from model.training import Step, fit
from tests.ablate.study.test_plan import EQUIVALENT

SMALL = {
    "image.resize": 42, "image.crop": [28, 42], "score.map_size": 16, "train.iterations": 6,
    "train.batch_size": 4, "train.warmup": 1, "tail.ramp": 2,
}  # fmt: skip
SHAPE = EncoderShape(dim=16, heads=2, prefix=1, grid=(4, 6), layers=8)
IMAGES = 6


class Drawn:
    """Group means drawn from a seed, without images."""

    samples: tuple[Sample, ...] = ()
    shape = SHAPE

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self._groups = torch.randn(IMAGES, 2, SHAPE.tokens, SHAPE.dim, generator=draw)

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        return self._groups[indices]


def trained(changes: dict[str, Any]) -> tuple[list[Step], Predictions]:
    config = build_config(fields.nest({**SMALL, **changes}))
    model = Student(SHAPE, config)
    history = fit(model, Drawn(), torch.arange(IMAGES), seed=0)
    return history, predict(model, Drawn(), torch.arange(IMAGES), device=torch.device("cpu"))


@pytest.mark.parametrize(("a", "b"), EQUIVALENT, ids=lambda values: str(values)[:60])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_shared_run_is_the_same_run(a: dict[str, Any], b: dict[str, Any], precision: str) -> None:
    (first, maps), (second, others) = (trained({**c, "train.precision": precision}) for c in (a, b))
    assert [(s.loss, s.grad_norm) for s in first] == [(s.loss, s.grad_norm) for s in second]
    assert (maps.maps == others.maps).all()
    assert (maps.scores == others.scores).all()


def test_knobs_are_the_settings_that_take_a_schedule() -> None:
    """What the annotations say is what validation accepts, setting by setting."""
    steady = {"from": 0.5, "to": 0.5}
    for part in dataclasses.fields(ModelConfig):
        kind = type(getattr(ModelConfig(), part.name))
        if not dataclasses.is_dataclass(kind):
            continue
        for setting in dataclasses.fields(kind):
            name = setting.name.rstrip("_")
            try:
                config = build_config({part.name: {name: steady}})
            except ValidationError:
                assert setting.name not in knobs_of(kind)
            else:
                assert setting.name in knobs_of(kind)
                plain = build_config({part.name: {name: 0.5}})
                assert canonical(config) == canonical(plain)


def test_a_method_keeps_what_it_reads():
    row = build_config({"method": "knn", "tail": {"q": 0.02}, "subspace": {"pool": 5}, "groups": "one"})
    assert canonical(row) == build_config({"method": "knn", "groups": "one"})
    kept = build_config({"method": "knn", "knn": {"subsample": "random", "share": 0.2}})
    assert canonical(kept) == kept
    assert canonical(build_config({"knn": {"share": 0.2}})) == canonical(build_config({}))


def test_no_low_rank_layer_has_no_rate():
    assert canonical(build_config({"bottleneck": {"rank_lr": 1.0}})) == canonical(build_config({}))
    low = build_config({"bottleneck": {"rank": 8, "rank_lr": 1.0}})
    assert canonical(low) == low
