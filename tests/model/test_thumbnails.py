"""Behavioural: an image is decoded once per study, and what the cache lost is decoded again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from model.thumbnails import cached_thumbnail, thumbnail
from tests.model.tiny_model import dataset_of, tiny_config, write_images


def test_it_is_read_from_the_cache_and_decoded_again_where_that_is_lost(tmp_path: Path):
    (sample,) = write_images(tmp_path, 1)
    dataset, config, cache = dataset_of([sample], tmp_path), tiny_config(), tmp_path / "cache"
    expected = thumbnail(sample, config)
    assert expected.shape == (32, 32, 3)
    assert np.array_equal(cached_thumbnail(sample, dataset, config, cache), expected)
    (kept,) = (cache / "thumbnails").iterdir()
    original = sample.image_path.read_bytes()
    sample.image_path.unlink()
    assert np.array_equal(cached_thumbnail(sample, dataset, config, cache), expected)
    kept.write_bytes(b"damaged")
    with pytest.raises(DataError, match="does not exist"):
        cached_thumbnail(sample, dataset, config, cache)
    sample.image_path.write_bytes(original)
    assert np.array_equal(cached_thumbnail(sample, dataset, config, cache), expected)


def test_another_size_or_another_content_is_another_thumbnail(tmp_path: Path):
    (sample,) = write_images(tmp_path, 1)
    dataset, cache = dataset_of([sample], tmp_path), tmp_path / "cache"
    cached_thumbnail(sample, dataset, tiny_config(), cache)
    assert cached_thumbnail(sample, dataset, tiny_config({"score.map_size": 16}), cache).shape[0] == 16
    dataset.content[sample] = "changed"
    cached_thumbnail(sample, dataset, tiny_config(), cache)
    assert len(list((cache / "thumbnails").iterdir())) == 3
