"""What all reference rows share: their sections, their listing, their path to a table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.baselines import METHODS, fit
from model.baselines.config import KnnConfig, canonical
from model.baselines.patches import reservoir
from model.baselines.scoring import predict
from model.config import ScoreConfig, build_config, dump_config
from model.errors import DataError, DivergedError
from model.evaluation import anomaly_map, image_scores, smooth
from tests.model.baselines.toy import LAYOUT, features

SCORE = ScoreConfig(map_size=32)


@pytest.mark.parametrize("name", METHODS)
def test_sections_survive_a_round_trip(name):
    config = build_config({"method": name, METHODS[name].section: {"pool": 50}})
    assert getattr(config, METHODS[name].section) == METHODS[name].config(pool=50)
    assert build_config(dump_config(config)) == config


@pytest.mark.parametrize(
    ("method", "knob"), [("subspace", "radius"), ("position_knn", "share"), ("knn", "variance")]
)
def test_a_knob_of_another_method_is_refused_by_name(method, knob):
    with pytest.raises(ValidationError) as error:
        build_config({method: {knob: 1}})
    assert error.value.errors()[0]["loc"][-1] == knob


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(ValidationError, match="'knn', 'position-knn' or 'subspace'"):
        build_config({"method": "patchcore"})


def test_knobs_that_do_nothing_make_no_other_run():
    assert canonical(KnnConfig(subsample="none", share=0.5)) == KnnConfig(subsample="none")
    assert canonical(KnnConfig(support=3)) == KnnConfig()
    weighted = KnnConfig(image_score="patchcore", support=3, share=0.5)
    assert canonical(weighted) == weighted


def test_listing_the_methods_loads_neither_torch_nor_scikit_learn():
    code = (
        "import sys, model.baselines as b; print(len(b.METHODS), {'torch', 'sklearn'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"{len(METHODS)} set()"


@pytest.mark.parametrize("name", METHODS)
def test_a_defect_is_found_and_scored_by_the_common_path(name):
    train, test = features(12, scale=0.05), features(4, seed=1, scale=0.05)
    test[2:, :, LAYOUT.prefix + 11] = torch.linspace(-2, 2, 6)  # at row 2, column 1 of the last two
    scorer = fit(METHODS[name].config(), train.split(5), LAYOUT, seed=0)
    said = predict(scorer, test.split(3), (64, 80), SCORE)
    assert said.maps.shape == (4, 32, 32)
    assert said.distances.shape == (4, 4, 5)
    assert said.scores[2:].min() > said.scores[:2].max()
    assert all(int(d.argmax()) == 11 for d in said.distances[2:])
    expected = smooth(anomaly_map([torch.from_numpy(said.distances)], (64, 80)), SCORE)
    assert np.allclose(said.maps, expected.squeeze(1).numpy(), atol=1e-6)
    assert np.allclose(said.scores, image_scores(expected, SCORE.max_ratio).numpy(), atol=1e-6)


def test_a_methods_own_image_score_takes_precedence():
    scorer = fit(KnnConfig(image_score="top_patches"), [features(5)], LAYOUT, seed=0)
    test = features(3, seed=1)
    own = scorer.score(test).images
    assert own is not None
    assert np.allclose(predict(scorer, [test], (64, 80), SCORE).scores, own.numpy())


@pytest.mark.parametrize("name", METHODS)
def test_features_that_are_not_finite_are_an_outcome(name):
    scorer = fit(METHODS[name].config(), [features(5)], LAYOUT, seed=0)
    broken = features(2, seed=1)
    broken[1, 0, -1] = torch.nan
    with pytest.raises(DivergedError, match="NaN or infinity"):
        predict(scorer, [broken], (64, 80), SCORE)


@pytest.mark.parametrize("name", METHODS)
def test_no_images_are_refused(name):
    with pytest.raises(DataError, match="no normal images"):
        fit(METHODS[name].config(), [], LAYOUT, seed=0)


def test_the_reservoir_is_uniform_and_keeps_the_order():
    rows = torch.arange(40)
    counts = np.zeros(40)
    for seed in range(2000):
        kept = reservoir(rows.split(7), 10, np.random.default_rng(seed))
        assert len(kept) == 10
        assert bool((kept.diff() > 0).all())
        counts[kept.numpy()] += 1
    # 500 expected of each, sd 19: beyond 5 sd would be no chance.
    assert np.abs(counts - 500).max() < 97
