"""The code that a run of a configuration executes: part of its key, and told when it has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from model.baselines import METHODS
from model.code_identity import ROOT, combined, modules_below
from model.config import ModelConfig
from model.encoders.build import entry_of

COMPUTING = ("ablate.running.one_run", "ablate.running.deciding")
"""Where a run begins to compute. Named, not imported: planning needs no torch."""


def run_modules(config: ModelConfig, folder: Path = ROOT) -> Mapping[str, str]:
    """Digest of each module that a run of ``config`` executes, by dotted name.

    Of alternatives only the chosen one counts: another encoder's module, or another method's, may change
    as it likes.
    """
    return _modules(config.encoder.name, config.method, folder)


def run_codes() -> Callable[[ModelConfig], str]:
    """One digest of these modules, by configuration; the files are read once per encoder and method."""

    @functools.cache
    def of(encoder: str, method: str) -> str:
        return combined(_modules(encoder, method, ROOT))

    return lambda config: of(config.encoder.name, config.method)


def _modules(encoder: str, method: str, folder: Path) -> Mapping[str, str]:
    # A reference row's module is imported by its name in a table, which imports do not show.
    rows = [f"model.baselines.{METHODS[method].module}"] if method in METHODS else []
    return modules_below([*COMPUTING, *rows], entries=[entry_of(encoder).build], folder=folder)
