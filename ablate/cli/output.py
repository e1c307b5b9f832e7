"""What commands print with ``--json``: one record each, of which ``docs/json.md`` is made.

Keys may be added, never renamed or taken away. What is not known is null; times are seconds, sizes bytes,
differences points (percent), other metrics fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict

from ablate.cli.doctor import Finding
from ablate.running.status import StudyStatus
from ablate.study.plan import PlanLine
from model.data.counts import Count, StratumCount
from model.data.problems import Problem

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Record:
    """What all outputs share."""

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Planned(Record):
    """What a study would run."""

    study: str
    runs: int
    """Distinct runs."""
    duplicates: int
    """Cells that another cell's run fills."""
    seconds: float | None
    """Of all new runs, one after another; null until a similar one has run here."""
    means: Mapping[str, tuple[str, ...]]
    """Mean of a scheduled knob over training, in words -> the variants that have it."""
    warnings: tuple[str, ...]
    """Settings that change nothing, each with its line."""
    cells: tuple[PlanLine, ...]
    """Variant, factors, seed, category, key, state (new, cached, duplicate), seconds, and why it is new."""


@dataclass(frozen=True)
class ShownRow(Record):
    """One row of a study, resolved."""

    variant: str
    label: str
    """What readers see it called."""
    changes: Mapping[str, tuple[Any, Any]]
    """Dotted path -> [the baseline's value, its own]; of the baseline: [the default, its own]."""


@dataclass(frozen=True)
class Shown(Record):
    """What a study resolves to."""

    study: str
    dataset: str
    setting: str
    preset: str | None
    seeds: tuple[int, ...]
    primary: str
    baseline: str
    claims: tuple[str, ...]
    warnings: tuple[str, ...]
    """Settings that change nothing, each with its line."""
    rows: tuple[ShownRow, ...]
    """The baseline first."""


@dataclass(frozen=True)
class Listed(Record):
    """One study of a results folder."""

    study: str
    finished: int | None
    """Runs; null of a published folder."""
    counts: Mapping[str, int] | None
    """State -> number of runs."""
    verdicts: Mapping[str, int]
    """Verdict -> number of claims, as of the last report."""
    age: float
    """Seconds since anything of it was written."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Log(Record):
    """One run's log."""

    key: str
    variant: str
    seed: int
    category: str | None
    state: str
    path: str
    lines: tuple[str, ...]
    """The last ones; none in a list of all."""


@dataclass(frozen=True, kw_only=True)
class Gated(Record):
    """Whether a change beats the incumbent."""

    change: str
    number: int
    """Of the campaign, from 1."""
    study: str
    """The study of its runs."""
    verdict: str = "incomplete"
    """As a claim's; ``incomplete`` while runs are left."""
    accepted: bool = False
    judged_before: bool
    """Nothing was computed or spent: the same configuration had its verdict."""
    difference: float | None = None
    """Points, candidate minus incumbent."""
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    looks: int | None = None
    reused: int | None = None
    """Runs that were there already."""
    computed: int | None = None
    seconds: float | None = None
    """Of computing them."""
    to_decide: str = ""
    """What would decide it; empty if it is decided or seeds would not."""
    alpha: float
    """What this change spends."""
    spent: float
    """By all changes of the campaign."""
    budget: float


@dataclass(frozen=True)
class Reported(Record):
    """Where a report is."""

    page: str
    """Path of the HTML page; tables and figures lie beside it."""


@dataclass(frozen=True)
class Verified(Record):
    """Whether a report says what its results say."""

    agrees: bool
    files: int
    numbers: int
    """Compared so far."""
    seal: str
    wrong: str
    """The first thing that differs; empty if nothing does."""
    rerun: tuple[str, ...]
    """What became of runs that were computed again."""


@dataclass(frozen=True)
class Compared(Record):
    """A variant that two studies have, at full precision."""

    variant: str
    first: float
    """Mean of the primary metric in the first study, percent."""
    second: float
    """The same of the second."""
    difference_points: float | None
    """Second minus first; null, as what follows, where the runs are the same."""
    low: float | None
    high: float | None
    seeds: int | None
    p: float | None
    p_holm: float | None
    verdict: str


