"""From a study's folder to :class:`~ablate.evidence.results.Results`.

Tolerant on purpose: a report is asked for when things went wrong, too. ``runs.csv`` alone gives one;
``plan.json`` adds what is missing, ``spec.yaml`` the baseline and the claims, the journal the reasons
of failures. What could not be read is said in the report, not hidden.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.evidence.derived import derived_plan
from ablate.evidence.kept import read_kept
from ablate.evidence.origins import origin_warnings
from ablate.evidence.quoted import read_quoted
from ablate.evidence.reading import TEXT_COLUMNS, read_frame
from ablate.evidence.results import Results, RunState
from ablate.evidence.searched import searches_of
from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, load_plan
from ablate.running.scores import WHOLE, reporting_split
from ablate.running.seal import Sealed, read_sealed
from ablate.running.status import status
from ablate.study.claims import Claim
from ablate.study.plan import Run
from ablate.study.reading import load_recorded
from ablate.study.row_data import varying_values
from ablate.study.settings import unnest
from ablate.study.spec import StudySpec
from model.config import EncoderConfig, ModelConfig, dump_config
from model.encoders.build import describe
from model.errors import StorageError, UserError
from model.files import read_json
from model.metric_names import METRICS, all_metrics

_DONE = ("done", "reused")


def gather(study_dir: Path) -> Results:
    """Read a study's folder, finished or not.

    Raises :class:`StorageError` if there is nothing to report: no such study, or a damaged runs.csv.
    """
    workspace = Workspace(study_dir)
    warnings: list[str] = []
    plan = _plan(workspace, warnings)
    frame = read_frame(workspace, plan)
    spec = _spec(workspace, warnings)
    if plan is None and spec is not None:
        plan = derived_plan(spec, frame)
    if plan is None and (spec is None or spec.search is None) and not workspace.plan.is_file():
        warnings.append("There is no plan and none can be derived, so missing runs are not known.")
    split = reporting_split(set(frame["split"].unique()))
    frame = frame[frame["split"] == split].reset_index(drop=True)
    layout = _layout(frame, plan)
    if not layout.variants:
        raise StorageError("nothing to report: no plan and no results", where=str(study_dir))
    baseline = spec.baseline if spec else layout.variants[0]
    if baseline not in layout.variants:
        warnings.append(
            f"The baseline {baseline} is no row of this study; {layout.variants[0]} stands in for it."
        )
        baseline = layout.variants[0]
    kept = read_kept(study_dir)
    runs = _runs(workspace, plan, frame, warnings, kept.seconds if kept else {})
    origins = (
        kept.warnings
        if kept
        else tuple(origin_warnings(workspace, (run.key for run in runs if run.state == "done")))
    )
    warnings += origins
    stated = _claims(spec, layout.variants, warnings)
    sealed = _sealed(workspace, warnings)
    # What was declared before the first run is judged, whatever the study file says by now.
    declared = sealed.claims if sealed.first else stated
    configs = {row.variant: run for row, run in _rows_with_runs(plan)}
    return Results(
        folder=study_dir,
        name=spec.study if spec else plan.study if plan else study_dir.name,
        frame=frame,
        split=split,
        variants=layout.variants,
        baseline=baseline,
        primary=_primary(spec, plan, frame),
        categories=layout.categories,
        seeds=layout.seeds,
        factors=_factors(layout.levels),
        settings={
            v: unnest(dump_config(run.config), ModelConfig) | _differing_data(run, configs.values())
            for v, run in configs.items()
        },
        overrides=dict(spec.variants) if spec else {},
        levels=layout.levels,
        labels=spec.labels if spec else {},
        level_labels=spec.level_labels if spec else {},
        same_as=_copies(plan, frame, baseline),
        components=spec.report.components if spec else {},
        alpha=spec.report.alpha if spec else 0.05,
        margin=spec.report.margin if spec else 0.0,
        venue=(spec.report.venue or "") if spec else "",
        claims=declared,
        exploratory=tuple(c for c in stated if c not in declared),
        withdrawn=tuple(c for c in declared if c not in stated) if spec else (),
        max_seeds=sealed.max_seeds,
        first_look=(sealed.first_look or 3) if sealed.max_seeds else 3,
        looks=sealed.looks,
        seal=sealed.first.digest if sealed.first else "",
        runs=runs,
        comments=opening_comment(spec.text) if spec else (),
        setting=spec.data.setting if spec else "",
        dataset=spec.data.dataset if spec else "",
        selects_on_report=_selects_on_report(spec, plan),
        encoder="; ".join(dict.fromkeys(map(describe, _encoders(spec, configs)))),
        provenance=kept.provenance if kept else _provenance(workspace, runs),
        images=kept.image_variances if kept else {},
        searched=searches_of(workspace, spec, frame, layout.variants, baseline),
        quoted=read_quoted(study_dir),
        nan_reasons=kept.nan_reasons if kept else _nan_reasons(workspace, frame),
        origins=origins,
        warnings=tuple(warnings),
    )


def _plan(workspace: Workspace, warnings: list[str]) -> StoredPlan | None:
    try:
        return load_plan(workspace)
    except UserError as error:
        if workspace.frame.is_file():
            if workspace.plan.is_file():
                warnings.append(f"plan.json cannot be used, so missing runs are not known: {error}")
            return None
        raise
    except ValueError as error:  # a configuration of another version
        warnings.append(f"plan.json cannot be used, so missing runs are not known: {error}")
        return None


def _spec(workspace: Workspace, warnings: list[str]) -> StudySpec | None:
    try:
        # Paths to data do not matter to a report, so a variable that is no longer set may be anything.
        names = re.findall(r"\$\{(\w+)\}", workspace.spec.read_text(encoding="utf-8"))
        return load_recorded(workspace.study_dir, env={**dict.fromkeys(names, "unset"), **os.environ})
    except (UserError, OSError, UnicodeDecodeError) as error:
        warnings.append(
            f"spec.yaml cannot be read, so claims are unknown and the first row is the baseline: {error}"
        )
        return None


@dataclass(frozen=True)
class _Layout:
    """What the study should have values of."""

    variants: tuple[str, ...]
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    levels: dict[str, dict[str, Any]]


def _layout(frame: pd.DataFrame, plan: StoredPlan | None) -> _Layout:
    if plan is not None:
        planned = dict.fromkeys(c for run in plan.runs for c in run.categories)
        return _Layout(
            tuple(dict.fromkeys(row.variant for row in plan.rows)),
            tuple(planned),
            tuple(sorted({row.seed for row in plan.rows})),
            {row.variant: dict(row.factors) for row in plan.rows if row.factors},
        )
    known = {*TEXT_COLUMNS, "seed", "value"}
    levels: dict[str, dict[str, Any]] = {}
    for factor in (c for c in frame.columns if c not in known):
        for variant, level in frame.dropna(subset=[factor])[["variant", factor]].drop_duplicates().values:
            levels.setdefault(str(variant), {})[str(factor)] = level
    return _Layout(
        tuple(dict.fromkeys(frame["variant"].unique())),
        tuple(dict.fromkeys(frame["category"].unique())),
        tuple(sorted(set(frame["seed"].unique().tolist()))),
        levels,
    )


def _differing_data(run: Run, runs: Iterable[Run]) -> dict[str, Any]:
    """What a run reads, where runs of the study differ in it."""
    own, others = varying_values(run.data), [varying_values(other.data) for other in runs]
    return {path: value for path, value in own.items() if any(o[path] != value for o in others)}


def _selects_on_report(spec: StudySpec | None, plan: StoredPlan | None) -> bool:
    selected = spec is not None and spec.search is not None and spec.data.selection == "none"
    return selected or (plan is not None and plan.selected_on_reported)


def _encoders(spec: StudySpec | None, configs: Mapping[str, Run]) -> list[EncoderConfig]:
    """Of the runs; of the study's base where they are not known."""
    if not configs and spec is not None:
        return [spec.config({}).encoder]
    return [run.config.encoder for run in configs.values()]


