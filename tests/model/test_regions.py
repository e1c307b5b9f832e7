"""Behavioural: regions of masks, against a flood fill and against relabelling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.regions import label_regions
from tests.model.test_metrics import draw, flood


def test_regions_are_8_connected_and_counted_over_the_dataset() -> None:
    masks = np.zeros((3, 4, 4), bool)
    masks[0, [0, 1], [0, 1]] = True  # touch at a corner: one region
    masks[0, 3, 3] = True
    masks[2, :, 1] = True
    got = label_regions(masks)
    assert got.count == 3
    assert got.areas.tolist() == [2, 1, 4]
    assert got.image.tolist() == [0, 0, 2]
    assert got.pixels.tolist() == [3, 0, 4]
    assert got.of_pixel.tolist() == [0, 0, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_regions_agree_with_a_flood_fill(seed: int) -> None:
    masks = np.random.default_rng(seed).random((4, 12, 12)) < 0.3
    expected = [sorted(len(region) for region in flood(mask)) for mask in masks]
    got = label_regions(masks)
    assert [sorted(got.areas[got.image == index].tolist()) for index in range(4)] == expected


@pytest.mark.parametrize("chosen", [[2, 0, 5], [4], [], [True, False, True, True, False, False]])
def test_selected_regions_are_those_of_the_selected_masks(chosen: list[Any]) -> None:
    masks = draw(4)["masks"]
    index = np.array(chosen, dtype=bool if chosen and isinstance(chosen[0], bool) else int)
    got, expected = label_regions(masks).select(index), label_regions(masks[index])
    for name in ("of_pixel", "areas", "image", "pixels"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
