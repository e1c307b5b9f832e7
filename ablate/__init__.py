"""Ablation studies of one model: variants x seeds x categories in, paper-ready evidence out.

    import ablate

    study = ablate.load_spec("study.yaml")
    ablate.run_study(study, workers=2)
    results = ablate.gather("results/" + study.study)
    results.frame, ablate.judge(results.folder).claims
    ablate.make_report(results.folder)

``ablate`` imports ``model``, never the reverse; data flows ``cli -> report -> evidence -> running ->
study -> model``. Importing this package imports neither torch nor pandas: each door opens when used.

The project's words, with one meaning each in code, files, documentation and on the command line:

========  ===========================================================================================
study     a question in one file: what is compared, on which data, and what the paper will say
factor    a setting, by its dotted path, that a study varies
level     one value of a factor
variant   a named configuration of the model: a row of the study's tables
seed      one replicate; variants are compared seed by seed
category  a product or domain of the dataset: a column of the study's tables
cell      one variant with one seed (and one category, where models are trained per category)
row       a variant together with the factor levels and settings that make it
run       one model to train and evaluate: the unit of work. Cells whose runs are the same share it
key       the hash of everything that can change a run's result; equal keys are computed once
attempt   one execution of a run; a run that is interrupted or fails may have several
trial     one configuration that a search tries (Optuna's word); its runs hang beneath it
claim     what the paper will say about two variants, stated before the runs
verdict   what the runs say of a claim: supported, refuted, or what is missing to tell
finding   one line of what an examination or a report found, with how much it matters
session   one supervisor with its workers, from start to end
worker    a process that takes runs, one after another, and computes them
lease     a worker's right to the run that it has taken, until it ends or falls silent
plug-in   a module of a user's own with priors, encoders, readers or metrics that a study names
========  ===========================================================================================
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ablate.own_model import claim_name

claim_name()

from model import __version__  # noqa: E402 - only now is it certain which package that is

if TYPE_CHECKING:
    from ablate.doors import gather, judge, make_report, run_study
    from ablate.study.reading import load_spec

__all__ = ["__version__", "gather", "judge", "load_spec", "make_report", "run_study"]

_DOORS = {
    "gather": "ablate.doors",
    "judge": "ablate.doors",
    "load_spec": "ablate.study.reading",
    "make_report": "ablate.doors",
    "run_study": "ablate.doors",
}


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_DOORS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
