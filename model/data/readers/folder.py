"""A plain folder of images, for data that follow no published layout; masks are optional.

    <root>[/<category>]/normal/**          normal images
    <root>[/<category>]/abnormal/**        anomalous ones; sub-folders name defect types
    <root>[/<category>]/train/**           normal training images, else a share of ``normal`` trains
    <root>[/<category>]/masks/**           same relative path as below ``abnormal``, <stem>{_mask,}.png

The root is one category where it has ``normal`` itself; otherwise each sub-folder that has it is one.
"""

from __future__ import annotations

from pathlib import Path

from model.data.config import DataConfig
from model.data.files import choose, folders_in, images_below, masks_by_stem, require_no_defects
from model.data.samples import GOOD, Sample
from model.data.splits import hold_out
from model.errors import DataError

_NORMAL = frozenset({"normal", "good", "ok"})
_ABNORMAL = frozenset({"abnormal", "anomalous", "anomaly", "defect", "defects", "bad", "ko", "ng"})


def _child(folder: Path, names: frozenset[str]) -> Path | None:
    """The one sub-folder that goes by one of ``names``; :class:`DataError` where several do."""
    found = [name for name in folders_in(folder) if name.lower() in names]
    if len(found) > 1:
        raise DataError(f"{folder} has both '{found[0]}' and '{found[1]}'", hint="keep one of them")
    return folder / found[0] if found else None


def _anomalous(abnormal: Path, truth: Path, category: str) -> list[Sample]:
    by_folder: dict[Path, dict[str, Path]] = {}
    samples = []
    for image in images_below(abnormal):
        relative = image.parent.relative_to(abnormal)
        if relative not in by_folder:
            by_folder[relative] = masks_by_stem(truth / relative)
        defect_type = relative.parts[0] if relative.parts else abnormal.name.lower()
        samples.append(Sample(image, by_folder[relative].get(image.stem), 1, category, "test", defect_type))
    return samples


def _read_category(base: Path, category: str, config: DataConfig, root: Path) -> list[Sample]:
    normal = _child(base, _NORMAL)
    abnormal = _child(base, _ABNORMAL)
    if normal is None:
        raise DataError(f"no folder 'normal' in {base}")
    samples = [Sample(image, None, 0, category, "test", GOOD) for image in images_below(normal)]
    train = base / "train"
    if train.is_dir():
        require_no_defects(train)
        samples += [Sample(image, None, 0, category, "train", GOOD) for image in images_below(train)]
    else:
        samples = hold_out(samples, config.train_share, config.split_seed, root)
    return samples + (_anomalous(abnormal, base / "masks", category) if abnormal else [])


def has_normal(folder: Path) -> bool:
    """Whether normal images have a folder of their own in a folder."""
    return any(name.lower() in _NORMAL for name in folders_in(folder))


def read_folder(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category of a plain folder."""
    if _child(root, _NORMAL):
        bases = {root.name: root}
    else:
        bases = {name: root / name for name in folders_in(root) if _child(root / name, _NORMAL)}
    if not bases:
        raise DataError(f"no folder 'normal' in {root} or in its sub-folders")
    return [
        sample
        for category in choose(list(bases), config.categories, root)
        for sample in _read_category(bases[category], category, config, root)
    ]
