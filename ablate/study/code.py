"""The code that a run of a configuration executes: part of its key, and told when it has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from model.code_identity import ROOT, combined, modules_below
from model.config import ModelConfig
from model.encoders.build import entry_of

COMPUTING = ("ablate.running.one_run",)
"""Where a run begins to compute. Named, not imported: planning needs no torch."""


def run_modules(config: ModelConfig, folder: Path = ROOT) -> Mapping[str, str]:
    """Digest of each module that a run of ``config`` executes, by dotted name.

    Of alternatives only the chosen one counts: another encoder's module may change as it likes.
    """
    return modules_below(COMPUTING, entries=[entry_of(config.encoder.name).build], folder=folder)


def run_codes() -> Callable[[ModelConfig], str]:
    """One digest of these modules, by configuration; the files are read once per encoder."""

    @functools.cache
    def of(encoder: str) -> str:
        return combined(modules_below(COMPUTING, entries=[entry_of(encoder).build]))

    return lambda config: of(config.encoder.name)
