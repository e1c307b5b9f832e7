"""One run, from its configuration to the files of its folder.

The files: ``metrics.csv`` (category, split, stratum, metric, value, reason),
``history.csv`` (a line per step: loss, learning rate, gradient norm and every knob), ``scores.csv``
(a line per test image), ``score_histograms/CATEGORY.npz`` (what uncertainty over images needs: about 60 kB
per 45 images), ``maps.npz`` (a few images, masks and maps), ``provenance.json`` and, if asked for,
``weights.safetensors``. Until it is finished, ``checkpoint.pt`` lies beside them. The
worker adds ``config.json`` and the rest of the provenance.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from ablate.running.deciding import decision_rows, hold_out
from ablate.running.folder import CHECKPOINT, HISTOGRAMS
from ablate.running.reporter import HasRuns, Reporter
from ablate.study.code import run_modules
from ablate.study.plan import Run
from model.array_files import write_arrays
from model.aupimo import aupimo
from model.code_identity import combined
from model.completion_rows import completion_rows
from model.config import ModelConfig
from model.data.dataset import Dataset, load_dataset
from model.data.samples import Sample
from model.detector import Detector, fit_detector
from model.device import precision_on
from model.encoders.build import describe, weights_fingerprint
from model.errors import InterruptedRun, StorageError
from model.evaluation import Predictions
from model.features import Features, encoder_id, open_features
from model.files import write_text
from model.ground_truth import GroundTruth, load_truth
from model.metric_names import AUPIMO
from model.metrics import AuproRecipe, evaluate
from model.score_histograms import count_scores
from model.stratum_scores import detection, mechanism
from model.thumbnails import cached_thumbnail
from model.training import Step

HISTOGRAM_BINS = 1024
"""Pixel metrics are within .08 points of the exact ones, which is far below their spread over images."""


@dataclass(frozen=True)
class Material:
    """Dataset and features of one run; samples in the order of the features' rows."""

    dataset: Dataset
    features: Features
    row_of: Mapping[Sample, int]

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

    features = open_features(
        config,
        dataset,
        categories,
        cache_dir=reporter.cache,
        device=torch.device(reporter.device),
        progress=progress,
        verify=verify,
    )
    return Material(dataset, features, {s: i for i, s in enumerate(features.samples)})


def prepare(plan: HasRuns, reporter: Reporter) -> None:
    """Encode everything that the plan's runs will read, each image once per encoder.

    Raises as :func:`model.features.open_features` and the dataset readers do.
    """
    cache = reporter.cache
    seen: set[str] = set()
    for run in plan.runs:
        name = f"{encoder_id(run.config)}/{','.join(run.categories)}"
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


def execute_run(run: Run, attempt_dir: Path, reporter: Reporter) -> None:
    """Train and evaluate one run, writing its files into ``attempt_dir``.

    Resumes from the attempt's checkpoint if there is one.

    Raises
    ------
    DivergedError: NaN or infinity in training or scores.
    InterruptedRun: ``reporter.should_stop()``; the checkpoint is saved.
    UserError: data, weights or disk.
    """
    modules = same_code(run)
    times: dict[str, float] = {}
    started = time.perf_counter()
    device, cache = torch.device(reporter.device), reporter.cache
    dataset = load_dataset(run.data, cache_dir=cache)
    material = load_material(run.config, dataset, run.categories, reporter, verify=False)
    times["data"] = time.perf_counter() - started

    started = time.perf_counter()
    train: list[Sample] = []
    held: dict[str, list[Sample]] = {}
    for category in run.categories:
        kept_in, held[category] = hold_out(dataset.train(category), run.config.score, run.seed)
        train += kept_in
    detector = fit_detector(
        run.config,
        material.features.shape,
        material.features,
        material.rows(train),
        run.seed,
        device=device,
        checkpoint=attempt_dir / CHECKPOINT,
        on_step=lambda done, total, loss: reporter.progress(done, total, f"loss {loss:.4f}"),
        should_stop=reporter.should_stop,
    )
    times["train"] = time.perf_counter() - started

    started = time.perf_counter()
    metrics: list[dict[str, Any]] = []
    scores: list[pd.DataFrame] = []
    kept = KeptMaps(run.keep_maps)
    (attempt_dir / HISTOGRAMS).mkdir(exist_ok=True)
    for number, category in enumerate(run.categories):
        samples = dataset.test(category)
        predictions = detector.predict(material.features, material.rows(samples))
        truth = load_truth(dataset, category, run.config, cache_dir=cache)
        metrics += metric_rows(category, samples, dataset, predictions, truth, recipe=run.aupro)
        metrics += _decisions(category, samples, material, detector, held[category], predictions)
        metrics += completion_metrics(category, samples, material, detector, truth)
        scores.append(_score_frame(samples, dataset, predictions))
        # Rows of the histograms are the category's lines of scores.csv.
        counted = count_scores(predictions.maps, truth.masks, truth.regions, HISTOGRAM_BINS)
        counted.save(attempt_dir / HISTOGRAMS / f"{category}.npz")
        kept.add(samples, predictions, truth, lambda s: cached_thumbnail(s, dataset, run.config, cache))
        reporter.progress(number + 1, len(run.categories), f"evaluated {category}")
    times["evaluate"] = time.perf_counter() - started

    pd.DataFrame(metrics).to_csv(attempt_dir / "metrics.csv", index=False)
    pd.concat(scores).to_csv(attempt_dir / "scores.csv", index=False)
    history_frame(detector.history).to_csv(attempt_dir / "history.csv", index=False)
    kept.save(attempt_dir / "maps.npz")
    if run.keep_weights and detector.student is not None:
        save_file(
            {name: value.contiguous().cpu() for name, value in detector.student.state_dict().items()},
            attempt_dir / "weights.safetensors",
        )
    provenance = {
        "encoder": describe(run.config.encoder),
        "encoder_weights": weights_fingerprint(run.config.encoder),
        "features": encoder_id(run.config),
        "modules": modules,
        "data_contents": dataset.fingerprint_of(run.categories),
        "device": str(device),
        "precision": precision_on(run.config.train.precision, device),
        "timings": {name: round(value, 3) for name, value in times.items()},
    }
    write_text(attempt_dir / "provenance.json", json.dumps(provenance, indent=1))
    (attempt_dir / CHECKPOINT).unlink(missing_ok=True)


