"""A study that is run until its claims are decided: one more seed at a time, for open claims only.

Round after round, what is there is judged and the plan grows by the next seed of the variants of open
claims. Nothing is remembered between rounds but the runs themselves and the seal, so that a study that was
stopped anywhere comes to the same plan again, with any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.evidence.claim_verdicts import JudgedClaim
from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report.words import claim_text, verdict_text
from ablate.running import supervisor
from ablate.running.conclusion import Result
from ablate.running.folder import Workspace, cache_folder
from ablate.running.frame import refresh_frame
from ablate.running.progress import PlainView, View
from ablate.running.seal import note_look
from ablate.running.session import RunOptions
from ablate.running.status import StudyStatus
from ablate.running.supervisor import print_error
from ablate.study.plan import Plan, Sources, make_plan
from ablate.study.spec import StudySpec


@dataclass(frozen=True)
class Stop:
    """Why a claim gets no further seeds."""

    claim: JudgedClaim
    why: str

    def __str__(self) -> str:
        return f"{claim_text(self.claim.claim)}: {self.why} after {self.claim.difference.n} seeds"


def why_stopped(judged: JudgedClaim, most: int, *, futility: bool = True) -> str | None:
    """Why no further seed is run for a claim; None while it is open."""
    found = judged.sequential
    if judged.there.having("failed", "undefined"):
        return "runs failed or have no value"
    if found is None or judged.there.gaps:
        return None
    if judged.verdict in ("supported", "refuted", "equivalent"):
        return verdict_text(judged.verdict)
    if judged.p_holm <= judged.difference.alpha and judged.verdict == "undecidable":
        return verdict_text("undecidable")
    if found.image_bound:
        return "more images, not more seeds, would decide it"
    if futility and found.futile:
        return f"even luck would not decide it within {most} seeds"
    if judged.difference.n >= most:
        return f"undecided at the declared maximum of {most} seeds"
    return None


def run_until_decided(
    spec: StudySpec,
    results: Path,
    options: RunOptions,
    view: View | None = None,
    *,
    futility: bool = True,
    sources: Sources | None = None,
    compute: Callable[[Plan, View], Result] | None = None,
) -> Result:
    """Run a study of ``seeds: {start, max}``; returns and raises as :func:`supervisor.run_study`.

    Parameters
    ----------
    futility: give up claims that even a run of luck would not decide.
    compute: runs what is missing of a plan; this machine's supervisor if not given.
    """
    assert spec.max_seeds is not None
    cache = cache_folder(options.cache_dir)
    shown = _KeptOpen(view or PlainView(print_error))
    more: dict[int, tuple[str, ...]] = {}
    try:
        while True:
            plan = make_plan(spec, cache_dir=cache, more=more, sources=sources)
            result = (
                compute(plan, shown)
                if compute
                else supervisor.run_study(plan, results, options, view=shown)
            )
            left = len(result.state.runs) - result.state.finished - len(result.state.failed)
            if result.stopped or left:
                return result
            refresh_frame(results / spec.study)
            claims = [j for j in Judgement(gather(results / spec.study)).claims if not j.exploratory]
            seen = {str(j.claim): (j.difference.n, j.verdict) for j in claims}
            note_look(Workspace(results / spec.study), seen)
            whys = {j.claim: why_stopped(j, spec.max_seeds, futility=futility) for j in claims}
            wanted = _variants([j for j in claims if whys[j.claim] is None], spec)
            seed = len(spec.seeds) + len(more)
            if not wanted or seed >= spec.max_seeds:
                stops = [Stop(j, whys[j.claim] or "still open") for j in claims]
                return replace(result, lines=(*result.lines, *map(str, stops)))
            shown.say(f"seed {seed}: {', '.join(wanted)}")
            more[seed] = wanted
    finally:
        shown.view.close()


def _variants(claims: Sequence[JudgedClaim], spec: StudySpec) -> tuple[str, ...]:
    """Both sides of these claims, in the study's order."""
    sides = {side for j in claims for side in (j.claim.left, j.claim.right)}
    return tuple(row.variant for row in spec.rows() if row.variant in sides)


@dataclass(frozen=True)
class _KeptOpen:
    """A view that outlives the rounds it shows."""

    view: View

    def update(self, state: StudyStatus) -> None:
        self.view.update(state)

    def say(self, line: str) -> None:
        self.view.say(line)

    def close(self) -> None:
        """Not yet."""
