"""Real-IAD (Wang et al., CVPR 2024): splits and masks are listed in one json per category.

Five views of one part share a folder and are grouped. ``views: single`` reads the published
single-view lists (``realiad_jsons_sv``) instead of the multi-view ones.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from model.data.config import DataConfig
from model.data.files import choose, existing_folder
from model.data.samples import GOOD, Sample
from model.errors import DataError

_LISTS = {"all": "realiad_jsons", "single": "realiad_jsons_sv"}
_RESOLUTIONS = ("realiad_1024", "realiad_512", "realiad_256")


def _list_folder(root: Path, views: str) -> Path:
    """Where the jsons lie: the archive unpacks into a folder of its own name."""
    name = _LISTS[views]
    candidates = (root / "realiad_jsons" / name, root / name)
    for folder in candidates:
        if any(folder.glob("*.json")):
            return folder
    raise DataError(f"no category lists (*.json) in {candidates[0]} or {candidates[1]}")


def _image_folder(root: Path) -> Path:
    """The finest resolution that was downloaded, or the root itself."""
    return next((root / name for name in _RESOLUTIONS if (root / name).is_dir()), root)


def _entries(path: Path) -> tuple[dict[str, Any], str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        meta = content.get("meta", {})
        return content, meta.get("normal_class", "OK"), meta.get("prefix", f"{path.stem}/")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"cannot read {path} as a Real-IAD list: {error}") from None


def _sample(
    entry: dict[str, Any], folder: Path, category: str, split: Literal["train", "test"], normal: str
) -> Sample:
    image = folder / entry["image_path"]
    mask = entry.get("mask_path")
    defect_type = entry["anomaly_class"]
    label = int(defect_type != normal)
    if label and split == "train":
        raise DataError(f"training image {image} is listed as a defect ({defect_type})")
    if label and not mask:
        raise DataError(f"defect image {image} has no mask in its list")
    return Sample(
        image,
        folder / mask if label and mask else None,
        label,
        category,
        split,
        defect_type if label else GOOD,
        group=f"{category}/{PurePosixPath(entry['image_path']).parent}",
    )


def _require_files(samples: list[Sample]) -> None:
    """Every listed file exists; one listing per folder instead of one stat per file."""
    present: dict[Path, set[str]] = {}
    for sample in samples:
        for path in filter(None, (sample.image_path, sample.mask_path)):
            if path.parent not in present:
                folder = path.parent
                present[folder] = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
            if path.name not in present[path.parent]:
                raise DataError(f"listed file {path} does not exist")


def read_realiad(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category with the published split."""
    lists = _list_folder(root, config.views)
    base = _image_folder(root)
    samples: list[Sample] = []
    for category in choose([path.stem for path in lists.glob("*.json")], config.categories, lists):
        path = lists / f"{category}.json"
        content, normal, prefix = _entries(path)
        folder = existing_folder(base / prefix, f"image folder of category '{category}'")
        splits: tuple[Literal["train", "test"], ...] = ("train", "test")
        for split in splits:
            try:
                samples += [_sample(e, folder, category, split, normal) for e in content.get(split, [])]
            except (KeyError, TypeError) as error:
                raise DataError(f"an entry under '{split}' lacks {error}", where=str(path)) from None
    _require_files(samples)
    return samples
