"""Numbers from elsewhere: rows of a paper or another framework's results, shown and never tested.

``quoted.csv`` in the study's folder, one line per value: variant, metric, value (a fraction), category
(empty: the mean over all), seed (empty: none known), source. They were not run here, on these images, with
these seeds, so they take part in no comparison and are never marked as best; tables set them apart and name
the source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.evidence.stats import Estimate, interval
from model.errors import DataError
from model.files import write_text
from model.metric_names import METRICS, metric_of
from model.suggest import suggestion

FILE = "quoted.csv"
COLUMNS = ("variant", "metric", "value", "category", "seed", "source")


@dataclass(frozen=True)
class QuotedRow:
    """One method of one source."""

    variant: str
    source: str
    values: Mapping[tuple[str, str | None], tuple[float, ...]]
    """(metric, category; None: the mean) -> values by seed (fractions), one where no seed is known."""

    def estimate(self, metric: str, category: str | None) -> Estimate:
        """Mean and spread over seeds; n = 0 where nothing is quoted."""
        return interval(self.values.get((metric, category), ()))


def read_quoted(study_dir: Path) -> tuple[QuotedRow, ...]:
    """What was imported into a study; empty if nothing was. Raises DataError if the file is damaged."""
    path = study_dir / FILE
    if not path.is_file():
        return ()
    return _rows(_checked(_table(path), path, 1.0))


def import_quoted(study_dir: Path, path: Path, *, source: str = "", percent: bool = True) -> int:
    """Add a CSV file's values to a study's quoted rows; returns how many. The same place is replaced.

    Parameters
    ----------
    path: columns variant (or method), metric and value, or one column per metric; category, seed and source
        as there are any.
    source: where the values come from, unless a column says.
    percent: whether the file's values are percentages, or fractions.

    Raises
    ------
    DataError: a column, metric or value that cannot be used, with file and line; no source.
    """
    new = _checked(_table(path), path, 100.0 if percent else 1.0, source)
    kept = study_dir / FILE
    old = _checked(_table(kept), kept, 1.0) if kept.is_file() else new.iloc[:0]
    places = ["variant", "metric", "category", "seed", "source"]
    whole = pd.concat([old, new]).drop_duplicates(places, keep="last")
    write_text(kept, whole[list(COLUMNS)].to_csv(index=False))
    return len(new)


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from error
    table.columns = [str(name).strip() for name in table.columns]
    table["line"] = [str(number) for number in range(2, len(table) + 2)]
    return _long(table.rename(columns={"method": "variant"}))


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """One line per value, also of a table with a column per metric."""
    wide = [name for name in table.columns if metric_of(name) in METRICS]
    if "metric" in table.columns or not wide:
        return table
    rest = [name for name in table.columns if name not in wide]
    long = table.melt(id_vars=rest, value_vars=wide, var_name="metric", value_name="value")
    return long[long["value"].str.strip() != ""]


def _checked(table: pd.DataFrame, path: Path, scale: float, source: str = "") -> pd.DataFrame:
    for name in ("variant", "metric", "value"):
        if name not in table.columns:
            raise DataError(
                f"column {name} is missing",
                where=str(path),
                hint="columns: variant, metric, value; or variant and one column per metric",
            )
    for name, usual in (("category", ""), ("seed", ""), ("source", source)):
        found = table[name] if name in table.columns else pd.Series("", index=table.index)
        table[name] = found.where(found.str.strip() != "", usual)
    return pd.DataFrame(
        [_line(row, path, scale) for row in table.to_dict("records")], columns=list(COLUMNS)
    )


def _line(row: Mapping[Any, Any], path: Path, scale: float) -> dict[str, object]:
    where = f"{path}:{row['line']}"
    metric = str(metric_of(row["metric"].strip()))
    if metric not in METRICS:
        raise DataError(
            f"metric {row['metric']!r} is not known", where=where, hint=suggestion(metric, METRICS) or None
        )
    try:
        value = float(row["value"]) / scale
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        unit = "0 to 100" if scale > 1 else "0 to 1"
        raise DataError(
            f"value {row['value']!r} is not {unit}", where=where, hint="see --percent and --fraction"
        )
    if not row["variant"].strip() or not row["source"].strip():
        raise DataError(
            "no variant, or no source", where=where, hint='give --source "Author et al., Tab. 2"'
        )
    return {**{name: row[name].strip() for name in COLUMNS}, "metric": metric, "value": value}


def _rows(table: pd.DataFrame) -> tuple[QuotedRow, ...]:
    found = []
    for (variant, source), part in table.groupby(["variant", "source"], sort=False):
        values = {
            (str(metric), str(category) or None): tuple(map(float, cells["value"]))
            for (metric, category), cells in part.groupby(["metric", "category"], sort=False)
        }
        found.append(QuotedRow(str(variant), str(source), values))
    return tuple(found)