def same_code(run: Run) -> Mapping[str, str]:
    """Digests of the modules that compute ``run``.

    Raises StorageError if they are not what its key stands for.
    """
    modules = run_modules(run.config)
    if combined(modules) != run.code_digest:
        raise StorageError(
            "the code is not that of the run's key: it was edited since the study was planned",
            hint="run the study again with --retry-failed",
        )
    return modules


def metric_rows(
    category: str,
    samples: Sequence[Sample],
    dataset: Dataset,
    predictions: Predictions,
    truth: GroundTruth,
    *,
    recipe: AuproRecipe,
) -> list[dict[str, Any]]:
    """Every metric of one category, per split and stratum: rows of ``metrics.csv``."""
    rows: list[dict[str, Any]] = []
    splits = np.array([dataset.split_of(sample) for sample in samples])
    for split in sorted(set(splits)):
        chosen = np.flatnonzero(splits == split)
        part = truth.select(chosen)
        maps, image_scores = predictions.maps[chosen], predictions.scores[chosen]
        overall = evaluate(
            maps,
            part.masks,
            part.labels,
            image_scores,
            regions=part.regions,
            aupro=recipe,
            annotated=part.annotated,
        )
        found = [("all", name, value, overall.reasons.get(name, "")) for name, value in overall.items()]
        per_image = aupimo(maps, part.masks, part.labels)
        found.append(("all", AUPIMO, per_image.mean, per_image.reason or ""))
        found += mechanism(predictions.distances[chosen], part.masks, part.strata, annotated=part.annotated)
        found += detection(
            maps, part.masks, part.labels, image_scores, part.strata, regions=part.regions, aupro=recipe
        )
        rows += [
            {
                "category": category,
                "split": split,
                "stratum": stratum,
                "metric": metric,
                "value": value,
                "reason": reason,
            }
            for stratum, metric, value, reason in found
        ]
    return rows


def _decisions(
    category: str,
    samples: Sequence[Sample],
    material: Material,
    detector: Detector,
    held: Sequence[Sample],
    predictions: Predictions,
) -> list[dict[str, Any]]:
    """What the threshold decides, per split; nothing where none is asked for."""
    if not held:
        return []
    on_held = detector.predict(material.features, material.rows(held)).scores
    splits = np.array([material.dataset.split_of(sample) for sample in samples])
    labels = np.array([sample.label for sample in samples])
    return [
        {"category": category, "split": split, **row._asdict()}
        for split in sorted(set(splits))
        for row in decision_rows(
            on_held,
            predictions.scores[splits == split],
            labels[splits == split],
            detector.config.score,
        )
    ]


def completion_metrics(
    category: str,
    samples: Sequence[Sample],
    material: Material,
    detector: Detector,
    truth: GroundTruth,
) -> list[dict[str, Any]]:
    """How well the decoder fills in rows and columns, per split and stratum: rows of ``metrics.csv``."""
    splits = np.array([material.dataset.split_of(sample) for sample in samples])
    indices = material.rows(samples)
    rows: list[dict[str, Any]] = []
    for split in sorted(set(splits)):
        chosen = np.flatnonzero(splits == split)
        part = truth.select(chosen)
        found = completion_rows(
            detector.student, material.features, indices[torch.from_numpy(chosen)], part
        )
        rows += [{"category": category, "split": split, **row._asdict()} for row in found]
    return rows


def _score_frame(samples: Sequence[Sample], dataset: Dataset, predictions: Predictions) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [str(sample.image_path) for sample in samples],
            "category": [sample.category for sample in samples],
            "split": [dataset.split_of(sample) for sample in samples],
            "defect_type": [sample.defect_type for sample in samples],
            "label": [sample.label for sample in samples],
            "score": predictions.scores,
        }
    )


def history_frame(history: Sequence[Step]) -> pd.DataFrame:
    """One line per step: iteration, loss, lr, grad_norm and a column per knob."""
    return pd.DataFrame(
        [
            {"iteration": s.iteration, "loss": s.loss, "lr": s.lr, "grad_norm": s.grad_norm, **s.knobs}
            for s in history
        ],
        # What is not trained has a history without lines.
        columns=None if history else ["iteration", "loss", "lr", "grad_norm"],
    )


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
