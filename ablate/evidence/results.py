"""A study's folder as one record: what was asked, what has come out, what is missing.

Judgement, tables, figures and the page read this and nothing else.
:func:`ablate.evidence.gather.gather` puts it together from the study's folder, at any time, also while
runs are going on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.evidence.images import ImageVariance, Place
from ablate.evidence.quoted import QuotedRow
from ablate.evidence.searched import Searched
from ablate.running.manifest import damage
from ablate.study.claims import Claim


@dataclass(frozen=True)
class RunState:
    """One planned run and where it stands."""

    key: str
    variant: str
    seed: int
    category: str | None
    state: str
    """``done``, ``failed``, ``running``, ``waiting``, ``interrupted`` or ``lost``."""
    reason: str = ""
    """Why it failed, or which values are undefined."""
    seconds: float = float("nan")


@dataclass(frozen=True)
class Results:
    """Everything a report is made of."""

    folder: Path
    name: str
    frame: pd.DataFrame
    """Tidy long frame of the reported split: variant, factors, seed, category, stratum, metric, value."""
    split: str
    variants: tuple[str, ...]
    """In the order of the plan."""
    baseline: str
    primary: str
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    factors: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Dotted path to its levels."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per variant: dotted path to resolved value."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per named variant: what it changes."""
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per variant: the levels of the factors it stands for."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Variant to what readers see it called, as the study file writes it; only those with a label."""
    level_labels: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    """Factor to level to what readers see it called; only those with a label."""
    same_as: Mapping[str, str] = field(default_factory=dict)
    """Variants that are another one's configuration under a second name, and that other one."""
    components: Mapping[str, str] = field(default_factory=dict)
    """Label of a check-mark column to the setting behind it; empty: derived from the overrides."""
    alpha: float = 0.05
    """Error level; intervals cover 1 - alpha."""
    margin: float = 0.0
    """Points within which a difference does not matter."""
    venue: str = ""
    """Where the paper goes; empty: no venue's page."""
    claims: tuple[Claim, ...] = ()
    """The declared ones, also those that were taken out of the study file after the runs."""
    exploratory: tuple[Claim, ...] = ()
    """Claims added after the first runs were there: outside the family."""
    withdrawn: tuple[Claim, ...] = ()
    """Those of ``claims`` that the study file no longer has."""
    max_seeds: int | None = None
    """Most seeds, as first declared; None: a fixed number of seeds."""
    first_look: int = 3
    """Fewest seeds at which a claim is judged before the last."""
    looks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Claim -> seed counts at which it was looked at by hand."""
    seal: str = ""
    """Digest of what was declared before the first run; empty: nothing was sealed."""
    runs: tuple[RunState, ...] = ()
    comments: tuple[str, ...] = ()
    """The comment that opens the spec: the question in the author's words."""
    setting: str = "unified"
    dataset: str = ""
    selects_on_report: bool = False
    encoder: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Of one committed run."""
    images: Mapping[Place, ImageVariance | None] = field(default_factory=dict)
    """What the test images carry, as an earlier report noted it; for studies whose ``runs/`` stayed
    behind."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """By run key: its study's folder, where that is not ``folder`` (several studies side by side)."""
    searched: tuple[Searched, ...] = ()
    """Of a search (or of each of its arms): what it tried, and how optimistic selecting made it."""
    quoted: tuple[QuotedRow, ...] = ()
    """Rows from elsewhere: shown, never compared."""
    nan_reasons: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """(variant, metric, category) to why it has no value."""
    origins: tuple[str, ...] = ()
    """Those of ``warnings`` that speak of where the runs come from."""
    warnings: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> Mapping[tuple[str, Any, str], str]:
        """(variant, seed, category) to the key of the finished run that it comes from."""
        cells = self.frame[["variant", "seed", "category", "key"]].drop_duplicates()
        return {(str(v), s, str(c)): str(k) for v, s, c, k in cells.itertuples(index=False, name=None)}

    @property
    def coverage(self) -> str:
        """How the intervals are called: ``95 %``."""
        return f"{100 * (1 - self.alpha):g} %"

    @cached_property
    def measured(self) -> frozenset[str]:
        """Metrics that the frame has."""
        return frozenset(map(str, self.frame["metric"].unique()))

    def reason(self, variant: str, metric: str, category: str | None) -> str:
        """Why a value is missing, as far as the runs say; else empty."""
        if category is not None:
            named = self.nan_reasons.get((variant, metric, category), "")
        else:
            found = {r for (v, m, _), r in self.nan_reasons.items() if (v, m) == (variant, metric)}
            named = "; ".join(sorted(found))
        failed = sorted(
            {
                r.reason
                for r in self.runs
                if r.variant == variant
                and r.state == "failed"
                and (category is None or r.category in (None, category))
            }
        )
        return named or (f"failed: {'; '.join(failed)}" if failed else "")

    def waiting(self, variant: str) -> bool:
        """Whether the variant still has runs to come."""
        return any(r.variant == variant and r.state not in ("done", "failed") for r in self.runs)

    def run_folder(self, key: str) -> Path:
        """Folder of a committed run; if it is damaged, one that is not there."""
        folder = self.folders.get(key, self.folder) / "runs" / key
        return folder if damage(folder, key) is None else folder.with_name(f"damaged {key}")
