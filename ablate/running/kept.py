"""A few images with their maps, kept of a run for galleries: ``maps.npz``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.array_files import write_arrays
from model.data.samples import Sample
from model.evaluation import Predictions
from model.ground_truth import GroundTruth


class KeptMaps:
    """The few images per category whose maps a report shows.

    Chosen by the images' names alone, so every run of a study keeps the same ones: defects spread
    over the defect types, and one normal image in four.
    """

    def __init__(self, per_category: int) -> None:
        self.per_category = per_category
        self._columns: dict[str, list[Any]] = {}

    def add(
        self,
        samples: Sequence[Sample],
        predictions: Predictions,
        truth: GroundTruth,
        image_of: Callable[[Sample], np.ndarray],
    ) -> None:
        """Pick from one category's test samples; ``image_of`` shows one at the maps' size, uint8."""
        for i in pick(samples, self.per_category):
            sample = samples[i]
            row = {
                "image": image_of(sample),
                "mask": truth.masks[i],
                "map": predictions.maps[i].astype(np.float16),
                "path": str(sample.image_path),
                "category": sample.category,
                "label": sample.label,
                "defect_type": sample.defect_type,
                "score": float(predictions.scores[i]),
            }
            for name, value in row.items():
                self._columns.setdefault(name, []).append(value)

    def save(self, path: Path) -> None:
        """Write maps.npz: image [k, s, s, 3], mask [k, s, s], map [k, s, s] and one entry per field."""
        arrays: dict[str, Any] = {name: np.array(v) for name, v in self._columns.items()}
        write_arrays(path, arrays)


def pick(samples: Sequence[Sample], count: int) -> list[int]:
    """Indices of at most ``count`` samples: a quarter normal, the rest in turn over defect types."""
    by_type: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        by_type.setdefault(sample.defect_type if sample.label else "", []).append(i)
    normal = by_type.pop("", [])
    normals = min(len(normal), count if not by_type else count // 4)
    chosen = normal[:normals]
    queues = [iter(indices) for _, indices in sorted(by_type.items())]
    while queues and len(chosen) < count:
        for queue in list(queues):
            index = next(queue, None)
            if index is None:
                queues.remove(queue)
            elif len(chosen) < count:
                chosen.append(index)
    return sorted(chosen)
