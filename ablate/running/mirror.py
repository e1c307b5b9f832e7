"""Finished runs as Optuna trials on the same server, for optuna-dashboard. Best effort: no result, no
claim and no report depends on them, and a failure here is one line."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from ablate.running.attempt import run_label
from ablate.running.cluster import Joined
from ablate.running.parameters import fixed_params, run_choices
from ablate.running.scores import summarise
from ablate.study.plan import Run

_CLAIM = """
UPDATE ablate_run SET mirrored = true WHERE study = %s AND state = 'done' AND NOT mirrored RETURNING key
"""


def mirror(joined: Joined) -> int:
    """Add a trial for every finished run that has none yet; returns how many were added."""
    plan = joined.plan
    with contextlib.suppress(Exception):  # another program's tables: whatever is wrong, results stand
        storage = optuna.storages.RDBStorage(optuna_url(joined.server.address.url))
        study = optuna.create_study(
            study_name=plan.study, storage=storage, direction="maximize", load_if_exists=True
        )
        keys = {row[0] for row in joined.server.call(lambda c: c.execute(_CLAIM, (plan.study,)).fetchall())}
        choices = run_choices(plan.runs)
        trials = [_trial(joined, run, choices) for run in plan.runs if run.key in keys]
        study.add_trials(trials)
        return len(trials)
    return 0


def optuna_url(url: str) -> str:
    """The address as SQLAlchemy wants it, with psycopg 3 as driver."""
    return f"postgresql+psycopg{url[url.index('://') :]}"


def _trial(joined: Joined, run: Run, choices: Mapping[str, tuple[Any, ...]]) -> optuna.trial.FrozenTrial:
    scores = summarise(joined.workspace.run_dir(run.key) / "metrics.csv", joined.plan.primary)
    finite = [value for value in scores.values() if math.isfinite(value)]
    params, distributions = fixed_params(run, choices)
    return create_trial(
        state=TrialState.COMPLETE if finite else TrialState.FAIL,
        value=sum(finite) / len(finite) if finite else None,
        params=params,
        distributions=distributions,
        user_attrs={
            "key": run.key,
            "label": run_label(run.variant, run.seed, run.category),
            "metrics": scores,
        },
    )
