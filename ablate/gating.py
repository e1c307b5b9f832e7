"""Is a changed configuration better than the incumbent, by the study's own rules?

The change becomes a study of two rows with one claim, *candidate > incumbent by the primary metric*, judged
with the study's seeds and margin at this change's share of the campaign's error budget
(:mod:`ablate.running.campaign`). Its runs are ordinary runs: what is there already is reused, and a
configuration that was judged once is never judged again. An accepted change is the next incumbent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.evidence.judgement import JudgedClaim, Judgement
from ablate.report.ending import to_decide
from ablate.running.campaign import Campaign, Gate, Outcome
from ablate.running.folder import Workspace
from ablate.running.manifest import cached
from ablate.running.supervisor import Result
from ablate.study.changing import Change, gated_study
from ablate.study.plan import Plan, Sources, make_plan
from ablate.study.spec import StudySpec
from model.errors import ConfigError

CANDIDATE, INCUMBENT = "candidate", "incumbent"


@dataclass(frozen=True)
class Gated:
    """How a change fared."""

    gate: Gate
    outcome: Outcome | None
    """None if its runs were stopped, or some failed: gate it again to go on."""
    again: bool
    """Whether it had been judged before: nothing was computed, nothing spent."""
    spent: float
    """Of the campaign's error budget, so far."""
    budget: float
    exit_code: int
    """0: accepted; 1: not; otherwise that of the runs."""


def run_gate(
    spec: StudySpec,
    change: Change,
    results: Path,
    *,
    cache: Path,
    start: Callable[[StudySpec], Result],
    judge: Callable[[Path], Judgement],
    sources: Sources | None = None,
) -> Gated:
    """Judge a change against the incumbent: the baseline of ``spec``, or what was accepted since.

    Parameters
    ----------
    results: results root; the campaign is the study's.
    start: runs a study and waits for it.
    judge: says what may be said of a study's folder.

    Raises
    ------
    ConfigError: a search; or the change is the incumbent's configuration.
    StorageError: the campaign's ledger was altered.
    """
    if spec.search is not None:
        raise ConfigError("a search has no incumbent to gate against", where=str(spec.path))
    campaign = Campaign(results, spec.study)
    base = next(row.overrides for row in spec.rows() if row.variant == spec.baseline)
    incumbent = campaign.incumbent() or base
    candidate = {**incumbent, **change.overrides}

    def planned(name: str, alpha: float) -> Plan:
        study = gated_study(spec, name, {INCUMBENT: incumbent, CANDIDATE: candidate}, alpha, change.name)
        return make_plan(study, cache_dir=cache, sources=sources)

    keys = _keys(planned(spec.study, spec.report.alpha))
    if keys[CANDIDATE] == keys[INCUMBENT]:
        raise ConfigError(
            "the change is the incumbent's configuration: there is nothing to judge", where=change.where
        )
    gate, outcome = campaign.begin(change.name, spec.study, keys[CANDIDATE], candidate, spec.report.alpha)
    again = outcome is not None
    exit_code = 0
    if outcome is None:
        plan = planned(gate.study, gate.alpha)
        place = Workspace(results / gate.study)
        there = {run.key for run in plan.runs if cached(place, run.key)}
        result = start(plan.spec)
        exit_code = result.exit_code
        left = len(result.state.runs) - result.state.finished
        if exit_code == 0 and not left:
            judgement = judge(results / gate.study)
            outcome = _outcome(judgement, result, there)
            campaign.close(gate, outcome)
    if outcome is not None:
        exit_code = 0 if outcome.accepted else 1
    return Gated(gate, outcome, again, campaign.spent(), spec.report.alpha, exit_code)


def _keys(plan: Plan) -> dict[str, list[str]]:
    """Of both rows' runs."""
    found: Mapping[str, list[str]] = {CANDIDATE: [], INCUMBENT: []}
    for row in plan.rows:
        found[row.variant].append(row.key)
    return dict(found)


def _outcome(judgement: Judgement, result: Result, there: set[str]) -> Outcome:
    (judged,) = judgement.claims
    reused = [run for run in result.state.runs if run.state == "reused" or run.key in there]
    computed = [run for run in result.state.runs if run not in reused]
    return Outcome(
        verdict=judged.verdict,
        accepted=judged.verdict == "supported",
        difference=judged.difference.estimate.mean,
        low=judged.low,
        high=judged.high,
        seeds=judged.difference.n,
        looks=_looks(judged),
        reused=len(reused),
        computed=len(computed),
        seconds=math.fsum(run.seconds or 0.0 for run in computed),
        to_decide=to_decide(judged, judgement.results),
    )


def _looks(judged: JudgedClaim) -> int:
    """How often the claim was looked at before its verdict; a fixed number of seeds is one look."""
    return 1 if judged.sequential is None else len(judged.sequential.looks)
