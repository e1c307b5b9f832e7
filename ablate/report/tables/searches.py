"""What a search tried: the front, where it started, and the best, as selected."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.evidence.searched import Searched
from ablate.evidence.stats import POINTS
from ablate.evidence.tried import Trial, choice_text, winner_of
from ablate.report.numbers import USUAL, Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.notes import common_notes, constraint_text
from ablate.report.words import DASH, metric_label, plural, selecting_images, setting_text, slug

MOST = 12
"""Trials shown besides the front; the CSV has all."""


def search_tables(judgement: Judgement, style: Style = USUAL) -> list[Table]:
    """One table per search."""
    results = judgement.results
    return [_table(results, one, style) for one in results.searched if one.trials]


def _table(results: Results, one: Searched, style: Style) -> Table:
    several = len(results.searched) > 1
    metrics = one.objectives or (one.objective,)
    best = winner_of(one.trials)
    shown = _shown(one, best)
    digits = style.column(decimals=2)
    settings = [Column(path, align="l") for path in one.space]
    rows = [
        Row(
            str(trial.number),
            (
                *(Cell(digits.text(POINTS * value)) for value in trial.values),
                Cell(_remark(trial, best)),
                *(Cell(_value(trial, path)) for path in one.space),
            ),
        )
        for trial in shown
    ]
    where = selecting_images(results.selects_on_report)
    front = f" Front: none of the {len(one.trials)} is better in both." if one.objectives else ""
    kept = ", ".join(map(constraint_text, one.constraints))
    broken = f" To be kept: {kept}." if kept else ""
    left = len(one.trials) - len(shown)
    return Table(
        name="search" + ("_" + slug(one.winner) if several else ""),
        title="Search" + (f" for {one.winner}" if several else ""),
        caption=f"{results.name}: configurations tried, {style.unit}, on {where} and "
        f"{plural(one.seeds, 'seed')}: what selecting saw, hence optimistic.{front}{broken}"
        + (f" Not shown: {plural(left, 'further one')} (in the CSV)." if left else ""),
        corner="trial",
        columns=(
            *(Column(metric_label(metric)) for metric in metrics),
            Column("remark", align="l"),
            *settings,
        ),
        rows=tuple(rows),
        notes=common_notes(results),
        raw=pd.DataFrame([_raw(trial, one, metrics, best) for trial in one.trials]),
    )


def _shown(one: Searched, best: Trial | None) -> list[Trial]:
    """The front, where the search started and the best, in order of the first objective."""
    judged = sorted((t for t in one.trials if t.values), key=lambda t: (-t.values[0], t.number))
    named = [t for t in judged if t.front or t == best or t.number == 0]
    others = [t for t in judged if t not in named][: max(MOST - len(named), 0)]
    return [t for t in judged if t in named or t in others]


def _remark(trial: Trial, best: Trial | None) -> str:
    said = ["winner"] if best is not None and trial.number == best.number else []
    said += ["front"] if trial.front else []
    said += ["breaks a constraint"] if trial.broken else []
    return ", ".join(said)


def _value(trial: Trial, path: str) -> str:
    return setting_text(trial.params[path]) if path in trial.params else DASH


def _raw(trial: Trial, one: Searched, metrics: Sequence[str], best: Trial | None) -> dict[str, object]:
    values = trial.values or (None,) * len(metrics)
    return {
        "trial": trial.number,
        "state": trial.state,
        **dict(zip(metrics, values, strict=True)),
        "remark": _remark(trial, best),
        **{path: choice_text(trial.params[path]) if path in trial.params else "" for path in one.space},
    }
