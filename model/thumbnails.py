"""The few images that a report shows, at the size of maps: decoded once per study, not once per run.

Kept in ``<cache>/thumbnails/<id>.npy``, written atomically; safe to delete at any time.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.code_identity import combined, modules_below
from model.config import ModelConfig, dump_config
from model.data.dataset import Dataset
from model.data.images import open_image
from model.data.samples import Sample
from model.data.transforms import view_at_map_size
from model.files import replacing, storage_errors

FORMAT = 1
"""Part of every name: raise it when the meaning of the stored numbers changes."""


def thumbnail(sample: Sample, config: ModelConfig) -> npt.NDArray[np.uint8]:
    """The network's view of an image at the maps' size s = ``score.map_size``, uint8 [s, s, 3]."""
    view = view_at_map_size(open_image(sample.image_path), config.image, config.score.map_size)
    return (view * 255).round().astype(np.uint8)


def cached_thumbnail(
    sample: Sample, dataset: Dataset, config: ModelConfig, cache_dir: Path
) -> npt.NDArray[np.uint8]:
    """The same, from the cache or decoded now.

    Raises
    ------
    DataError: the image is unreadable.
    StorageError: the cache cannot be written.
    """
    view = [dump_config(config)["image"], config.score.map_size]
    content = json.dumps([FORMAT, _code(), dataset.content[sample], view])
    name = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
    path = cache_dir / "thumbnails" / f"{name}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # absent, or damaged
        image = thumbnail(sample, config)
        with storage_errors(path), replacing(path, durable=False) as stream:
            np.save(stream, image, allow_pickle=False)
        return image


@functools.cache
def _code() -> str:
    return combined(modules_below(("model.thumbnails",)))
