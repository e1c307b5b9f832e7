"""A search with arms: what each arm's search is as a study, and what the winners' comparison is.

A searched variant against an unsearched one is no comparison. With ``search: {arms: ...}`` every variant is
an arm: it is searched for by itself, with the same number of trials, over the same space and the knobs that
only it has, and the winners are then compared as any study's variants, on seeds that no search has used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ablate.study.spec import StudySpec


def arm_name(study: str, arm: str) -> str:
    """The study, and results folder, of an arm's search."""
    return f"{study}-{arm}"


def arm_of(spec: StudySpec, arm: str) -> StudySpec:
    """The search of one arm: from its own settings, over the common space and its own knobs."""
    assert spec.search is not None
    search = replace(spec.search, space={**spec.search.space, **spec.search.arms.get(arm, {})}, arms={})
    return replace(
        spec,
        study=arm_name(spec.study, arm),
        base={**spec.base, **spec.variants[arm]},
        variants={},
        seeds=search.seeds,
        claims=(),
        max_seeds=None,
        report=replace(spec.report, baseline=None, components={}),
        search=search,
        invocation=replace(spec.invocation, arm=arm),
    )


def final_of(spec: StudySpec, winners: Mapping[str, Mapping[str, Any]]) -> StudySpec:
    """The comparison of the arms' winners; ``winners``: arm -> what its search found."""
    variants = {arm: {**spec.variants[arm], **found} for arm, found in winners.items()}
    return replace(spec, variants=variants, search=None)
