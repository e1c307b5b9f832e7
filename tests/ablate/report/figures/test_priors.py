"""Behavioural: the documentation's pictures show what the priors do; drawing them works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.report.figures.priors import (
    GRID,
    TAIL_SHARE,
    attention_weights,
    draw_priors,
    pseudo_defects,
    streaky_distances,
    tail_masks,
    token_masks,
)


def test_masks_have_the_shape_that_their_names_promise():
    masks = token_masks()
    stripes = masks["stripe, horizontal"]
    assert (stripes.all(axis=1) | ~stripes.any(axis=1)).all()
    across = {name: np.diff(mask.astype(int), axis=1).any(axis=1).mean() for name, mask in masks.items()}
    assert across["stripe, horizontal"] == 0
    runs = {
        name: mask.sum() / max((np.diff(mask.astype(int), axis=1) == 1).sum(), 1)
        for name, mask in masks.items()
    }
    assert runs["segment, horizontal"] > 2 * runs["segment, vertical"]


def test_pseudo_defects_run_as_their_names_say():
    copies = pseudo_defects(size=64)
    extent = {}
    for name in copies:
        rows, columns = np.nonzero(np.abs(copies[name] - copies["none"]) > 0.03)
        extent[name] = len(set(columns)) / max(len(set(rows)), 1)
    assert extent["horizontal"] > 2 and extent["vertical (control)"] < 0.5
    assert extent["none"] == 0 and 0.5 < extent["blob (control)"] < 2


def test_tails_hold_q_of_the_tokens_and_follow_the_direction():
    masks = tail_masks(streaky_distances())
    for mask in masks.values():
        assert mask.sum() == pytest.approx(TAIL_SHARE * mask.size, abs=4)
    horizontal, vertical = (masks[f"alpha = 1, {d}"] for d in ("horizontal", "vertical (control)"))
    streak, upright = np.s_[6, 3:24], np.s_[10:24, 22]
    assert horizontal[streak].sum() > 2 * vertical[streak].sum()
    assert vertical[upright].sum() > 2 * horizontal[upright].sum()


def test_attention_is_weakened_along_the_row_only():
    weights = attention_weights(lam=0.8)
    row, column = GRID[0] // 2, GRID[1] // 2
    for name, weight in weights.items():
        assert weight[row, column] == 1
        assert weight[row, column + 1] < 0.5
        assert (weight[row + 1, column] < 1) == ("both" in name)


@pytest.mark.slow
def test_pictures_are_written(tmp_path: Path):
    paths = draw_priors(tmp_path)
    assert [path.name for path in paths] == [
        "prior_a_masks.png", "pseudo_defects.png", "prior_a2_schedules.png", "prior_b_tails.png",
        "prior_c_attention.png",
    ]  # fmt: skip
    for path in paths:
        assert np.asarray(Image.open(path).convert("L")).std() > 5