def _factors(levels: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, dict[Any, None]] = {}
    for at in levels.values():
        for factor, level in at.items():
            found.setdefault(factor, {})[level] = None
    return {factor: tuple(values) for factor, values in found.items()}


def _copies(plan: StoredPlan | None, frame: pd.DataFrame, baseline: str) -> dict[str, str]:
    """Variants all of whose runs are another variant's, and that variant."""
    keys: dict[str, list[tuple[Any, ...]]] = {}
    if plan is not None:
        for row in plan.rows:
            keys.setdefault(row.variant, []).append((row.seed, row.category, row.key))
    else:
        for variant, *cell in frame[["variant", "seed", "category", "key"]].drop_duplicates().values:
            keys.setdefault(str(variant), []).append(tuple(cell))
    first: dict[frozenset[Any], str] = {frozenset(keys.get(baseline, ())): baseline}
    found: dict[str, str] = {}
    for variant, theirs in keys.items():
        original = first.setdefault(frozenset(theirs), variant)
        if original != variant:
            found[variant] = original
    return found


def _rows_with_runs(plan: StoredPlan | None) -> Iterable[tuple[Any, Run]]:
    if plan is None:
        return []
    by_key = {run.key: run for run in plan.runs}
    return [(row, by_key[row.key]) for row in plan.rows if row.key in by_key]


