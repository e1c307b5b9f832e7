"""MVTec AD's layout, which most published datasets and most users' own follow.

MVTec AD (Bergmann et al., CVPR 2019), VisA in its 1-class conversion (Zou et al., ECCV 2022), MPDD
(Jezek et al., ICUMT 2021). Normal folders may be called ``good`` or ``ok``; any image suffix will do.
"""

from __future__ import annotations

from pathlib import Path

from model.data.config import DataConfig
from model.data.files import (
    GOOD_NAMES,
    choose,
    folders_in,
    images_in,
    masks_by_stem,
    masks_of,
    require_only_good,
)
from model.data.samples import GOOD, Sample
from model.errors import DataError


def categories_of(root: Path, config: DataConfig) -> list[str]:
    """The wanted sub-folders of ``root`` that have a ``train`` folder."""
    found = [name for name in folders_in(root) if (root / name / "train").is_dir()]
    if not found and (root / "train").is_dir():
        raise DataError(
            f"dataset root {root} is a single category", hint=f"give its parent folder: {root.parent}"
        )
    return choose(found, config.categories, root)


def normal_training(folder: Path, category: str) -> list[Sample]:
    """Normal training samples of ``folder``/{good,ok}; anything else in there is refused."""
    require_only_good(folder)
    return [
        Sample(image, None, 0, category, "train", GOOD)
        for name in folders_in(folder)
        for image in images_in(folder / name)
    ]


def tested(test: Path, truth: Path, category: str) -> list[Sample]:
    """Test samples of ``test``/<type>, masks in ``truth``/<type>/<stem>{_mask,}.<any suffix>."""
    samples = []
    for name in folders_in(test):
        images = images_in(test / name)
        if name.lower() in GOOD_NAMES:
            samples += [Sample(image, None, 0, category, "test", GOOD) for image in images]
        else:
            masks = masks_of(images, masks_by_stem(truth / name), truth / name)
            samples += [
                Sample(image, mask, 1, category, "test", name)
                for image, mask in zip(images, masks, strict=True)
            ]
    return samples


def read_mvtec(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category below ``root`` in MVTec AD's layout."""
    return [
        sample
        for category in categories_of(root, config)
        for sample in normal_training(root / category / "train", category)
        + tested(root / category / "test", root / category / "ground_truth", category)
    ]
