"""Magnetic Tile Defects (Huang et al., The Visual Computer 2020), as downloaded.

There is no official split: a share of MT_Free trains, everything else tests. The same tile appears
under up to six exposures (``exp1_num_6508``, ``exp4_num_6552``, ``exp2_num_6558`` ...): neighbouring
numbers are one tile (measured: median correlation 0.9 for numbers up to 63 apart, 0.3 beyond 127).
Splitting image by image would test on tiles seen in training, so tiles are grouped, and a tile that
also shows a defect never trains.
"""

from __future__ import annotations

import re
from pathlib import Path

from model.data.config import DataConfig
from model.data.files import choose, folders_in, images_in, masks_of
from model.data.samples import GOOD, Sample
from model.data.splits import hold_out
from model.errors import DataError

CATEGORY = "magnetic_tile"
_NORMAL = "MT_Free"
_SAME_TILE = 100
"""Numbers at most this far apart belong to one tile."""


def _tiles(images: list[Path]) -> dict[Path, str]:
    """Image -> its tile's name; files not named like the original's stand alone."""
    numbered = []
    result = {image: image.as_posix() for image in images}
    for image in images:
        if match := re.fullmatch(r"exp\d+_num_(\d+)", image.stem):
            numbered.append((int(match[1]), image))
    tile, last = "", -_SAME_TILE - 1
    for number, image in sorted(numbered):
        if number - last > _SAME_TILE:
            tile = f"tile_{number}"
        result[image] = tile
        last = number
    return result


def _is_mask(path: Path) -> bool:
    """The mask is the .png beside the .jpg."""
    return path.suffix.lower() == ".png"


def read_magnetic_tile(root: Path, config: DataConfig) -> list[Sample]:
    """The one category ``magnetic_tile``; defect types are the folders' names: blowhole, crack ..."""
    folders = [name for name in folders_in(root) if name.startswith("MT_")]
    if _NORMAL not in folders:
        raise DataError(f"no folder {_NORMAL} in {root}", hint="is this the original download's root?")
    choose([CATEGORY], config.categories, root)
    files = {name: images_in(root / name / "Imgs") for name in folders}
    tiles = _tiles([image for name in folders for image in files[name] if not _is_mask(image)])

    normal: list[Sample] = []
    defects: list[Sample] = []
    for name in folders:
        images = [path for path in files[name] if not _is_mask(path)]
        if name == _NORMAL:
            normal = [Sample(image, None, 0, CATEGORY, "test", GOOD, tiles[image]) for image in images]
            continue
        beside = {path.stem: path for path in files[name] if _is_mask(path)}
        masks = masks_of(images, beside, root / name / "Imgs")
        defect_type = name.removeprefix("MT_").lower()
        defects += [
            Sample(image, mask, 1, CATEGORY, "test", defect_type, tiles[image])
            for image, mask in zip(images, masks, strict=True)
        ]
    defective = {sample.group for sample in defects}
    clean = [sample for sample in normal if sample.group not in defective]
    mixed = [sample for sample in normal if sample.group in defective]
    return hold_out(clean, config.train_share, config.split_seed, root) + mixed + defects
