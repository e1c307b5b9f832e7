"""Several studies as one: their variants side by side, paired by seed.

Variants are called ``study/variant``, and the first study's baseline is everyone's. Rows that are one
configuration (equal keys) stand once, under the first study's name. Nothing is tested that was declared
elsewhere: claims stay with their own studies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.evidence.differences import Difference, difference, holm
from ablate.evidence.images import ImageVariance, Place
from ablate.evidence.judgement import Comparison, Judgement
from ablate.evidence.results import Results
from model.errors import StorageError


def together(studies: Sequence[Results], folder: Path, *, once: bool = True) -> Results:
    """One record of all studies; ``folder``: where its report goes.

    once: leave out variants that are another one's runs.

    Categories are those that all studies have. What makes the numbers hard to compare (other data, splits,
    settings of the evaluation) is said in the warnings.

    Raises
    ------
    StorageError: fewer than two studies, two of one name, or no category in common.
    """
    names = [study.name for study in studies]
    if len(studies) < 2 or len(set(names)) < len(names):
        raise StorageError(f"name two or more different studies, not {', '.join(names)}")
    first = studies[0]
    shared = [c for c in first.categories if all(c in study.categories for study in studies)]
    if not shared:
        raise StorageError(f"{' and '.join(names)} have no category in common")
    frame = pd.concat([_renamed(study, shared) for study in studies], ignore_index=True)
    dropped: tuple[str, ...] = ()
    if once:
        frame, dropped = _once(frame, f"{first.name}/{first.baseline}")
    variants = tuple(dict.fromkeys(frame["variant"]))
    return Results(
        folder=folder,
        name=" + ".join(names),
        frame=frame,
        split=first.split,
        variants=variants,
        baseline=f"{first.name}/{first.baseline}",
        primary=first.primary,
        categories=tuple(shared),
        seeds=tuple(sorted({seed for study in studies for seed in study.seeds})),
        settings=_by_variant(studies, "settings", variants),
        labels={
            f"{study.name}/{variant}": f"{study.name}/{label}"
            for study in studies
            for variant, label in study.labels.items()
        },
        alpha=first.alpha,
        margin=max(study.margin for study in studies),
        # Where one of them looked as seeds arrived, nothing is tested as if nobody had.
        max_seeds=max((study.max_seeds for study in studies if study.max_seeds), default=None),
        first_look=min(study.first_look for study in studies),
        images=_images(studies),
        searched=tuple(one for study in studies for one in study.searched),
        quoted=tuple(row for study in studies for row in study.quoted),
        runs=tuple(
            replace(run, variant=f"{study.name}/{run.variant}")
            for study in studies
            for run in study.runs
            if f"{study.name}/{run.variant}" in variants
        ),
        comments=(f"Studies side by side: {', '.join(names)}.",),
        setting=_agreed(studies, "setting"),
        dataset=_agreed(studies, "dataset"),
        selects_on_report=any(study.selects_on_report for study in studies),
        encoder=_agreed(studies, "encoder"),
        provenance=first.provenance,
        folders={run.key: study.folder for study in studies for run in study.runs},
        nan_reasons={
            (f"{study.name}/{variant}", metric, category): reason
            for study in studies
            for (variant, metric, category), reason in study.nan_reasons.items()
        },
        warnings=(*_warnings(studies, shared), *dropped, *_theirs(studies)),
    )


def _renamed(study: Results, categories: Sequence[str]) -> pd.DataFrame:
    rows = study.frame[study.frame["category"].isin(list(categories))]
    columns = ["variant", "seed", "category", "split", "stratum", "metric", "value", "key"]
    return rows[columns].assign(study=study.name, variant=study.name + "/" + rows["variant"])


def _once(frame: pd.DataFrame, baseline: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Without variants all of whose runs are an earlier variant's, and what is said of them."""
    seen: dict[frozenset[Any], str] = {}
    copies: dict[str, str] = {}
    for variant, part in frame.groupby("variant", sort=False):
        cells = frozenset(
            map(tuple, part[["seed", "category", "key"]].drop_duplicates().to_numpy().tolist())
        )
        original = seen.setdefault(cells, str(variant))
        if original != variant and variant != baseline:
            copies[str(variant)] = original
    said = tuple(f"{copy} is {original}: the same runs, shown once." for copy, original in copies.items())
    return frame[~frame["variant"].isin(list(copies))].reset_index(drop=True), said


