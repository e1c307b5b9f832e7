"""A finished run's model as one ONNX graph: encoder, trained student and score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, load_plan
from ablate.study.plan import PlanRow, Run
from model.dinomaly import Dinomaly, build_model
from model.errors import CheckpointError, ConfigError
from model.export import export
from model.suggest import suggestion


def export_variant(
    study_dir: Path, variant: str, out: Path, *, seed: int | None = None, category: str | None = None
) -> float:
    """Write one run of a variant as ONNX; returns its largest difference from torch.

    Parameters
    ----------
    seed, category: which of its runs; the first by default.

    Raises
    ------
    ConfigError: no such run, or a method without a student; a package of the extra ``onnx`` is missing.
    CheckpointError: the run is not finished, or did not keep its weights.
    UserError, StorageError: as :func:`model.export.export`.
    """
    run, model = trained(study_dir, variant, seed=seed, category=category)
    about = {
        "study": load_plan(Workspace(study_dir)).study,
        "variant": variant,
        "seed": run.seed,
        "key": run.key,
    }
    return export(model, out, crop=run.config.image.crop, score=run.config.score, metadata=about)


def trained(
    study_dir: Path, variant: str, *, seed: int | None = None, category: str | None = None
) -> tuple[Run, Dinomaly]:
    """A variant's run and its trained model, in eval mode; ``seed``, ``category``: the first by default.

    Raises ConfigError and CheckpointError as :func:`export_variant`.
    """
    workspace = Workspace(study_dir)
    plan = load_plan(workspace)
    row = _row(plan, variant, seed, category)
    run = next(run for run in plan.runs if run.key == row.key)
    if run.config.method != "dinomaly":
        raise ConfigError(
            f"'{variant}' is method {run.config.method}, which has no network",
            hint="take a variant of method: dinomaly",
        )
    weights = workspace.run_dir(row.key) / "weights.safetensors"
    if not weights.is_file():
        finished = workspace.committed(row.key)
        what = "did not keep its weights" if finished else "is not finished"
        raise CheckpointError(
            f"the run of '{variant}' with seed {row.seed} {what}",
            where=str(weights.parent),
            hint="keep: {weights: true} in the study, remove this folder and run it again"
            if finished
            else "run the study with keep: {weights: true} first",
        )
    model = build_model(run.config)
    model.student.load_state_dict(load_file(weights))
    return replace(run, variant=variant, seed=row.seed), model.eval()


def _row(plan: StoredPlan, variant: str, seed: int | None, category: str | None) -> PlanRow:
    variants = list(dict.fromkeys(row.variant for row in plan.rows))
    if variant not in variants:
        raise ConfigError(
            f"study {plan.study} has no variant '{variant}'", hint=suggestion(variant, variants)
        )
    for row in plan.rows:
        if row.variant == variant and seed in (None, row.seed) and category in (None, row.category):
            return row
    raise ConfigError(f"'{variant}' has no run with seed {seed} and category {category}")
