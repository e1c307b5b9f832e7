"""Behavioural: the score path. Parity with the reference is in test_reference.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.config import ScoreConfig
from model.errors import DivergedError
from model.evaluation import MapMaker, anomaly_map, gaussian_kernel, image_scores, predict, smooth
from model.student import Student
from tests.model.tiny_model import RandomFeatures, tiny_config


def test_kernel_is_a_normalised_symmetric_gaussian():
    kernel = gaussian_kernel(5, 4.0)[0, 0]
    assert kernel.sum() == pytest.approx(1)
    assert torch.equal(kernel, kernel.T)
    assert float(kernel[2, 1] / kernel[2, 2]) == pytest.approx(np.exp(-1 / 32), rel=1e-6)


def test_smoothing_is_zero_padded():
    flat = smooth(torch.ones(1, 1, 16, 16), ScoreConfig(map_size=16))
    assert float(flat[0, 0, 8, 8]) == pytest.approx(1, rel=1e-6)
    assert float(flat[0, 0, 0, 0]) < 0.5


def test_image_score_is_the_mean_of_the_top_share():
    maps = torch.arange(100.0).reshape(1, 1, 10, 10)
    assert float(image_scores(maps, 0.1)) == pytest.approx(94.5)
    assert float(image_scores(maps, 0)) == 99
    assert float(image_scores(maps, 0.001)) == 99


def test_maps_average_groups_after_resampling_to_the_crop():
    near, far = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    maps = anomaly_map([near, far], (8, 9))
    assert maps.shape == (1, 1, 8, 9)
    assert torch.allclose(maps, torch.full_like(maps, 0.5))


@pytest.mark.parametrize(
    ("crop", "config"),
    [
        ((56, 98), ScoreConfig(map_size=64)),
        ((392, 280), ScoreConfig(map_size=256)),
        ((64, 64), ScoreConfig(map_size=33, kernel=7, sigma=1.0)),
    ],
)
def test_maps_by_matrices_are_those_by_definition(crop: tuple[int, int], config: ScoreConfig):
    draw = torch.Generator().manual_seed(0)
    groups = [torch.rand(3, 4, 7, generator=draw) for _ in range(2)]
    maps = MapMaker((4, 7), crop, config, torch.device("cpu"))(torch.stack(groups).mean(0))
    assert torch.allclose(maps, smooth(anomaly_map(groups, crop), config), atol=2e-6)


def build() -> tuple[Student, RandomFeatures]:
    features = RandomFeatures()
    model = Student(features.shape, tiny_config())
    model.initialise(0)
    return model, features


def test_predictions_do_not_depend_on_the_batch():
    model, features = build()
    everything = torch.arange(len(features))
    device = torch.device("cpu")
    whole = predict(model, features, everything, device=device, batch=12)
    single = predict(model, features, everything, device=device, batch=1)
    assert whole.maps.shape == (12, 32, 32)
    assert whole.distances.shape == (12, 4, 5)
    assert np.allclose(whole.maps, single.maps, atol=1e-5)
    assert np.allclose(whole.scores, single.scores, atol=1e-5)


def test_scores_that_are_not_finite_are_refused():
    model, features = build()
    with torch.no_grad():
        model.bottleneck.fc1.weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match="NaN or infinity"):
        predict(model, features, torch.arange(4), device=torch.device("cpu"))
