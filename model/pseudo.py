"""Which images of a training batch are shown with pseudo-defects, and which copy of each.

The decoder's targets stay those of the clean image: what it learns is to undo the streaks. The choice has
a random stream of its own, re-seeded for every step, so that a study's variants train on the same images in
the same order with the same noise, with or without pseudo-defects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.config import PseudoConfig
from model.data.pseudo import Copy
from model.features import Encodable, Features
from model.streams import generator


@dataclass(frozen=True, eq=False)
class PseudoDefects:
    """The copies of the images that a model trains on."""

    config: PseudoConfig
    copies: Features
    first: Tensor
    """[rows of the clean features] -> row of the image's copy 0 among ``copies``; the others follow it. -1
    where there is none."""

    @classmethod
    def of(cls, config: PseudoConfig, clean: Mapping[Encodable, int], copies: Features) -> PseudoDefects:
        """Match copies to the rows of the clean images."""
        first = torch.full((len(clean),), -1, dtype=torch.long)
        for row, copy in enumerate(copies.samples):
            if isinstance(copy, Copy) and copy.number == 0:
                first[clean[copy.sample]] = row
        return cls(config, copies, first)

    def shown(self, clean: Tensor, rows: Tensor, seed: int, iteration: int) -> Tensor:
        """What the decoder sees of a batch: its group means [b, G, T, C], some of them a copy's.

        Parameters
        ----------
        clean: group means [b, G, T, C] of the images, on any device; left as they are.
        rows: [b] their rows among the clean features.
        """
        draw = generator(seed, "pseudo-defects", iteration)
        uniform = torch.rand(2, len(rows), generator=draw)
        chosen = uniform[0] < self.config.share
        if not chosen.any():
            return clean
        number = (uniform[1] * self.config.copies).long().clamp_max(self.config.copies - 1)
        seen = clean.clone()
        drawn = self.copies[(self.first[rows] + number)[chosen]]
        seen[chosen.to(clean.device)] = drawn.to(clean.device)
        return seen
