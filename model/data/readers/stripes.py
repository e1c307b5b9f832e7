"""The built-in dataset: drawn into the cache folder, then read like MVTec AD."""

from __future__ import annotations

from pathlib import Path

from model.data.config import DataConfig
from model.data.files import choose
from model.data.readers.mvtec import read_mvtec
from model.data.samples import Sample
from model.data.stripes import DOMAINS, ensure_stripes


def locate_stripes(config: DataConfig, cache_dir: Path) -> Path:
    """Where the wanted domains lie, drawing those that are not there yet."""
    wanted = choose(list(DOMAINS), config.categories, Path("stripes"))
    return ensure_stripes(config.stripes, cache_dir, wanted)


def read_stripes(root: Path, config: DataConfig) -> list[Sample]:
    """The wanted domains; others that happen to be drawn already are not read."""
    wanted = choose(list(DOMAINS), config.categories, Path("stripes"))
    return [sample for sample in read_mvtec(root, config) if sample.category in wanted]