def _by_variant(
    studies: Sequence[Results], field: str, variants: Sequence[str]
) -> Mapping[str, Mapping[str, Any]]:
    return {
        f"{study.name}/{variant}": value
        for study in studies
        for variant, value in getattr(study, field).items()
        if f"{study.name}/{variant}" in variants
    }


def _images(studies: Sequence[Results]) -> Mapping[Place, ImageVariance | None]:
    """What the studies' own reports noted of their test images."""
    return {
        (f"{study.name}/{place[0]}", place[1] and f"{study.name}/{place[1]}", *place[2:]): carried
        for study in studies
        for place, carried in study.images.items()
    }


def _agreed(studies: Sequence[Results], field: str) -> str:
    """What all studies say, or all that they say."""
    return "; ".join(dict.fromkeys(str(getattr(study, field)) for study in studies))


def _warnings(studies: Sequence[Results], shared: Sequence[str]) -> list[str]:
    found = []
    for field, what in (
        ("dataset", "datasets"),
        ("setting", "training settings"),
        ("split", "splits"),
        ("primary", "primary metrics"),
    ):
        values = list(dict.fromkeys(str(getattr(study, field)) for study in studies))
        if len(values) > 1:
            found.append(f"The studies have different {what}: {', '.join(values)}.")
    contents = {study.provenance.get("data_contents") for study in studies if study.provenance}
    if len(contents) > 1:
        found.append(
            "The studies read different data: differences between them are not the variants' alone."
        )
    left_out = {c for study in studies for c in study.categories} - set(shared)
    if left_out:
        found.append(f"Categories that not all studies have are left out: {', '.join(sorted(left_out))}.")
    return found


def _theirs(studies: Sequence[Results]) -> list[str]:
    return [f"{study.name}: {warning}" for study in studies for warning in study.warnings]


@dataclass(frozen=True)
class ByName:
    """Two studies' variants of one name, paired by seed on the first one's primary metric."""

    results: Results
    """Both studies as one."""
    comparison: Comparison
    names: tuple[str, ...]
    """Variants that both studies have."""
    differences: Mapping[str, Difference]
    """Name -> the second study's variant minus the first one's, one Holm family; none where both are the
    same runs."""


def by_name(first: Results, second: Results) -> ByName:
    """Compare the variants that two studies both have.

    Raises
    ------
    StorageError: the studies share no variant or no category.
    """
    made = together([first, second], Path(), once=False)
    names = tuple(v for v in first.variants if v in second.variants)
    if not names:
        raise StorageError(
            f"{first.name} and {second.name} have no variant of one name",
            hint="ablate report A B shows all of them side by side",
        )
    judgement = Judgement(made)
    comparison = judgement.comparison(first.primary)
    other = [v for v in names if _keys(first, v, made.categories) != _keys(second, v, made.categories)]
    found = holm(
        judgement.at_its_looks(
            difference(
                comparison.matrix,
                f"{second.name}/{v}",
                f"{first.name}/{v}",
                first.primary,
                alpha=first.alpha,
            )
        )
        for v in other
    )
    return ByName(made, comparison, names, dict(zip(other, found, strict=True)))


def _keys(study: Results, variant: str, categories: Sequence[str]) -> frozenset[tuple[Any, str, str]]:
    return frozenset((s, c, k) for (v, s, c), k in study.keys.items() if v == variant and c in categories)
