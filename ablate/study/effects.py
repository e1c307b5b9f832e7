"""Settings of a study file that change nothing, each with its line: nobody meant to write them so.

What a setting changes is asked of :func:`model.canonical.canonical`, which knows what a model reads: a
setting is idle where leaving it out gives the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ablate.study.rows import Row
from ablate.study.settings import unnest
from ablate.study.spec import StudySpec
from model.canonical import canonical
from model.config import ModelConfig, dump_config
from model.errors import ConfigError
from model.presets import PRESETS

MOST_ROWS = 2_000
"""A study of more rows is not looked through."""


def idle_settings(spec: StudySpec) -> tuple[str, ...]:
    """``file:line:column: 'tail.beta' has no effect on variant x (...)``, in the order of the file.

    A value that the base has anyway is not idle: writing it out is a way to say so.
    """
    rows = spec.rows()
    if len(rows) > MOST_ROWS or spec.search is not None:
        return ()
    found = [*_of_base(spec, rows), *_of_variants(spec, rows), *_of_factors(spec, rows)]
    place = {text: spec.marks[at] for at, text in found if at in spec.marks}
    ordered = sorted(place, key=lambda text: (place[text].line or 0, place[text].column or 0))
    return tuple(f"{place[text]}: {text}" for text in ordered)


def _of_base(spec: StudySpec, rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str], str]]:
    preset = unnest(PRESETS[spec.preset].values, ModelConfig) if spec.preset else {}
    default = unnest(dump_config(ModelConfig()), ModelConfig)
    for part, path in spec.marks:
        if part != "base" or path not in spec.base:
            continue
        usual = preset.get(path, default.get(path))
        others = [row for row in rows if path not in row.overrides]
        if others and all(_same(spec, row.overrides, {**row.overrides, path: usual}) for row in others):
            yield (part, path), f"'{path}' has no effect: no row of the study reads it"


def _of_variants(spec: StudySpec, rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str], str]]:
    # With a factor crossed in, another row may read what the variant does not.
    crossed: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        crossed.setdefault(row.variant.partition(",")[0], []).extend([row.overrides] if row.factors else [])
    for name, values in spec.variants.items():
        own = _read(spec, values) if values else None
        for path in values:
            bare = {key: value for key, value in values.items() if key != path}
            if _idle(own, _read(spec, bare)) and all(
                _same(spec, row, {**row, path: _usual(spec, path)})
                for row in crossed.get(name, ())
                if path in row
            ):
                yield (
                    (f"variants.{name}", path),
                    f"'{path}' has no effect on variant {name}: it is not read",
                )


def _of_factors(spec: StudySpec, rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str], str]]:
    for path, levels in spec.factors.levels.items() if spec.factors else ():
        # Against a level that a row does not have: its own would be no other configuration.
        pairs = [
            (row.overrides, {**row.overrides, path: levels[row.overrides[path] == levels[0]]})
            for row in rows
            if path in row.factors and len(levels) > 1
        ]
        if pairs and all(_same(spec, given, other) for given, other in pairs):
            yield ("factors", path), f"the levels of '{path}' are one configuration: it is not read"


def _usual(spec: StudySpec, path: str) -> Any:
    return spec.base.get(path, unnest(dump_config(ModelConfig()), ModelConfig).get(path))


class _Read(NamedTuple):
    """A configuration as it is written, and what a model reads of it."""

    written: ModelConfig
    used: ModelConfig


def _read(spec: StudySpec, overrides: Mapping[str, Any]) -> _Read | None:
    """None where the settings do not go together: one cannot be without the other."""
    try:
        config = spec.config(overrides)
    except ConfigError:
        return None
    return _Read(config, canonical(config))


def _same(spec: StudySpec, given: Mapping[str, Any], without: Mapping[str, Any]) -> bool:
    return _idle(_read(spec, given), _read(spec, without))


def _idle(given: _Read | None, without: _Read | None) -> bool:
    """Whether two configurations differ on paper alone."""
    if given is None or without is None:
        return False
    return given.written != without.written and given.used == without.used
