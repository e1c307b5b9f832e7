"""What rows of a study may train on: the settings of ``data`` that variants and factors may name.

All rows of a study are tested on the same images, or its differences would compare test sets. So only
what concerns training images may differ. Contamination moves defects from test to training: in a study
whose rows differ in it, the defects of the most contaminated row leave the test images of all rows, and
each row trains on as many of them as it asks for. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

from pydantic.dataclasses import dataclass

from ablate.study.checking import Set
from ablate.study.located import Located
from ablate.study.settings import leaves
from model.config import SECTION, ModelConfig
from model.data.config import DataConfig, PseudoConfig

VARYING = (
    "data.max_train",
    "data.contamination",
    *(f"data.pseudo.{name}" for name in leaves(PseudoConfig)),
)
"""Dotted paths that rows may differ in."""


@dataclass(frozen=True, config=SECTION)
class RowSettings(ModelConfig):
    """Every dotted path of a row: the model's, and those of its data."""

    data: DataConfig = field(default_factory=DataConfig)
    """What it trains on."""


def check_varying(sets: Mapping[str, Set]) -> None:
    """Settings given to rows concern the model or the training images.

    Raises
    ------
    ConfigError: one that changes what is tested on, with file, line and column.
    """
    for path, item in sets.items():
        if path.startswith("data.") and path not in VARYING:
            item.key.fail(
                f"'{path}' cannot differ between rows: all rows are tested on the same images",
                hint=f"set it under data:; rows may have {', '.join(VARYING[:2])} and data.pseudo",
            )


def check_no_data(base: Located) -> None:
    """The base has settings of the model alone.

    Raises
    ------
    ConfigError: one of the data, with file, line and column.
    """
    for key, mark in base.keys.items():
        if key.partition(".")[0] == "data":
            mark.fail(f"unknown key '{key}' in base", hint="what every row reads goes under data:")


def of_model(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A row's overrides without those of its data."""
    return {path: value for path, value in overrides.items() if not path.startswith("data.")}


def with_own(data: DataConfig, overrides: Mapping[str, Any]) -> DataConfig:
    """A study's data with what a row's overrides change of it."""
    given = {path.removeprefix("data."): v for path, v in overrides.items() if path.startswith("data.")}
    if not given:
        return data
    drawn = {p.removeprefix("pseudo."): v for p, v in given.items() if p.startswith("pseudo.")}
    others = {path: value for path, value in given.items() if not path.startswith("pseudo.")}
    return replace(data, pseudo=replace(data.pseudo, **drawn), **others)


def reserved(data: DataConfig, rows: Iterable[Mapping[str, Any]]) -> tuple[tuple[float, int | None], ...]:
    """``DataConfig.reserve`` of a study whose rows have these overrides; empty where it is not needed."""
    asked = {(own.contamination, own.max_train) for own in (with_own(data, row) for row in rows)}
    needed = len(asked) > 1 and any(share for share, _ in asked)
    return tuple(sorted(asked, key=str)) if needed else ()


def varying_values(data: DataConfig) -> dict[str, Any]:
    """What a row reads, by the paths in which rows may differ."""
    pseudo = {f"data.pseudo.{name}": getattr(data.pseudo, name) for name in leaves(PseudoConfig)}
    return {"data.max_train": data.max_train, "data.contamination": data.contamination, **pseudo}