def _runs(
    workspace: Workspace,
    plan: StoredPlan | None,
    frame: pd.DataFrame,
    warnings: list[str],
    known_seconds: Mapping[str, float],
) -> tuple[RunState, ...]:
    if plan is None:
        known = frame[["key", "variant", "seed"]].drop_duplicates()
        return tuple(RunState(str(k), str(v), int(s), None, "done") for k, v, s in known.values)
    states: dict[str, Any] = {}
    if workspace.journal.is_file():
        try:
            states = {run.key: run for run in status(workspace.study_dir).runs}
        except UserError as error:
            warnings.append(f"The journal cannot be read, so reasons of failures are unknown: {error}")
    have = set(frame["key"].unique())
    found = []
    for row in plan.rows:
        live = states.get(row.key)
        state = "done" if row.key in have else live.state if live else "waiting"
        seconds = live.seconds if live and live.seconds is not None else None
        found.append(
            RunState(
                key=row.key,
                variant=row.variant,
                seed=row.seed,
                category=row.category,
                state="done" if state in _DONE else state,
                reason=live.reason if live and row.key not in have else "",
                seconds=known_seconds.get(row.key, math.nan) if seconds is None else seconds,
            )
        )
    return tuple(found)


def _primary(spec: StudySpec | None, plan: StoredPlan | None, frame: pd.DataFrame) -> str:
    if spec is not None:
        return spec.report.primary
    if plan is not None:
        return plan.primary
    here = set(frame["metric"].unique())
    return next((m for m in METRICS if m in here), METRICS[0])


def _claims(spec: StudySpec | None, variants: tuple[str, ...], warnings: list[str]) -> tuple[Claim, ...]:
    if spec is None:
        return ()
    known = tuple(c for c in spec.claims if c.left in variants and c.right in variants)
    if len(known) < len(spec.claims):
        warnings.append("Claims about variants that are no rows of this study are left out.")
    return known


def _sealed(workspace: Workspace, warnings: list[str]) -> Sealed:
    try:
        sealed = read_sealed(workspace)
    except StorageError as error:
        warnings.append(f"What was declared before the runs is not known: {error}")
        return Sealed(())
    first = sealed.first
    if first is None:
        return sealed
    for change in sealed.changes:
        changed = [key for key in first.content if change.content.get(key) != first.content[key]]
        if changed:
            warnings.append(
                f"Declared otherwise after the first runs: {', '.join(changed)} (see claims.jsonl)."
            )
    return sealed


def opening_comment(text: str) -> tuple[str, ...]:
    """The comment before the spec's first key, by paragraph; editors' directives left out.

    A paragraph begins behind an empty line and at a label (``Cost: ...``); other lines go on with it.
    """
    found = [""]
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            words = stripped.lstrip("#").strip()
            if re.match(r"yaml-language-server|vim:|-\*-", words):
                continue
            if not words or re.match(r"[A-Z][\w() ]{0,24}:(\s|$)", words):
                found.append("")
            found[-1] = f"{found[-1]} {words}".strip()
        elif stripped and stripped != "---":
            break
    return tuple(paragraph for paragraph in found if paragraph)


def _provenance(workspace: Workspace, runs: Iterable[RunState]) -> Mapping[str, Any]:
    """Of the first committed run that has one."""
    for run in runs:
        if run.state == "done":
            found = read_json(workspace.run_dir(run.key) / "provenance.json")
            if found:
                return found
    return {}


def _nan_reasons(workspace: Workspace, frame: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Why metrics of committed runs have no value, from the runs' metrics.csv."""
    gone = frame[frame["value"].isna() & (frame["stratum"] == WHOLE) & frame["metric"].isin(all_metrics())]
    found: dict[tuple[str, str, str], str] = {}
    for key, rows in gone.groupby("key", sort=False):
        reasons = _reasons(workspace.run_dir(str(key)) / "metrics.csv")
        for variant, category, metric in rows[["variant", "category", "metric"]].drop_duplicates().values:
            reason = reasons.get((str(category), str(metric)), "undefined")
            found[str(variant), str(metric), str(category)] = reason
    return found


def _reasons(path: Path) -> dict[tuple[str, str], str]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        whole = table[(table["stratum"] == WHOLE) & (table["reason"] != "")]
        return {(str(c), str(m)): str(r) for c, m, r in whole[["category", "metric", "reason"]].values}
    except (OSError, ValueError, KeyError):
        return {}
