"""What a study resolves to: each variant's differences, and the course of every schedule, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ablate.study import settings as fields
from ablate.study.row_data import varying_values
from ablate.study.spec import StudySpec
from model.config import ModelConfig, Schedule, dump_config
from model.priors.schedule import mean_value, value_at

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Resolved:
    """One row of a study, resolved."""

    variant: str
    config: ModelConfig
    changes: Mapping[str, tuple[Any, Any]]
    """Dotted path -> (baseline's value, this row's value)."""


def resolve(spec: StudySpec) -> tuple[Resolved, ...]:
    """Every row's configuration, and how it differs from the baseline's; the baseline first."""
    rows = {row.variant: spec.config(row.overrides) for row in spec.rows()}
    flat = {
        row.variant: fields.unnest(dump_config(rows[row.variant]), ModelConfig)
        | varying_values(spec.data_of(row.overrides))
        for row in spec.rows()
    }
    base = flat[spec.baseline]
    order = [spec.baseline, *(name for name in rows if name != spec.baseline)]
    return tuple(Resolved(name, rows[name], fields.differences(base, flat[name])) for name in order)


def base_values(spec: StudySpec) -> dict[str, tuple[Any, Any]]:
    """Where the baseline departs from the defaults: path -> (default, value)."""
    default = fields.unnest(dump_config(ModelConfig()), ModelConfig)
    baseline = next(row for row in spec.rows() if row.variant == spec.baseline)
    return fields.differences(
        default, fields.unnest(dump_config(spec.config(baseline.overrides)), ModelConfig)
    )


def schedules(config: ModelConfig) -> dict[str, Schedule]:
    """Every scheduled knob of a configuration by dotted path, as it is used: ``mean_rate`` worked in.

    An entry of a list has its place behind the path: ``token_dropout.length[1]``.
    """
    matched = config.token_dropout.matched(config.train.iterations)
    config = replace(config, token_dropout=matched)
    found: dict[str, Schedule] = {}
    for path in fields.leaves(ModelConfig):
        value: Any = config
        for name in path.split("."):
            value = getattr(value, "lambda_" if name == "lambda" else name)
        if isinstance(value, Schedule):
            found[path] = value
        if isinstance(value, tuple):
            found |= {f"{path}[{i}]": part for i, part in enumerate(value) if isinstance(part, Schedule)}
    return found


def means(config: ModelConfig) -> dict[str, float]:
    """What each scheduled knob is on average over training: the dose by which two courses compare."""
    iterations = config.train.iterations
    return {path: mean_value(schedule, iterations) for path, schedule in schedules(config).items()}


def plot(schedule: Schedule, *, width: int = 60, height: int = 6) -> list[str]:
    """A schedule over training progress 0..1 as block characters.

    Returns ``height`` lines of equal length, the largest value at the top with its axis label, and
    one line for the progress axis. The lower edge is the smallest value.
    """
    values = [value_at(schedule, i / (width - 1)) for i in range(width)]
    low, high = min(values), max(values)
    levels = [round((value - low) / ((high - low) or 1) * height * 8) for value in values]
    margin = max(len(f"{end:g}") for end in (low, high))
    lines: list[str] = []
    for row in reversed(range(height)):
        cells = "".join(_EIGHTHS[min(max(level - 8 * row, 0), 8)] for level in levels)
        text = {height - 1: f"{high:g}", 0: f"{low:g}"}.get(row, "")
        lines.append(f"{text:>{margin}} ┤{cells}")
    axis = f"{'':>{margin}} └0{'training progress':^{width - 2}}1"
    return [*lines, axis]
