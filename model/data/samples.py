"""The one record that every reader yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GOOD = "good"
"""``defect_type`` of normal images, whatever the layout calls their folder."""


@dataclass(frozen=True)
class Sample:
    """One image of a dataset.

    ``mask_path`` is an image file, a folder of them whose union is the mask (MVTec LOCO), or None
    where the layout has none (normal images; datasets without pixel labels).
    """

    image_path: Path
    mask_path: Path | None
    label: int
    """0 normal, 1 anomalous."""
    category: str
    split: Literal["train", "test"]
    defect_type: str
    """``good`` for normal images, else the layout's name of the defect."""
    group: str | None = None
    """Images of one physical object (views, exposures) share it, and no split separates them: they
    are not independent. None: the image stands alone."""

    @property
    def has_truth(self) -> bool:
        """Whether its pixel labels are known: it is normal, or anomalous with a mask."""
        return self.label == 0 or self.mask_path is not None
