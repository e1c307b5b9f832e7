"""Score a checkpoint of the published implementation on a study's dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ablate.running.measuring import metric_rows
from ablate.running.reporter import Reporter
from ablate.study.plan import Run
from model.config import ModelConfig
from model.data.dataset import load_dataset
from model.dinomaly import Dinomaly
from model.encoders.timm_vit import architecture, read_state_dict
from model.errors import CheckpointError
from model.evaluation import predict
from model.features import StreamedFeatures
from model.ground_truth import load_truth
from model.reference import from_reference_state_dict


def load_reference(checkpoint: Path, config: ModelConfig) -> Dinomaly:
    """A published checkpoint as a model scored by ``config``.

    ``config.encoder.name`` tells patch size and heads, which a state dict does not hold.
    Raises CheckpointError where the file is unreadable or does not fit.
    """
    shape = architecture(config.encoder.name)
    state = read_state_dict(checkpoint)
    token = next((value for name, value in state.items() if name.endswith("encoder.cls_token")), None)
    if token is not None and token.shape[-1] != shape.dim:
        raise CheckpointError(
            f"checkpoint {checkpoint} has an encoder of width {token.shape[-1]}, "
            f"{config.encoder.name} has {shape.dim}",
            hint="set base.encoder.name to the encoder it was trained with",
        )
    return from_reference_state_dict(
        state,
        image_size=config.image.crop,
        patch_size=shape.patch[0],
        num_heads=shape.heads,
        attention=config.decoder.attention,
        config=config,
    )


def evaluate_checkpoint(run: Run, checkpoint: Path, *, reporter: Reporter) -> pd.DataFrame:
    """Metrics of a published checkpoint on a run's data, in the form of a run's ``metrics.csv``.

    The checkpoint brings its own encoder, so nothing of the feature cache applies: images stream
    through it. Raises UserErrors of data and checkpoint.
    """
    device = torch.device(reporter.device)
    model = load_reference(checkpoint.expanduser(), run.config).to(device)
    config = model.student.config
    dataset = load_dataset(run.data, cache_dir=reporter.cache)
    rows: list[dict[str, Any]] = []
    for number, category in enumerate(run.categories):
        samples = dataset.test(category)
        features = StreamedFeatures(samples, model.teacher, config.image, torch.float32, device)
        predictions = predict(model.student, features, torch.arange(len(samples)), device=device)
        truth = load_truth(dataset, category, config, cache_dir=reporter.cache)
        rows += metric_rows(category, samples, dataset, predictions, truth, recipe=run.aupro)
        reporter.progress(number + 1, len(run.categories), f"evaluated {category}")
    return pd.DataFrame(rows)


def tidy(frame: pd.DataFrame, study: str, checkpoint: Path) -> pd.DataFrame:
    """The metrics in the columns of ``runs.csv``, the checkpoint standing for the variant."""
    wide = frame.assign(study=study, variant=checkpoint.name, seed="", key="")
    return wide[["study", "variant", "seed", "category", "split", "stratum", "metric", "value", "key"]]
