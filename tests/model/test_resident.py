"""Behavioural: features on the device are the same rows, and are asked for once.

The device here is the CPU, told that it had memory of its own: what is copied and gathered is the same.
"""

from __future__ import annotations

import pytest
import torch

from model.resident import rows_on
from tests.model.tiny_model import RandomFeatures

CPU = torch.device("cpu")


class Counted(RandomFeatures):
    """Counts the rows that are asked for."""

    asked = 0

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        self.asked += len(indices)
        return super().__getitem__(indices)


@pytest.mark.parametrize("count", [12, 200])
def test_rows_are_the_features_whether_they_fit_or_not(count: int):
    indices = torch.randperm(count, generator=torch.Generator().manual_seed(0))[: count - 3]
    features = Counted(count)
    resident = rows_on(CPU, features, indices, lambda _: 1 << 40)
    asked = features.asked
    copied = rows_on(CPU, features, indices, lambda _: 0)
    for positions in (torch.tensor([0, 3, 2]), torch.arange(len(indices))):
        assert torch.equal(resident(positions), features._groups[indices[positions]])
        assert torch.equal(copied(positions), features._groups[indices[positions]])
    assert asked == len(indices) + 1
    assert features.asked > asked


def test_they_may_take_half_of_the_free_memory():
    features, indices = Counted(10), torch.arange(10)
    size = features._groups.nbytes
    for free, taken in ((2 * size, True), (2 * size - 2, False)):
        features.asked = 0
        rows_on(CPU, features, indices, lambda _, free=free: free)
        assert (features.asked > 1) == taken
