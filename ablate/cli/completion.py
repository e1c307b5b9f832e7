"""What shells offer while a command is typed: studies, runs, presets, settings. Quiet about mistakes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import typer

from model.errors import UserError

Offers = list[tuple[str, str]]
"""What may be typed, each with a word about it."""


def offer_studies(ctx: typer.Context, incomplete: str) -> Offers:
    """Names of studies and study files; files of other folders once one is begun."""
    from ablate.cli.studies import studies_in, study_files

    found: dict[str, str] = {}
    with _quietly():
        for folder in studies_in(_results(ctx)):
            found[folder.name] = "results"
        begun = Path(incomplete)
        for place in dict.fromkeys((Path(), Path("studies"), begun if begun.is_dir() else begun.parent)):
            for file, name in study_files(place).items():
                found[str(file)] = name
    return _beginning(found, incomplete)


def offer_settings(incomplete: str) -> Offers:
    """``base.train.iterations=`` and the study's own keys, for ``--set``."""
    found: dict[str, str] = {}
    with _quietly():
        from ablate.study.settings import leaves
        from ablate.study.spec import ReportConfig
        from model.config import ModelConfig
        from model.data.config import DataConfig

        parts: dict[str, type] = {"base": ModelConfig, "data": DataConfig, "report": ReportConfig}
        for prefix, cls in parts.items():
            found |= {f"{prefix}.{path}=": leaf.description for path, leaf in leaves(cls).items()}
        found["seeds="] = "how many replicates"
    return _beginning(found, incomplete)


def offer_presets(incomplete: str) -> Offers:
    """Presets, with what they are."""
    found: dict[str, str] = {}
    with _quietly():
        from model.presets import PRESETS

        found = {name: preset.summary for name, preset in PRESETS.items()}
    return _beginning(found, incomplete)


def offer_variants(ctx: typer.Context, incomplete: str) -> Offers:
    """Rows of the study that has been typed before."""
    found: dict[str, str] = {}
    with _quietly():
        from ablate.cli.studies import load_study

        target = ctx.params.get("study") or ctx.params.get("spec")
        spec = load_study(target, results=_results(ctx), echo=False)
        labels = spec.labels
        found = {row.variant: labels.get(row.variant, "") for row in spec.rows()}
    return _beginning(found, incomplete)


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("results") or "results")


def _beginning(found: dict[str, str], incomplete: str) -> Offers:
    return [(text, about) for text, about in found.items() if text.startswith(incomplete)]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Half a command line may be wrong in any way: offer what there is."""
    with contextlib.suppress(UserError, OSError, ValueError):
        yield
