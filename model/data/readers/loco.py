"""MVTec LOCO AD (Bergmann et al., IJCV 2022): a folder of masks per image, whose union counts.

Its own metric (saturated per-region overlap) is not computed: scores here are those of the seven
usual metrics on the union. ``validation/good`` is left alone.
"""

from __future__ import annotations

from pathlib import Path

from model.data.config import DataConfig
from model.data.files import GOOD_NAMES, folders_in, images_in
from model.data.readers.mvtec import categories_of, normal_training
from model.data.samples import GOOD, Sample
from model.errors import DataError


def _masks(truth: Path, image: Path) -> Path:
    folder = truth / image.stem
    if not images_in(folder):
        raise DataError(f"defect image {image} has no mask", hint=f"expected images in {folder}")
    return folder


def read_loco(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category: train/good, test/<type>, ground_truth/<type>/<stem>/*.png."""
    samples: list[Sample] = []
    for category in categories_of(root, config):
        base = root / category
        samples += normal_training(base / "train", category)
        for name in folders_in(base / "test"):
            images = images_in(base / "test" / name)
            if name.lower() in GOOD_NAMES:
                samples += [Sample(image, None, 0, category, "test", GOOD) for image in images]
            else:
                truth = base / "ground_truth" / name
                samples += [
                    Sample(image, _masks(truth, image), 1, category, "test", name) for image in images
                ]
    return samples
