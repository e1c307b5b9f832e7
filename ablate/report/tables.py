"""The study as tables, one :class:`~ablate.report.rendering.Table` per question.

Bold means something: the best of a column *and every variant that cannot be told from it* (the
t-interval of the paired difference, adjusted for the number of variants, includes 0). Where that is
every variant, nothing is bold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ablate.evidence.results import (
    METRICS,
    TABLE_METRICS,
    Results,
    metric_label,
    stratum_group,
    stratum_label,
)
from ablate.evidence.stats import (
    POINTS,
    SIGN_FLIP_FROM,
    Difference,
    Estimate,
    Judged,
    against_baseline,
    best_group,
    cell_matrix,
    difference,
    judge,
    of_variant,
    seed_means,
    smallest_sign_flip_p,
    summarise,
)
from ablate.report.rendering import CHECK, DASH, MINUS, Cell, Column, Row, Table

TRANSPOSE_FROM = 7
"""From this many categories on, the per-category table has one row per category."""
MAX_COMPONENTS = 6
"""More component columns than this tell a reader less than the spec does."""


# ---------------------------------------------------------------------------------- numbers as text


def fixed(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """A number with a real minus sign; a dash for NaN; never a negative zero."""
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def spread_text(sd: float) -> str:
    """``± 0.3`` in points; a second decimal where one would print a spread of zero."""
    if not math.isfinite(sd):
        return ""
    return f"± {fixed(sd, 2 if 0 < sd < 0.05 else 1)}"


def interval_text(estimate: Estimate, decimals: int = 1) -> str:
    """``[−0.3, 2.7]``, or nothing where there is no interval.

    An end that would print as 0.0 gets a second decimal: on which side of 0 it lies is the point.
    """
    if not math.isfinite(estimate.low):
        return ""
    ends = [
        fixed(end, decimals + (end != 0 and float(f"{abs(end):.{decimals}f}") == 0))
        for end in (estimate.low, estimate.high)
    ]
    return f"[{ends[0]}, {ends[1]}]"


def p_text(p: float) -> str:
    """A p-value: three decimals, ``< 0.001`` below."""
    if not math.isfinite(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count_text(counts: Sequence[int]) -> str:
    """``5`` or ``3–5``."""
    low, high = min(counts, default=0), max(counts, default=0)
    return str(low) if low == high else f"{low}{DASH}{high}"


def plural(n: int, word: str) -> str:
    """``1 seed``, ``2 seeds``, ``2 categories``."""
    many = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{n} {word if n == 1 else many}"


# ---------------------------------------------------------------------------------- notes below tables


SELECTION_WARNING = (
    "Warning: this study selected on what it reports (data.selection: none), so its numbers are optimistic."
)


def bold_note(results: Results) -> str:
    """What bold and underlined mean."""
    return (
        "Bold: best mean, and every variant that cannot be told from it (the paired difference's "
        f"t-interval includes 0, {results.coverage} for all variants together, or there are too few pairs "
        "for one); no bold in a column where that is every variant. Underlined: best of the rest."
    )


def common_notes(results: Results) -> tuple[str, ...]:
    """What must stand under every table: split, selection, encoder."""
    notes = [f"Split: {results.split}."]
    if results.selects_on_report:
        notes.append(SELECTION_WARNING)
    if results.encoder:
        notes.append(f"Encoder: {results.encoder}.")
    if note := encoder_note(results.encoder):
        notes.append(note)
    return tuple(notes)


def encoder_note(encoder: str) -> str:
    """A plain line if the encoder is not of the class Dinomaly was published with; else empty."""
    if not encoder or (re.search(r"dinov[23]", encoder) and "RANDOM" not in encoder):
        return ""
    return (
        "This is not a DINOv2-class encoder: the differences compare the variants with each other, the "
        "levels are not comparable with published Dinomaly results."
    )


class _Notes:
    """Collects the letters under a table: the same text keeps its letter."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return _letter(self.texts.index(text))

    def lines(self) -> tuple[str, ...]:
        return tuple(f"({_letter(i)}) {text}." for i, text in enumerate(self.texts))


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index - 25}"


# ---------------------------------------------------------------------------------- components


