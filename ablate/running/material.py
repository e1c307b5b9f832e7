"""What runs read: datasets and features, opened for one run or encoded for all of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ablate.running.reporter import HasRuns, Reporter
from model.config import ModelConfig
from model.data.dataset import Dataset, load_dataset
from model.data.samples import Sample
from model.errors import InterruptedRun
from model.features import Encodable, Features, encoder_id, open_copies, open_features
from model.ground_truth import load_truth
from model.pseudo import PseudoDefects


@dataclass(frozen=True)
class Material:
    """Dataset and features of one run; samples in the order of the features' rows."""

    dataset: Dataset
    features: Features
    row_of: Mapping[Encodable, int]
    pseudo: PseudoDefects | None = None

    def rows(self, samples: Iterable[Sample]) -> Tensor:
        """Feature rows [k] of the samples."""
        return torch.tensor([self.row_of[sample] for sample in samples], dtype=torch.long)


def load_material(
    config: ModelConfig,
    dataset: Dataset,
    categories: Sequence[str],
    reporter: Reporter,
    *,
    verify: bool,
) -> Material:
    """Open the features of some categories, encoding what is missing.

    Raises InterruptedRun if asked to stop meanwhile; categories encoded by then are kept.
    """

    def progress(done: int, total: int, note: str) -> None:
        reporter.progress(done, total, note)
        if reporter.should_stop():
            raise InterruptedRun("stopped by request while encoding")

    def opened(what: Callable[..., Features]) -> Features:
        return what(
            config,
            dataset,
            categories,
            cache_dir=reporter.cache,
            device=torch.device(reporter.device),
            progress=progress,
            verify=verify,
        )

    features = opened(open_features)
    row_of = {sample: row for row, sample in enumerate(features.samples)}
    drawn = dataset.config.pseudo
    pseudo = None
    if drawn.kind != "none" and config.method == "dinomaly":
        pseudo = PseudoDefects.of(drawn, row_of, opened(open_copies))
    return Material(dataset, features, row_of, pseudo)


def prepare(plan: HasRuns, reporter: Reporter) -> None:
    """Encode everything that the plan's runs will read, each image once per encoder.

    Raises as :func:`model.features.open_features` and the dataset readers do.
    """
    cache = reporter.cache
    seen: set[str] = set()
    for run in plan.runs:
        name = f"{encoder_id(run.config)}/{','.join(run.categories)}/{run.data}"
        if name in seen:
            continue
        seen.add(name)
        dataset = load_dataset(
            run.data,
            cache_dir=cache,
            progress=lambda done, total: reporter.progress(done, total, "hashing files"),
        )
        load_material(run.config, dataset, run.categories, reporter, verify=True)
        for category in run.categories:
            load_truth(dataset, category, run.config, cache_dir=cache)
