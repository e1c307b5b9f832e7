"""VisA (Zou et al., ECCV 2022) as downloaded: its list of the one-class setting says what trains.

Masks hold small numbers, one per kind of defect; which kind is not told by folders, so every defect is an
``anomaly``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from model.data.config import DataConfig
from model.data.files import choose
from model.data.samples import GOOD, Sample
from model.data.splits import grouped
from model.errors import DataError

SPLIT = Path("split_csv/1cls.csv")
_COLUMNS = ("object", "split", "label", "image", "mask")
_NORMAL = "normal"


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = [{name: value or "" for name, value in row.items() if name} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the split {path}: {error}") from None
    if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
        raise DataError(f"the split {path} has no column {', '.join(missing)}")
    return rows


def _sample(row: dict[str, str], root: Path, where: str) -> Sample:
    image, label = root / row["image"], int(row["label"] != _NORMAL)
    if row["split"] not in ("train", "test"):
        raise DataError(f"'{row['split']}' is neither train nor test", where=where)
    if label and row["split"] == "train":
        raise DataError(f"training image {image} is listed as a defect", where=where)
    if label and not row["mask"]:
        raise DataError(f"defect image {image} has no mask in the list", where=where)
    mask = root / row["mask"] if label else None
    for path in filter(None, (image, mask)):
        if not path.is_file():
            raise DataError(f"listed file {path} does not exist", where=where)
    return Sample(
        image, mask, label, row["object"], "train" if row["split"] == "train" else "test",
        row["label"] if label else GOOD,
    )  # fmt: skip


def read_visa(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category with the published one-class split."""
    path = root / SPLIT
    if not path.is_file():
        raise DataError(f"no {SPLIT} in {root}", hint="is this the original download's root?")
    rows = grouped(enumerate(_rows(path), start=2), lambda numbered: numbered[1]["object"])
    return [
        _sample(row, root, f"{path}:{line}")
        for category in choose(list(rows), config.categories, root)
        for line, row in rows[category]
    ]