def components(results: Results) -> list[tuple[str, dict[str, bool | str]]]:
    """Component columns: header and, per variant, a check mark or the setting's value.

    Derived from what the named variants override: a setting with two values gets check marks at the
    value that the baseline does *not* have (the header names it), a setting with more shows its value.
    Nothing is derived where no setting is shared by two variants: the variant's name says as much.
    Columns that the spec names (``report.components``) are shown as named, checked where the setting
    is not the baseline's.
    """
    variants = [v for v in results.variants if v in results.settings]
    if results.components:
        off_values = results.settings.get(results.baseline, {})
        return [
            (label, {v: results.settings[v].get(path) != off_values.get(path) for v in variants})
            for label, path in results.components.items()
        ]
    found: list[tuple[str, dict[str, bool | str]]] = []
    shared = False
    base = results.settings.get(results.baseline, {})
    for path in dict.fromkeys(p for v in variants for p in results.overrides.get(v, {})):
        values = {v: _value_text(results.settings[v].get(path)) for v in variants}
        off = _value_text(base.get(path))
        distinct = set(values.values())
        if len(distinct) < 2:
            continue
        short = path if path.count(".") == 0 else path.split(".", 1)[1]
        if len(distinct) == 2 and off in distinct:
            on = next(iter(distinct - {off}))
            found.append((f"{short} = {on}", {v: values[v] == on for v in variants}))
        else:
            found.append((path, dict(values)))
        shared = shared or max(sum(x == y for x in values.values()) for y in distinct - {off}) > 1
    return found if shared and 2 <= len(found) <= MAX_COMPONENTS else []


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping) and "to" in value:
        return f"{value.get('from')}→{value.get('to')}"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _component_cells(found: list[tuple[str, dict[str, bool | str]]], variant: str) -> list[Cell]:
    marks = [values.get(variant, "") for _, values in found]
    return [Cell(m if isinstance(m, str) else CHECK if m else "") for m in marks]


# ---------------------------------------------------------------------------------- marking the best


def _mark_best(
    texts: Mapping[str, str], values: Mapping[str, float], group: set[str]
) -> dict[str, tuple[bool, bool]]:
    """(bold, underline) per variant; what prints alike is marked alike."""
    bold_texts = {texts[v] for v in group}
    bold = {v for v in texts if texts[v] in bold_texts}
    rest = {v: values[v] for v in texts if v not in bold and math.isfinite(values[v])}
    second: set[str] = set()
    if group and len(rest) >= 2:
        runner_up = max(rest, key=lambda v: rest[v])
        second = {v for v in rest if texts[v] == texts[runner_up]}
    everybody = len([v for v in texts if math.isfinite(values[v])])
    if len(bold) == everybody:
        bold = set()
    return {v: (v in bold, v in second) for v in texts}


def _estimate(results: Results, part: pd.DataFrame, category: str | None) -> Estimate:
    chosen = part if category is None else part.reindex(columns=[category])
    return summarise(chosen, results.alpha).scaled(POINTS)


def _missing_note(
    results: Results, variant: str, part: pd.DataFrame, metric: str, category: str | None
) -> str:
    """Why a cell is empty or averages less than its neighbours; empty if it is complete."""
    if category is not None:
        part = part.reindex(columns=[category])
    means = seed_means(part)
    if not means.values:
        reason = results.reason(variant, metric, category)
        return reason or ("not run yet" if results.waiting(variant) else "no value")
    expected = 1 if category is not None else len(cell_matrix(results.frame, metric).columns)
    notes = []
    if len(means.categories) < expected:
        notes.append(f"mean over {len(means.categories)} of {plural(expected, 'category')}")
    lacking = len(results.seeds) - len(means.values)
    if lacking > 0:
        notes.append(f"{len(means.values)} of {plural(len(results.seeds), 'seed')}")
    return ", ".join(notes)


# ---------------------------------------------------------------------------------- the tables


