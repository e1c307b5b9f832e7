"""Position-aware neighbours against the definition, patch by patch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from model.baselines import fit
from model.baselines.config import PositionKnnConfig
from model.baselines.patches import Layout
from tests.model.baselines.toy import LAYOUT, features


def slow(test: torch.Tensor, train: torch.Tensor, images: int, radius: int, layout: Layout) -> torch.Tensor:
    """[B, H, W] by loops."""
    height, width = layout.grid
    last = test[:, -1], train[:, -1]
    if layout.class_token:
        described = [x[:, 0] for x in last]
    else:
        described = [x[:, layout.prefix :].mean(1) for x in last]
    similar = functional.cosine_similarity(described[0][:, None], described[1][None], dim=-1)
    out = torch.zeros(len(test), height, width)
    maps = [x[:, :, layout.prefix :].unflatten(2, layout.grid) for x in (test, train)]
    for b, best in enumerate(similar.topk(images, dim=1).indices):
        for y in range(height):
            for x in range(width):
                rows = slice(max(y - radius, 0), y + radius + 1)
                columns = slice(max(x - radius, 0), x + radius + 1)
                near = maps[1][best][:, :, rows, columns].flatten(2, 3)  # [k, G, n, C]
                cosine = functional.cosine_similarity(near, maps[0][b, :, y, x][None, :, None], dim=-1)
                out[b, y, x] = (1 - cosine.amax((0, 2))).mean()
    return out


@pytest.mark.parametrize("radius", [0, 1, 2, 6])
@pytest.mark.parametrize("class_token", [True, False])
def test_maps_match_the_definition(radius, class_token):
    layout = Layout(LAYOUT.grid, LAYOUT.prefix, class_token=class_token)
    train, test = features(9), features(3, seed=1)
    scorer = fit(PositionKnnConfig(images=4, radius=radius), train.split(4), layout, seed=0)
    assert torch.allclose(scorer.score(test).maps, slow(test, train, 4, radius, layout), atol=1e-5)


def test_a_patch_at_a_foreign_place_is_an_anomaly_only_for_a_small_radius():
    train = features(6, scale=0.01)
    moved = train.clone()
    moved[:, :, LAYOUT.prefix] = train[:, :, LAYOUT.prefix + 14]  # (2, 4) put at (0, 0)
    near = fit(PositionKnnConfig(radius=1), [train], LAYOUT, seed=0).score(moved).maps[:, 0, 0]
    anywhere = fit(PositionKnnConfig(radius=4), [train], LAYOUT, seed=0).score(moved).maps[:, 0, 0]
    assert float(near.min()) > 0.1
    assert float(anywhere.max()) < 0.01


def test_more_images_than_there_are_means_all_and_the_pool_follows_the_seed():
    train, test = features(8), features(2, seed=1)
    everything = fit(PositionKnnConfig(), [train], LAYOUT, seed=0).score(test).maps
    assert torch.allclose(everything, slow(test, train, 8, 1, LAYOUT), atol=1e-5)

    def pooled(seed: int, batch: int) -> torch.Tensor:
        return fit(PositionKnnConfig(pool=3), train.split(batch), LAYOUT, seed).score(test).maps

    assert torch.equal(pooled(0, 8), pooled(0, 1))
    assert not torch.equal(pooled(0, 8), pooled(2, 8))
    assert bool((pooled(0, 8) >= everything - 1e-6).all())
