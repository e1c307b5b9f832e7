"""What ``plan`` says of a search that follows the runs it lists."""

from __future__ import annotations

from ablate.report.words import plural
from ablate.study.arms import arm_of
from ablate.study.spec import StudySpec


def search_lines(spec: StudySpec) -> list[str]:
    """What is searched for and how often, what its winner is held against; a line per arm where it has any.

    None if the study is no search.
    """
    search = spec.search
    if search is None:
        return []
    budget = f"{plural(search.trials, 'trial')} x {plural(len(search.seeds), 'seed')}"
    fresh = plural(len(search.fresh_seeds), "seed")
    if not search.arms:
        knobs = ", ".join(search.space)
        ending = f"winner and baseline on {fresh} that it has not used"
        return [f"then a search: {budget} of {knobs} by {search.sampler}; {ending}"]
    arms = {arm: arm_of(spec, arm).search for arm in spec.variants}
    more = f", up to {spec.max_seeds} seeds while claims are open" if spec.max_seeds and spec.claims else ""
    return [
        f"then a search of each of {len(arms)} arms: {budget} by {search.sampler}",
        *(f"  {arm}: {', '.join(own.space)}" for arm, own in arms.items() if own),
        f"each winner and its arm as it stands here on {fresh} that no search has used; "
        f"then the winners against each other on these{more}",
    ]
