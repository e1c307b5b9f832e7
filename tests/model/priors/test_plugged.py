"""Behavioural and invariants: a plug-in's prior acts as its hooks say, on training alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from pydantic.dataclasses import dataclass
from torch import Tensor

from model.canonical import canonical
from model.config import ModelConfig, Schedule, build_config, dump_config
from model.errors import ConfigError
from model.knobs import SECTION, Knob
from model.priors import entries
from model.priors.entries import PluginSections, PriorEntry, register_prior
from model.priors.plugged import Context, Prior
from model.student import Student
from model.training import Step, fit
from tests.model.tiny_model import RandomFeatures, tiny_config


@dataclass(frozen=True, config=SECTION)
class ShiftConfig:
    """Adds a constant, and noise."""

    by: Knob = 0.0
    """The constant."""
    noise: float = 0.0
    """Its standard deviation."""
    pull: float = 1.0
    """Factor on every token's gradient."""
    name: str = "shift"
    """A setting that is no number."""


class Shift(Prior):
    """Remembers what it was told."""

    def __init__(self, config: ShiftConfig) -> None:
        self.config = config
        self.calls: list[tuple[str, Context]] = []

    def bottleneck_input(self, tokens: Tensor, context: Context) -> Tensor:
        self.calls.append(("bottleneck", context))
        return tokens

    def decoder_input(self, tokens: Tensor, context: Context) -> Tensor:
        self.calls.append(("decoder", context))
        noise = torch.randn(tokens.shape, generator=context.random) * context.knobs["noise"]
        return tokens + context.knobs["by"] + noise

    def token_weights(self, distances: Tensor, context: Context) -> Tensor | None:
        self.calls.append((f"weights {tuple(distances.shape)}", context))
        return torch.full_like(distances, self.config.pull) if self.config.pull != 1 else None


class SomeModel(BaseModel):
    by: float = 0.0


@pytest.fixture(autouse=True)
def shift() -> Iterator[None]:
    """The prior, registered for one test."""
    register_prior(PriorEntry("shift", ShiftConfig, Shift))
    yield
    entries._ENTRIES.pop("shift")


def config(**shift: Any) -> ModelConfig:
    return tiny_config({f"plugins.shift.{name}": value for name, value in shift.items()})


def trained(made: ModelConfig) -> tuple[Student, list[Step]]:
    features = RandomFeatures()
    student = Student(features.shape, made)
    return student, fit(student, features, torch.arange(len(features)), seed=3)


def test_defaults_are_the_plain_configuration() -> None:
    plain = tiny_config()
    assert config(by=0.0) == plain
    assert "plugins" not in dump_config(config(by=0.0))
    assert hash(config(by=0.5).plugins) == hash(config(by=0.5).plugins)


def test_settings_go_to_plain_data_and_back() -> None:
    made = config(by={"from": 0.0, "to": 1.0, "shape": "cosine"}, noise=0.1)
    assert build_config(dump_config(made)) == made
    assert isinstance(made.plugins.shift.by, Schedule)
    assert tiny_config().plugins.shift == ShiftConfig()


def test_a_schedule_that_never_moves_is_a_number() -> None:
    still = config(by={"from": 0.25, "to": 0.25})
    assert canonical(still) == canonical(config(by=0.25))


def test_other_methods_have_no_priors() -> None:
    row = tiny_config({"method": "knn", "plugins.shift.by": 1.0})
    assert canonical(row).plugins == PluginSections()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shft": {}}, "no plug-in has registered a prior 'shft' (did you mean 'shift'?)"),
        ({"shift": {"by": "much"}}, "shift.by"),
        ({"shift": {"wide": 1}}, "shift.wide"),
        ([1], "expected the settings of plug-ins"),
    ],
)
def test_wrong_settings_are_told(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"prior|shift|plug-ins") as caught:
        tiny_config({"plugins": given})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (PriorEntry("shift", ShiftConfig, lambda _: Prior()), "registered already"),
        (PriorEntry("a b", ShiftConfig, Shift), "Python name"),
        (PriorEntry("other", ShiftConfig, Shift), "two plug-ins call their settings ShiftConfig"),
        (PriorEntry("other", dict, Shift), "frozen pydantic dataclass"),
        (PriorEntry("other", SomeModel, Shift), "frozen pydantic dataclass"),
        (PriorEntry("other", ShiftConfig, functools.partial(Shift)), "not a partial"),
    ],
)
def test_what_cannot_be_registered(entry: PriorEntry, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        register_prior(entry)


def test_hooks_are_told_the_step() -> None:
    made = config(by={"from": 0.0, "to": 1.0})
    student, history = trained(made)
    prior = student.plugins._priors["shift"]
    assert isinstance(prior, Shift)
    iterations = made.train.iterations
    seen = [context.knobs["by"] for what, context in prior.calls if what == "decoder"]
    assert seen == [i / iterations for i in range(iterations)]
    assert [step.knobs["plugins.shift.by"] for step in history] == seen
    what, context = prior.calls[0]
    assert (what, context.grid, context.prefix) == ("bottleneck", (4, 5), 1)
    assert "name" not in context.knobs
    weights = [w for w, _ in prior.calls if w.startswith("weights")]
    assert len(weights) == iterations * made.group_count


def test_inference_never_sees_it() -> None:
    """The trained weights differ; with equal weights the maps are those of the plain model, bit for bit."""
    features = RandomFeatures()
    student, _ = trained(config(by=0.5, noise=0.2))
    plain = Student(features.shape, tiny_config())
    plain.load_state_dict(student.state_dict())
    plain.eval()
    with torch.no_grad():
        images = features[torch.arange(len(features))]
        for ours, theirs in zip(student(images)[1], plain(images)[1], strict=True):
            assert torch.equal(ours, theirs)


def test_its_noise_shifts_no_other_stream() -> None:
    """A prior that draws but adds nothing leaves training as it was, bit for bit."""
    _, plain = trained(tiny_config())
    _, drawn = trained(config(name="draws"))
    assert [step.loss for step in drawn] == [step.loss for step in plain]
    _, noisy = trained(config(noise=0.5))
    assert [step.loss for step in noisy] != [step.loss for step in plain]
    _, again = trained(config(noise=0.5))
    assert [step.loss for step in again] == [step.loss for step in noisy]


def test_weights_scale_the_gradient_not_the_loss() -> None:
    """Twice the pull everywhere: first loss equal, first gradient twice as long."""
    _, plain = trained(tiny_config())
    _, pulled = trained(config(pull=2.0))
    assert pulled[0].loss == plain[0].loss
    assert pulled[0].grad_norm == pytest.approx(2 * plain[0].grad_norm, rel=1e-5)
