"""Reference rows without training, on the same cached features and through the same score path.

Importing this package does not import torch or scikit-learn: a method's module is loaded when it is
fitted. ``METHODS`` lists what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from model.baselines.config import Baseline, KnnConfig, PositionKnnConfig, SubspaceConfig

if TYPE_CHECKING:
    from torch import Tensor

    from model.baselines.patches import Layout, Scorer


@dataclass(frozen=True)
class Method:
    """One reference row as listings show it, and where its code is."""

    name: str
    """Value of ``method`` in a study."""
    summary: str
    """What it does, after which paper."""
    config: type[Baseline]
    """Its knobs."""
    module: str
    """Module below this package, imported on first use."""
    fit: str
    """Function there: (config, batches, layout, seed) -> scorer."""

    @property
    def section(self) -> str:
        """Key of its knobs in the configuration."""
        return self.name.replace("-", "_")


_ALL = (
    Method(
        "knn",
        "Nearest patch of a memory bank of normal patches (PatchCore, CVPR 2022; AnomalyDINO, WACV 2025)",
        KnnConfig,
        "knn",
        "fit_knn",
    ),
    Method(
        "position-knn",
        "Nearest patch around the same position of retrieved normal images (RAD, arXiv 2601.22763)",
        PositionKnnConfig,
        "position_knn",
        "fit_position_knn",
    ),
    Method(
        "subspace",
        "Residual outside the principal subspace of normal patches (SubspaceAD, CVPR 2026)",
        SubspaceConfig,
        "subspace",
        "fit_subspace",
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})
"""Name -> method, in the order in which listings show them."""


def fit(config: Baseline, batches: Iterable[Tensor], layout: Layout, seed: int) -> Scorer:
    """Fit the method of ``config`` on normal images.

    Parameters
    ----------
    batches: group means [B, G, T, C] each, in a fixed order; read once.
    layout: where prefix tokens and patches lie in them.
    seed: replicate; drives the subsampling alone.

    Raises
    ------
    DataError: there are no normal images, or nothing varies between them.
    """
    method = METHODS[config.method]
    module = import_module(f"{__name__}.{method.module}")
    scorer: Scorer = getattr(module, method.fit)(config, batches, layout, seed)
    return scorer
