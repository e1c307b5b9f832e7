"""Behavioural: the documentation's pictures show what the priors do; drawing them works."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.report.figures import priors
from ablate.report.figures.priors import (
    BIASES,
    COMBINATIONS,
    FILLS,
    FORMS,
    GRID,
    MASKS,
    STRUCTURES,
    TAIL_SHARE,
    Options,
    attention_weights,
    draw_priors,
    filled_tokens,
    pseudo_defects,
    streaky_distances,
    tail_masks,
    token_masks,
    woven_tokens,
)
from model.config import BiasConfig, TailConfig, TokenDropoutConfig


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
        assert (weight[row + 1, column] < 1) == ("both" in name or "rows" in name)


def choices(config: type, field: str) -> set[str]:
    return {value for value in get_args(get_type_hints(config)[field]) if isinstance(value, str)} - {"none"}


@pytest.mark.parametrize(
    ("config", "field", "panels"),
    [
        (TokenDropoutConfig, "pattern", [MASKS]),
        (TokenDropoutConfig, "direction", [MASKS]),
        (TokenDropoutConfig, "fill", [FILLS]),
        (TailConfig, "structure", [STRUCTURES]),
        (TailConfig, "combine", [COMBINATIONS]),
        (TailConfig, "direction", [STRUCTURES]),
        (BiasConfig, "kernel", [BIASES]),
        (BiasConfig, "form", [FORMS]),
    ],
)
def test_every_choice_that_a_prior_offers_is_drawn(config: type, field: str, panels: list[Options]):
    default = getattr(config(), field)
    drawn = {values.get(field, default) for options in panels for values in options.values()}
    assert choices(config, field) <= drawn


def test_fills_change_the_cut_tokens_and_no_others():
    tokens = woven_tokens()
    plain = tokens[0].reshape(*GRID, -1).numpy()
    pictures = filled_tokens(tokens)
    cut = (pictures["zero"] == 0).all(axis=-1)
    assert 0.1 < cut.mean() < 0.3
    for name, picture in pictures.items():
        assert np.array_equal(picture[~cut], plain[~cut]), name
        assert (picture[cut] != plain[cut]).any(axis=-1).mean() > 0.95, name
    halved = np.abs(pictures["donor, strength 0.5"] - plain).sum() / np.abs(pictures["donor"] - plain).sum()
    assert halved == pytest.approx(0.5, abs=1e-4)


def test_structure_is_drawn_with_the_settings_own_beta(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def noted(d: torch.Tensor, _config: TailConfig, beta: float) -> torch.Tensor:
        seen.append(beta)
        return d

    monkeypatch.setattr(priors, "structure", noted)
    priors.structures(streaky_distances())
    assert set(seen) == {TailConfig().beta} != {1.0}


def test_values_lose_what_weights_give_to_others():
    shares = priors.attention_shares()
    assert shares["plain"].sum() == pytest.approx(1) == shares["weights"].sum()
    assert shares["values"].sum() < 0.95
    row, column = GRID[0] // 2, GRID[1] // 2
    above = row - 1, column
    assert shares["values"][above] == shares["plain"][above] < shares["weights"][above]
    assert shares["values"][row, column + 1] < shares["weights"][row, column + 1] < shares["plain"][above]


@pytest.mark.slow
def test_pictures_are_written(tmp_path: Path):
    paths = draw_priors(tmp_path)
    assert [path.name for path in paths] == [
        "prior_a_masks.png", "prior_a_fills.png", "pseudo_defects.png", "prior_a2_schedules.png",
        "prior_b_tails.png", "prior_b_structures.png", "prior_c_attention.png", "prior_c_forms.png",
    ]  # fmt: skip
    for path in paths:
        assert np.asarray(Image.open(path).convert("L")).std() > 5