@dataclass(frozen=True)
class Litter(Record):
    """Something that may be deleted."""

    path: str
    why: str
    bytes: int


@dataclass(frozen=True)
class Cleaned(Record):
    """What was or could be deleted."""

    deleted: bool
    bytes: int
    items: tuple[Litter, ...]


@dataclass(frozen=True)
class Repaired(Record):
    """What was found among a study's finished runs."""

    study: str
    finished: int
    """Runs that are finished and whole."""
    runs: int
    damaged: tuple[str, ...]
    """One line per run that was set aside."""


@dataclass(frozen=True)
class Encoded(Record):
    """Where the features of a study are."""

    study: str
    cache: str


@dataclass(frozen=True)
class Value(Record):
    """One metric of a checkpoint."""

    split: str
    category: str
    stratum: str
    metric: str
    value: float | None


@dataclass(frozen=True)
class Evaluated(Record):
    """What a published checkpoint reaches."""

    study: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Imported(Record):
    """Rows from elsewhere, added to a study's tables."""

    study: str
    values: int


@dataclass(frozen=True)
class Exported(Record):
    """A model as a file."""

    path: str
    difference: float
    """Largest, between onnxruntime and torch."""


@dataclass(frozen=True)
class Written(Record):
    """Files that were written; or the text, where none was asked for."""

    paths: tuple[str, ...]
    text: str | None = None


@dataclass(frozen=True)
class Checked(Record):
    """What a data set holds, and what is wrong with it."""

    study: str
    images: tuple[Count, ...]
    strata: tuple[StratumCount, ...]
    """Of the defects; none if a run would stop at something."""
    problems: tuple[Problem, ...]
    paths: tuple[str, ...]
    """Contact sheet or page."""


@dataclass(frozen=True)
class Started(Record):
    """A run has started, or (event ``ended``) has ended."""

    event: Literal["started", "ended"]
    time: float
    """Unix time."""
    key: str
    variant: str
    seed: int
    category: str | None
    state: str
    reason: str


@dataclass(frozen=True)
class Progressed(Record):
    """How far a study is (event ``progress``)."""

    event: Literal["progress"]
    time: float
    done: int
    total: int
    counts: Mapping[str, int]
    eta: float | None


@dataclass(frozen=True)
class Noted(Record):
    """Something to know (event ``note``)."""

    event: Literal["note"]
    time: float
    text: str


@dataclass(frozen=True)
class Ended(Record):
    """The last line (event ``finished``)."""

    event: Literal["finished"]
    time: float
    study: str
    exit_code: int
    finished: int
    runs: int
    failed: int
    page: str | None
    """The report, if it was made."""
    claims: tuple[Mapping[str, Any], ...]
    """As ``ablate claims --json`` has them."""


@dataclass(frozen=True)
class Judged(Record):
    """What became of a study's claims."""

    study: str
    seal: str
    """Digest of what was declared before the first run."""
    claims: tuple[Mapping[str, Any], ...]
    """Claim, difference_points, low, high, p, p_holm, seeds, verdict and more, each at full precision."""


@dataclass(frozen=True)
class Mistake(Record):
    """One mistake, on standard error."""

    message: str
    where: str | None
    """File, or file:line:column."""
    hint: str | None


@dataclass(frozen=True)
class Mistakes(Record):
    """What went wrong, with exit code 2; on standard error, standard output stays empty."""

    errors: tuple[Mistake, ...]


RunEvent = Started | Progressed | Noted | Ended

OUTPUTS: Mapping[str, Any] = {
    "plan": Planned,
    "run": RunEvent,
    "resume": RunEvent,
    "worker": RunEvent,
    "show": Shown,
    "status": StudyStatus,
    "ls": list[Listed],
    "logs": list[Log],
    "report": Reported,
    "open": Reported,
    "claims": Judged,
    "gate": Gated,
    "verify": Verified,
    "compare": list[Compared],
    "import": Imported,
    "clean": Cleaned,
    "repair": Repaired,
    "encode": Encoded,
    "evaluate": Evaluated,
    "export": Exported,
    "init": Written,
    "priors": Written,
    "doctor": list[Finding],
    "data stripes": Written,
    "data check": Checked,
    "any command": Mistakes,
}
"""Command -> what it prints; of several alternatives one a line."""
