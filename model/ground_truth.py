"""What is true of the test images: masks, regions and strata, worked out once per dataset.

Kept in ``<cache>/truth/<id>.npz``, written atomically; safe to delete at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from model.code_identity import combined, modules_below
from model.config import ImageConfig, ModelConfig, ScoreConfig, dump_config
from model.data.dataset import Dataset
from model.data.images import open_image
from model.data.samples import Sample
from model.data.transforms import load_mask, view_at_map_size
from model.errors import StorageError
from model.files import replacing
from model.regions import Regions, label_regions
from model.strata import RegionStrata, Strata, stratify

#: Part of every cache name: raise it when masks, joining or measurements change.
FORMAT = 2


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Truth of n images at the metrics' size s = ``score.map_size``."""

    masks: np.ndarray
    """[n, s, s] uint8, 1 = defect."""
    labels: np.ndarray
    """[n] int64, 1 = anomalous."""
    annotated: np.ndarray
    """[n] bool; False where an anomalous image has no mask."""
    regions: Regions
    """8-connected regions of the masks."""
    strata: Strata
    """Defects (pieces joined) and what was measured of them."""

    def select(self, images: np.ndarray) -> GroundTruth:
        """The truth of some of the images; ``images``: indices [k]."""
        return GroundTruth(
            self.masks[images],
            self.labels[images],
            self.annotated[images],
            self.regions.select(images),
            self.strata.select(images),
        )


def grey_image(sample: Sample, image: ImageConfig, side: int) -> np.ndarray:
    """The network's view of an image, as grey in [0, 1] at the metrics' size: float32 [side, side]."""
    return view_at_map_size(open_image(sample.image_path), image, side).mean(axis=2)


def load_truth(dataset: Dataset, category: str, config: ModelConfig, *, cache_dir: Path) -> GroundTruth:
    """Ground truth of a category's test samples, in their order; from the cache or worked out now.

    Raises
    ------
    DataError: a mask is missing, unreadable or of another size than its image.
    StorageError: the cache cannot be written.
    """
    samples = dataset.test(category)
    values = dump_config(config)
    paths = [str(sample.image_path) for sample in samples]
    code = combined(modules_below(("model.ground_truth",)))
    content = [FORMAT, code, values["image"], values["score"], dataset.fingerprints[category], paths]
    name = hashlib.blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()
    path = cache_dir / "truth" / f"{name}.npz"
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    annotated = np.array([sample.has_truth for sample in samples], dtype=bool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            stored = _read(path, len(samples), config.score.map_size)
            if stored is None:
                stored = _measure(samples, config.image, config.score)
                _write(path, *stored)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            hint="free some space, or choose another folder with --cache",
        ) from error
    masks, strata = stored
    return GroundTruth(masks, labels, annotated, label_regions(masks), strata)


def strata_by_sample(
    dataset: Dataset, config: ModelConfig, *, cache_dir: Path
) -> Callable[[Sample], tuple[str, ...]]:
    """A function that names the strata of a test sample of ``dataset``; none for normal ones."""
    names: dict[Sample, tuple[str, ...]] = {}
    for category in dataset.categories:
        strata = load_truth(dataset, category, config, cache_dir=cache_dir).strata
        samples = enumerate(dataset.test(category))
        names |= {sample: strata.labels(i) for i, sample in samples if sample.label}
    return lambda sample: names.get(sample, ())


def _measure(
    samples: Sequence[Sample], image: ImageConfig, score: ScoreConfig
) -> tuple[np.ndarray, Strata]:
    masks = np.stack(
        [
            load_mask(sample, image, score)
            if sample.has_truth
            else np.zeros((score.map_size, score.map_size), np.uint8)
            for sample in samples
        ]
    )

    def greys() -> Iterator[np.ndarray]:
        blank = np.zeros(masks.shape[1:], np.float32)
        for sample, mask in zip(samples, masks, strict=True):
            yield grey_image(sample, image, score.map_size) if mask.any() else blank

    return masks, stratify(greys(), masks)


def _write(path: Path, masks: np.ndarray, strata: Strata) -> None:
    traits = json.dumps([dataclasses.asdict(trait) for trait in strata.traits])
    with replacing(path) as stream:
        np.savez_compressed(
            stream,
            masks=np.packbits(masks, axis=None),
            traits=np.array(traits),
            **{field.name: getattr(strata.regions, field.name) for field in dataclasses.fields(Regions)},
        )


def _read(path: Path, count: int, side: int) -> tuple[np.ndarray, Strata] | None:
    """What was stored, or None where there is nothing, or nothing whole."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            bits = np.unpackbits(stored["masks"], count=count * side * side)
            parts = {field.name: stored[field.name] for field in dataclasses.fields(Regions)}
            traits: list[dict[str, Any]] = json.loads(str(stored["traits"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    read = tuple(RegionStrata(**{**trait, "box": tuple(trait["box"])}) for trait in traits)
    return bits.reshape(count, side, side), Strata(Regions(**parts), read)
