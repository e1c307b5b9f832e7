"""What priors of plug-ins do while a student is trained: the hooks, and how they are run.

A prior acts on training alone: no hook is called at inference, so scores are computed as without it. Its
random numbers come from one generator per prior and step, seeded by (seed, name, iteration): adding a
prior shifts no other draw (see ``model.streams``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.knobs import Schedule
from model.priors.entries import PluginSections, prior_entry
from model.priors.schedule import value_at
from model.streams import derive_seed


@dataclass(frozen=True)
class Context:
    """What a hook is told of the step."""

    grid: tuple[int, int]
    """(H, W) of the patch tokens."""
    prefix: int
    """P: how many tokens stand before the patch tokens."""
    knobs: Mapping[str, float]
    """Current value of every number among the settings; schedules at this step."""
    random: torch.Generator
    """Its own stream, on the tokens' device: the only source of random numbers it may use."""


class Prior:
    """A prior without effect: a plug-in overrides the hooks that it needs."""

    def bottleneck_input(self, tokens: Tensor, context: Context) -> Tensor:  # noqa: ARG002
        """Tokens [B, P + N, C] before the bottleneck -> what goes in instead."""
        return tokens

    def decoder_input(self, tokens: Tensor, context: Context) -> Tensor:  # noqa: ARG002
        """Tokens [B, P + N, C] after the bottleneck -> what the decoder reads instead."""
        return tokens

    def token_weights(self, distances: Tensor, context: Context) -> Tensor | None:  # noqa: ARG002
        """Factors [B, H, W] on the gradient at each patch token, or None: as the loss has it.

        distances: [B, H, W] 1 - cosine of one group's tokens, detached. Called once per group; the
        loss's value does not change, its tail neither.
        """
        return None


class PluggedPriors:
    """The plug-ins' priors of one student, in the order of their names."""

    def __init__(self, sections: PluginSections, grid: tuple[int, int], prefix: int) -> None:
        self._grid, self._prefix = grid, prefix
        self._sections = dict(sections)
        self._priors = {name: prior_entry(name).build(section) for name, section in sections.items()}
        self._contexts: dict[str, Context] = {}
        self._knobs: dict[str, dict[str, float]] = {}
        self.set_progress(1.0)

    def __bool__(self) -> bool:
        return bool(self._priors)

    def set_progress(self, progress: float) -> dict[str, float]:
        """Set every number among the settings to its value; returns them by dotted path."""
        self._knobs = {name: _numbers(section, progress) for name, section in self._sections.items()}
        return {
            f"plugins.{name}.{knob}": value
            for name, knobs in self._knobs.items()
            for knob, value in knobs.items()
        }

    def seed(self, seed: int, iteration: int, device: torch.device) -> None:
        """Point each prior's stream at one training step."""
        for name in self._priors:
            draw = torch.Generator(device=device).manual_seed(
                derive_seed(seed, f"plug-in {name}", iteration)
            )
            self._contexts[name] = Context(self._grid, self._prefix, self._knobs[name], draw)

    def bottleneck_input(self, tokens: Tensor) -> Tensor:
        """Tokens [B, P + N, C] through every prior's hook of that name."""
        for name, prior in self._priors.items():
            tokens = prior.bottleneck_input(tokens, self._contexts[name])
        return tokens

    def decoder_input(self, tokens: Tensor) -> Tensor:
        """Tokens [B, P + N, C] through every prior's hook of that name."""
        for name, prior in self._priors.items():
            tokens = prior.decoder_input(tokens, self._contexts[name])
        return tokens

    def token_weights(self, distances: Tensor) -> Tensor | None:
        """Product of the priors' factors [B, H, W] on the gradient; None where there is none."""
        product: Tensor | None = None
        for name, prior in self._priors.items():
            factors = prior.token_weights(distances, self._contexts[name])
            if factors is not None:
                product = factors if product is None else product * factors
        return product


def _numbers(section: Any, progress: float) -> dict[str, float]:
    values = {name: getattr(section, name) for name in type(section).__dataclass_fields__}
    return {
        name: value_at(value, progress)
        for name, value in values.items()
        if isinstance(value, (int, float, Schedule)) and not isinstance(value, bool)
    }
