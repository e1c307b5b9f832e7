"""The code that a run of a configuration executes: part of its key, and told when it has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.baselines import METHODS
from model.code_identity import ROOT, combined, modules_below
from model.config import ModelConfig
from model.encoders.build import entry_of
from model.metric_names import plugged_metric
from model.priors.entries import prior_entry

COMPUTING = tuple(
    f"ablate.running.{name}" for name in ("one_run", "material", "measuring", "deciding", "kept")
)
"""Where a run begins to compute. Named, not imported: planning needs no torch."""


def run_modules(config: ModelConfig, metrics: Sequence[str] = (), folder: Path = ROOT) -> Mapping[str, str]:
    """Digest of each module that a run of ``config`` executes, by dotted name.

    Of alternatives only the chosen one counts: another encoder's module, another method's or a plug-in
    that takes no part may change as it likes. ``metrics``: of plug-ins, which the run computes too.
    """
    return _modules(config.encoder.name, config.method, tuple(config.plugins), tuple(metrics), folder)


def run_codes() -> Callable[[ModelConfig, tuple[str, ...]], str]:
    """One digest of these modules, by configuration; the files are read once per choice of modules."""

    @functools.cache
    def of(encoder: str, method: str, priors: tuple[str, ...], metrics: tuple[str, ...]) -> str:
        return combined(_modules(encoder, method, priors, metrics, ROOT))

    return lambda config, metrics: of(config.encoder.name, config.method, tuple(config.plugins), metrics)


def _modules(
    encoder: str, method: str, priors: tuple[str, ...], metrics: tuple[str, ...], folder: Path
) -> Mapping[str, str]:
    # A reference row's module is imported by its name in a table, which imports do not show.
    rows = [f"model.baselines.{METHODS[method].module}"] if method in METHODS else []
    entries: list[Callable[..., Any]] = [
        entry_of(encoder).build,
        *(prior_entry(name).build for name in priors),
        *(plugged_metric(name).measure for name in metrics),
    ]
    return modules_below([*COMPUTING, *rows], entries=entries, folder=folder)
