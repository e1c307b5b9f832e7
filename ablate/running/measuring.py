"""What is measured of a fitted detector: rows of ``metrics.csv``, ``scores.csv`` and ``history.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ablate.running.deciding import decision_rows
from ablate.running.material import Material
from model.aupimo import aupimo
from model.completion_rows import completion_rows
from model.data.dataset import Dataset
from model.data.samples import Sample
from model.detector import Detector
from model.evaluation import Predictions
from model.ground_truth import GroundTruth
from model.metric_names import AUPIMO
from model.metrics import AuproRecipe, evaluate
from model.plugged_metrics import plugged_rows
from model.stratum_scores import detection, mechanism
from model.training import Step


def metric_rows(
    category: str,
    samples: Sequence[Sample],
    dataset: Dataset,
    predictions: Predictions,
    truth: GroundTruth,
    *,
    recipe: AuproRecipe,
    plugged: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Every metric of one category, per split and stratum: rows of ``metrics.csv``.

    ``plugged``: names of plug-ins' metrics. Raises DataError where one fails.
    """
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
        found += plugged_rows(plugged, maps, part.masks, part.labels, image_scores)
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


def decision_metrics(
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


def score_frame(samples: Sequence[Sample], dataset: Dataset, predictions: Predictions) -> pd.DataFrame:
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