def main_table(results: Results) -> Table:
    """One row per variant, the seven metrics in the papers' order, percent, mean ± sd over seeds."""
    metrics = [m for m in TABLE_METRICS if m in set(results.frame["metric"])]
    found = components(results)
    notes = _Notes()
    rows: dict[str, list[Cell]] = {v: _component_cells(found, v) for v in results.variants}
    columns = [Column(name, "components", "c") for name, _ in found]
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    for metric in metrics:
        columns.append(Column(metric_label(metric), METRICS[metric].level))
        cells = cell_matrix(results.frame, metric)
        parts = {v: of_variant(cells, v) for v in results.variants}
        estimates = {v: _estimate(results, parts[v], None) for v in results.variants}
        texts = {v: fixed(e.mean) for v, e in estimates.items()}
        marks = _mark_best(
            texts,
            {v: e.mean for v, e in estimates.items()},
            best_group(cells, results.variants, alpha=results.alpha),
        )
        for v in results.variants:
            e = estimates[v]
            bold, underline = marks[v]
            note = notes.mark(_missing_note(results, v, parts[v], metric, None))
            rows[v].append(Cell(texts[v], spread_text(e.sd), "", bold, underline, note))
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "metric": metric, **_raw(e)})
    delta = {d.variant: d for d in _against(results, results.primary)}
    columns.append(Column(f"Δ {metric_label(results.primary)}", "", "r", small=True))
    for v in results.variants:
        text = fixed(delta[v].estimate.mean, signed=True) if v in delta else ""
        rows[v].append(Cell(text))
    spread = (
        "one seed, so no spread and nothing marked"
        if max(seeds, default=0) < 2
        else f"mean ± sample standard deviation over {count_text(seeds)} seeds"
    )
    return Table(
        name="main",
        title="Results",
        caption=f"{results.name}: percent, {spread}; {_averaged(results)}"
        + (f" {bold_note(results)}" if max(seeds, default=0) >= 2 else "")
        + " Δ: paired difference to the baseline (grey), points.",
        corner="variant",
        columns=tuple(columns),
        rows=tuple(Row(v, tuple(rows[v]), v == results.baseline) for v in results.variants),
        notes=(*notes.lines(), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


def summary_table(results: Results) -> Table:
    """The few columns that fit a terminal: primary metric, difference and verdict, three others."""
    others = [m for m in ("image_auroc", "pixel_ap", "aupro") if m != results.primary]
    shown = [results.primary, *(m for m in others if m in set(results.frame["metric"]))]
    delta = {d.variant: d for d in _against(results, results.primary)}
    cells = {m: cell_matrix(results.frame, m) for m in shown}
    rows = []
    for v in results.variants:
        estimates = [_estimate(results, of_variant(cells[m], v), None) for m in shown]
        d = delta.get(v)
        found = Cell(fixed(d.estimate.mean, signed=True), interval_text(d.estimate)) if d else Cell()
        verdict = Cell("baseline" if d is None else VERDICT_TEXT[d.verdict])
        first = Cell(fixed(estimates[0].mean), spread_text(estimates[0].sd))
        rows.append(
            Row(v, (first, found, verdict, *(Cell(fixed(e.mean)) for e in estimates[1:])), d is None)
        )
    return Table(
        name="summary",
        title=f"{results.name}: {plural(len(results.seeds), 'seed')}",
        caption="",
        corner="variant",
        columns=(
            Column(metric_label(shown[0])),
            Column("Δ [interval]"),
            Column("verdict", align="l"),
            *(Column(metric_label(m)) for m in shown[1:]),
        ),
        rows=tuple(rows),
    )


def _averaged(results: Results) -> str:
    if len(results.categories) < 2:
        return f"category {results.categories[0]}." if results.categories else ""
    return f"categories ({len(results.categories)}) averaged within the seed first."


def _raw(e: Estimate) -> dict[str, Any]:
    return {"mean": e.mean, "sd": e.sd, "seeds": e.n, "low": e.low, "high": e.high, "unit": "percent"}


def _against(results: Results, metric: str, category: str | None = None) -> list[Difference]:
    return against_baseline(
        results.frame,
        results.variants,
        results.baseline,
        metric,
        category=category,
        alpha=results.alpha,
        same_as=results.same_as,
    )


def category_table(results: Results, metric: str | None = None) -> Table:
    """One metric by category, mean last, small delta to the baseline.

    Variants are rows; from seven categories on they are columns, as a page is taller than wide.
    """
    metric = metric or results.primary
    cells = cell_matrix(results.frame, metric)
    places: list[str | None] = [*results.categories, None]
    notes = _Notes()
    grid: dict[tuple[str, str | None], Cell] = {}
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    for place in places:
        parts = {v: of_variant(cells, v) for v in results.variants}
        estimates = {v: _estimate(results, parts[v], place) for v in results.variants}
        texts = {v: fixed(e.mean) for v, e in estimates.items()}
        group = best_group(cells, results.variants, place, alpha=results.alpha)
        marks = _mark_best(texts, {v: e.mean for v, e in estimates.items()}, group)
        for v in results.variants:
            e = estimates[v]
            d = difference(cells, v, results.baseline, metric, place, alpha=results.alpha)
            delta = fixed(d.estimate.mean, signed=True) if v != results.baseline and d.n else ""
            note = notes.mark(_missing_note(results, v, parts[v], metric, place))
            grid[v, place] = Cell(texts[v], spread_text(e.sd), delta, *marks[v], note)
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "category": place or "mean", "metric": metric, **_raw(e)})
    multi = max(seeds, default=0) >= 2
    caption = (
        f"{results.name}: {metric_label(metric)} by category, percent"
        + (f", mean ± sd over {count_text(seeds)} seeds. " if multi else ", one seed. ")
        + "Small: difference to the baseline (grey), points."
        + (f" {bold_note(results)}" if multi else "")
    )
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    if len(results.categories) < TRANSPOSE_FROM:
        columns = tuple(Column(p or "mean") for p in places)
        rows = tuple(
            Row(v, tuple(grid[v, p] for p in places), v == results.baseline) for v in results.variants
        )
    else:
        columns = tuple(Column(v, baseline=v == results.baseline) for v in results.variants)
        rows = tuple(
            Row(p or "mean", tuple(grid[v, p] for v in results.variants), rule=p is None) for p in places
        )
    return Table(
        name="per_category",
        title=f"{metric_label(metric)} by category",
        caption=caption,
        corner="variant" if len(results.categories) < TRANSPOSE_FROM else "category",
        columns=columns,
        rows=rows,
        notes=(*notes.lines(), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


VERDICT_TEXT = {
    "better": "better",
    "worse": "worse",
    "undecided": "undecided",
    "equal": "identical",
    "missing": DASH,
}


def _difference_cells(d: Difference) -> tuple[Cell, ...]:
    """Columns shared by the differences' and the claims' table."""
    needed = d.seeds_needed
    return (
        Cell(fixed(d.estimate.mean, signed=True), interval_text(d.estimate)),
        Cell(str(d.n)),
        Cell(p_text(d.p)),
        Cell(p_text(d.p_holm)),
        Cell(p_text(d.p_sign_flip)),
        Cell(
            DASH
            if math.isnan(d.error_reduction)
            else f"{fixed(POINTS * d.error_reduction, 0, signed=True)} %"
        ),
        Cell(
            DASH if math.isnan(d.win_rate) else f"{POINTS * d.win_rate:.0f} %",
            f"of {d.pairs}" if d.pairs else "",
        ),
        Cell(fixed(d.detectable)),
        Cell("" if d.verdict != "undecided" else DASH if needed is None else str(needed)),
    )


_DIFFERENCE_COLUMNS = (
    Column("Δ [interval]"),
    Column("n"),
    Column("p"),
    Column("p (Holm)"),
    Column("p (sign flip)"),
    Column("error reduction"),
    Column("wins"),
    Column("detectable"),
    Column("seeds needed"),
    Column("verdict", align="l"),
)


def _sign_flip_note(found: Sequence[Difference]) -> tuple[str, ...]:
    few = sorted({d.n for d in found if 2 <= d.n < SIGN_FLIP_FROM})
    if not few:
        return ()
    smallest = ", ".join(f"{smallest_sign_flip_p(n):.3g} at {plural(n, 'seed')}" for n in few)
    return (f"The sign-flip permutation test is left out: its smallest two-sided p is {smallest}.",)


def _identical_note(found: Sequence[Difference]) -> tuple[str, ...]:
    names = dict.fromkeys(d.variant for d in found if d.identical)
    if not names:
        return ()
    return (
        f"{', '.join(names)}: the difference is the same in every seed, so there is no spread to test it "
        "against.",
    )


def _copy_note(results: Results) -> tuple[str, ...]:
    """Rows that are one configuration."""
    pairs = [f"{copy} is {original}" for copy, original in results.same_as.items()]
    return (f"Same configuration, hence the same runs: {'; '.join(pairs)}.",) if pairs else ()


def _family(found: Sequence[Difference]) -> int:
    """Comparisons in the Holm family: second names of a configuration do not count."""
    return max((d.family for d in found), default=0)


def _raw_difference(d: Difference) -> dict[str, Any]:
    return {
        "variant": d.variant,
        "baseline": d.baseline,
        "metric": d.metric,
        "category": d.category or "mean",
        "difference_points": d.estimate.mean,
        "sd": d.estimate.sd,
        "low": d.estimate.low,
        "high": d.estimate.high,
        "seeds": d.n,
        "p": d.p,
        "p_holm": d.p_holm,
        "p_sign_flip": d.p_sign_flip,
        "smallest_sign_flip_p": d.smallest_sign_flip_p,
        "family": d.family,
        "error_reduction": d.error_reduction,
        "win_rate": d.win_rate,
        "pairs": d.pairs,
        "detectable_points": d.detectable,
        "seeds_needed": d.seeds_needed,
        "verdict": d.verdict,
        "per_seed_points": " ".join(f"{v:.4f}" for v in d.per_seed),
    }


_TEST_CAPTION = (
    "Paired by seed and category, averaged over categories, {coverage} t-interval over seeds. "
    "Not adjusted: intervals, p and p (sign flip). "
    "Detectable: smallest true difference found with 80 % power at this n and spread. "
    "Seeds needed: for 80 % power if the truth is what was observed (both at Holm's first level). "
    "Error reduction: share of 1 − value removed. Wins: share of seed × category pairs."
)


def difference_table(results: Results) -> Table:
    """Every variant against the baseline on the primary metric, with everything a referee asks."""
    found = _against(results, results.primary)
    rows = [Row(d.variant, (*_difference_cells(d), Cell(VERDICT_TEXT[d.verdict]))) for d in found]
    return Table(
        name="differences",
        title=f"{metric_label(results.primary)} against {results.baseline}",
        caption=f"{results.name}: difference to {results.baseline} in {metric_label(results.primary)}, "
        f"points. {_TEST_CAPTION.format(coverage=results.coverage)} "
        f"Holm over {plural(_family(found), 'comparison')}.",
        corner="variant",
        columns=_DIFFERENCE_COLUMNS,
        rows=tuple(rows),
        notes=(
            *_sign_flip_note(found),
            *_identical_note([d for d in found if d.variant not in results.same_as]),
            *_copy_note(results),
            *common_notes(results),
        ),
        raw=pd.DataFrame([_raw_difference(d) for d in found]),
    )


def all_differences_table(results: Results) -> Table:
    """Every variant against the baseline on every metric: difference and interval, no tests.

    Exploratory: only the primary metric is tested; a filled-in grid of p-values would invite fishing.
    """
    metrics = [m for m in METRICS if m in set(results.frame["metric"])]
    by_metric = {m: {d.variant: d for d in _against(results, m)} for m in metrics}
    others = [v for v in results.variants if v != results.baseline]
    rows = [
        Row(
            v,
            tuple(
                Cell(
                    fixed(by_metric[m][v].estimate.mean, signed=True),
                    interval_text(by_metric[m][v].estimate),
                    bold=by_metric[m][v].apart,
                )
                for m in metrics
            ),
        )
        for v in others
    ]
    return Table(
        name="differences_all_metrics",
        title=f"All metrics against {results.baseline}",
        caption=f"{results.name}: paired difference to {results.baseline}, points, with {results.coverage} "
        "t-interval over seeds. Bold: the interval excludes 0 (not adjusted for the number of comparisons; "
        f"tests are made on {metric_label(results.primary)} alone).",
        corner="variant",
        columns=tuple(Column(metric_label(m), METRICS[m].level) for m in metrics),
        rows=tuple(rows),
        notes=common_notes(results),
        raw=pd.DataFrame([_raw_difference(by_metric[m][v]) for v in others for m in metrics]),
    )


def claims_table(results: Results) -> Table | None:
    """The claims stated before the runs and what became of them; None without claims."""
    judged = judge(results.frame, results.claims, results.alpha)
    if not judged:
        return None
    found = [j.difference for j in judged]
    return Table(
        name="claims",
        title="Claims",
        caption=f"{results.name}: the claims of the study file, points. "
        f"{_TEST_CAPTION.format(coverage=results.coverage)} "
        f"Holm over {plural(len(judged), 'claim')}.",
        corner="claim",
        columns=_DIFFERENCE_COLUMNS,
        rows=tuple(
            Row(
                _claim_text(j),
                (*_difference_cells(j.difference), Cell(DASH if j.verdict == "missing" else j.verdict)),
            )
            for j in judged
        ),
        notes=(*_sign_flip_note(found), *_identical_note(found), *common_notes(results)),
        raw=pd.DataFrame(
            [{"claim": str(j.claim), **_raw_difference(j.difference), "verdict": j.verdict} for j in judged]
        ),
    )


def _claim_text(j: Judged) -> str:
    place = f" on {j.claim.category}" if j.claim.category else ""
    return f"{j.claim.left} {j.claim.direction} {j.claim.right}{place} by {metric_label(j.claim.metric)}"


def strata_table(results: Results, metric: str, scale: float = POINTS, decimals: int = 1) -> Table | None:
    """One metric by stratum of the defects; None if it was not measured by stratum.

    ``scale`` and ``decimals``: how the values print (token distances are not percent).
    """
    frame = results.frame[results.frame["metric"] == metric]
    strata = [s for s in dict.fromkeys(frame["stratum"]) if s != "all"]
    if not strata:
        return None
    rows: dict[str, list[Cell]] = {v: [] for v in results.variants}
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    notes = _Notes()
    for stratum in ["all", *strata]:
        cells = cell_matrix(results.frame, metric, stratum=stratum)
        values = {v: summarise(of_variant(cells, v), results.alpha).scaled(scale) for v in results.variants}
        texts = {v: fixed(e.mean, decimals) for v, e in values.items()}
        marks = _mark_best(
            texts,
            {v: e.mean for v, e in values.items()},
            best_group(cells, results.variants, alpha=results.alpha),
        )
        for v, e in values.items():
            d = difference(cells, v, results.baseline, metric).estimate.scaled(scale / POINTS)
            delta = fixed(d.mean, decimals, signed=True) if v != results.baseline and d.n else ""
            sd = f"± {fixed(e.sd, decimals)}" if math.isfinite(e.sd) else ""
            note = "" if e.n else notes.mark("no defect of this stratum, or not run yet")
            rows[v].append(Cell(texts[v], sd, delta, *marks[v], note))
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "stratum": stratum, "metric": metric, **_raw(e), "scale": scale})
    unit = "percent" if scale == POINTS else "1 − cosine"
    multi = max(seeds, default=0) >= 2
    return Table(
        name=f"strata_{metric}",
        title=f"{metric_label(metric)} by stratum",
        caption=f"{results.name}: {metric_label(metric)} by stratum of the defects, {unit}"
        + (f", mean ± sd over {count_text(seeds)} seeds. " if multi else ", one seed. ")
        + "Small: difference to the baseline (grey)."
        + (f" {bold_note(results)}" if multi else ""),
        corner="variant",
        columns=tuple(Column(stratum_label(s), stratum_group(s)) for s in ["all", *strata]),
        rows=tuple(Row(v, tuple(rows[v]), v == results.baseline) for v in results.variants),
        notes=(*notes.lines(), *_stratum_sizes(results, strata), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


def _stratum_sizes(results: Results, strata: Sequence[str]) -> tuple[str, ...]:
    """How many defects each stratum holds: what its row rests on."""
    rows = results.frame[results.frame["metric"] == "defects"]
    if rows.empty:
        return ()
    counts = rows.groupby(["stratum", "category"])["value"].max().groupby("stratum").sum()
    sizes = [f"{stratum_label(s)} {counts[s]:.0f}" for s in strata if s in counts]
    return (f"Defects: {', '.join(sizes)}.",)


def all_tables(results: Results) -> list[Table]:
    """Every table that the study's results allow, in reading order."""
    tables = [main_table(results), claims_table(results)]
    if len(results.variants) > 1:
        tables += [difference_table(results), all_differences_table(results)]
    if results.categories:
        tables.append(category_table(results))
    for metric in dict.fromkeys((results.primary, "image_auroc", "pixel_ap")):
        tables.append(strata_table(results, metric))
    tables.append(strata_table(results, "token_distance_gap", scale=1.0, decimals=3))
    return [t for t in tables if t is not None and t.rows]
