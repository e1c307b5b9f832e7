"""MVTec AD 2 (Heckler-Kram et al., 2025).

Only ``test_public`` has masks on disk; the private sets are scored by the authors' server, and
``validation/good`` is left alone, as the models here choose nothing on it. One object is photographed
under several lightings (``000_regular.png``, ``000_overexposed.png``), which are grouped.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.data.config import DataConfig
from model.data.readers.mvtec import categories_of, normal_training, tested
from model.data.samples import Sample


def _with_group(sample: Sample) -> Sample:
    number, _, lighting = sample.image_path.stem.partition("_")
    if not lighting or not number.isdigit():
        return sample
    folder = sample.image_path.parent
    return replace(sample, group=f"{sample.category}/{folder.parent.name}/{folder.name}/{number}")


def read_mvtec_ad2(root: Path, config: DataConfig) -> list[Sample]:
    """Every wanted category: train/good and test_public with its masks."""
    samples: list[Sample] = []
    for category in categories_of(root, config):
        public = root / category / "test_public"
        samples += normal_training(root / category / "train", category)
        samples += [
            sample
            for sample in tested(public, public / "ground_truth", category)
            if sample.image_path.parent.parent == public
        ]
    return [_with_group(sample) for sample in samples]
