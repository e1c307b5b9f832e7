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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file

from ablate.running.deciding import hold_out
from ablate.running.folder import CHECKPOINT, HISTOGRAMS
from ablate.running.kept import KeptMaps
from ablate.running.material import load_material
from ablate.running.measuring import (
    completion_metrics,
    decision_metrics,
    history_frame,
    metric_rows,
    score_frame,
)
from ablate.running.reporter import Reporter
from ablate.study.code import run_modules
from ablate.study.plan import Run
from model.code_identity import combined
from model.data.dataset import Dataset, load_dataset
from model.data.samples import Sample
from model.detector import fit_detector
from model.device import precision_on
from model.encoders.build import describe, weights_fingerprint
from model.errors import DataError, StorageError
from model.features import encoder_id
from model.files import write_text
from model.ground_truth import load_truth
from model.score_histograms import count_scores
from model.thumbnails import cached_thumbnail

HISTOGRAM_BINS = 1024
"""Pixel metrics are within .08 points of the exact ones, which is far below their spread over images."""


def execute_run(run: Run, attempt_dir: Path, reporter: Reporter) -> None:
    """Train and evaluate one run, writing its files into ``attempt_dir``.

    Resumes from the attempt's checkpoint if there is one.

    Raises
    ------
    DivergedError: NaN or infinity in training or scores.
    InterruptedRun: ``reporter.should_stop()``; the checkpoint is saved.
    UserError: data (also: changed since planning, at the start or meanwhile), weights or disk.
    """
    modules = same_code(run)
    times: dict[str, float] = {}
    started = time.perf_counter()
    device, cache = torch.device(reporter.device), reporter.cache
    dataset = same_data(run, cache)
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
        pseudo=material.pseudo,
        checkpoint=attempt_dir / CHECKPOINT,
        key=run.key,
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
        metrics += metric_rows(
            category, samples, dataset, predictions, truth, recipe=run.aupro, plugged=run.metrics
        )
        metrics += decision_metrics(category, samples, material, detector, held[category], predictions)
        metrics += completion_metrics(category, samples, material, detector, truth)
        scores.append(score_frame(samples, dataset, predictions))
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
    provenance: dict[str, Any] = {
        "encoder": describe(run.config.encoder),
        "encoder_weights": weights_fingerprint(run.config.encoder),
        "features": encoder_id(run.config),
        "modules": modules,
        "data_contents": dataset.fingerprint_of(run.categories),
        "device": str(device),
        "precision": precision_on(run.config.train.precision, device),
        "timings": {name: round(value, 3) for name, value in times.items()},
    }
    if detector.student is not None and detector.student.micro_batches:
        provenance["micro_batches"] = detector.student.micro_batches
    write_text(attempt_dir / "provenance.json", json.dumps(provenance, indent=1))
    same_data(run, reporter.cache)  # masks and images may have been read while they were being changed
    (attempt_dir / CHECKPOINT).unlink(missing_ok=True)


def same_code(run: Run) -> Mapping[str, str]:
    """Digests of the modules that compute ``run``.

    Raises StorageError if they are not what its key stands for.
    """
    modules = run_modules(run.config, run.metrics)
    if combined(modules) != run.code_digest:
        raise StorageError(
            "the code is not that of the run's key: it was edited since the study was planned",
            hint="run the study again with --retry-failed",
        )
    return modules


def same_data(run: Run, cache: Path) -> Dataset:
    """The dataset of ``run``.

    Raises DataError if it is not what the run's key stands for, or cannot be read.
    """
    dataset = load_dataset(run.data, cache_dir=cache)
    if run.contents and dataset.fingerprint_of(run.categories) != run.contents:
        raise DataError(
            f"the data of {', '.join(run.categories)} have changed since the study was planned",
            where=str(dataset.root),
            hint="run the study again to plan with the changed, or restore them and add --retry-failed",
        )
    return dataset
