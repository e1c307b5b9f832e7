"""Two studies: the variants that both have, the second minus the first, paired by seed."""

from __future__ import annotations

import pandas as pd

from ablate.evidence.across import by_name
from ablate.evidence.results import Results
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Style, ends
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.words import metric_label, p_text, plural, verdict_text

RAW = (
    "variant", "first", "second", "difference_points", "low", "high", "seeds", "p", "p_holm", "verdict",
)  # fmt: skip
"""Columns at full precision; a variant whose runs are the same has no difference."""


def compared_table(first: Results, second: Results, style: Style = USUAL) -> Table:
    """One row per variant that both studies have, on the first one's primary metric.

    Variants whose runs are the same are said to be; Holm over the others. Raises StorageError if the
    studies share no variant or no category.
    """
    compared = by_name(first, second)
    made, names, metric = compared.results, compared.names, first.primary
    found = compared.differences
    means = {v: m.estimate.scaled(POINTS) for v, m in compared.comparison.means.items()}
    digits = style.column(e.sd for e in means.values())
    deltas = style.column(ends(d.estimate for d in found.values()))
    rows, raw = [], []
    for name in names:
        a, b = means[f"{first.name}/{name}"], means[f"{second.name}/{name}"]
        d = found.get(name)
        left = Cell(digits.text(a.mean), digits.spread(a.sd))
        if d is None:
            rows.append(Row(name, (left, left, *(Cell() for _ in range(4)), Cell("the same runs"))))
            raw.append({"variant": name, "first": a.mean, "second": a.mean, "verdict": "the same runs"})
            continue
        rows.append(
            Row(
                name,
                (
                    left,
                    Cell(digits.text(b.mean), digits.spread(b.sd)),
                    Cell(deltas.text(d.estimate.mean, signed=True), deltas.interval(d.estimate)),
                    Cell(str(d.n)),
                    Cell(p_text(d.p)),
                    Cell(p_text(d.p_holm)),
                    Cell(verdict_text(d.verdict)),
                ),
            )
        )
        raw.append(
            {
                "variant": name,
                "first": a.mean,
                "second": b.mean,
                "difference_points": d.estimate.mean,
                "low": d.estimate.low,
                "high": d.estimate.high,
                "seeds": d.n,
                "p": d.p,
                "p_holm": d.p_holm,
                "verdict": d.verdict,
            }
        )
    return Table(
        name="compared",
        title=f"{metric_label(metric)}: {second.name} minus {first.name}",
        caption=f"Paired by seed ({plural(len(made.seeds), 'seed')} known), averaged over "
        f"{plural(len(made.categories), 'category')}; {first.coverage} t-interval for new seeds on these "
        "images. " + " ".join(made.warnings),
        corner="variant",
        columns=(
            Column(first.name),
            Column(second.name),
            Column("Δ [interval]"),
            Column("n"),
            Column("p"),
            Column("p (Holm)"),
            Column("verdict", align="l"),
        ),
        rows=tuple(rows),
        # Counts stay whole numbers beside rows that have none.
        raw=pd.DataFrame(raw, columns=RAW, dtype=object),
    )
