"""A study's records: the grammar of its file, and the validated :class:`StudySpec`. No torch here.

:class:`StudyFile` and the records it names *are* the grammar: the reader takes keys, types, defaults and
hints from them, and the JSON schema is made from them. Two kinds of key are not written out, because the
model's records define them: dotted settings, and levels or ranges of settings (:func:`of_settings`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema

from ablate.study.checking import fail_whole
from ablate.study.claims import Claim, ClaimText
from ablate.study.constraints import ConstraintText
from ablate.study.dimensions import Choices, Range
from ablate.study.located import Mark
from ablate.study.row_data import of_model, reserved, with_own
from ablate.study.rows import Row, labels_of, rows_of, scalar_level
from ablate.study.seeds import Seeds, StudySeeds
from ablate.study.settings import nest
from ablate.study.slurm import SlurmConfig
from ablate.study.text import flow
from model.config import SECTION, ModelConfig, Positive, build_config
from model.data.config import DataConfig
from model.knobs import OneOf
from model.metric_names import all_metrics, metric_label, metric_of
from model.presets import PRESETS

STRIPES_CATEGORIES = ("domain_a", "domain_b", "domain_c")


# ---------------------------------------------------------------------------- parts of the grammar

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
VARIANT_NAME = r"^[^\s/\\<>]{1,120}$"
LABEL = r"^[^\x00-\x1f\x7f\s]([^\x00-\x1f\x7f]{0,118}[^\x00-\x1f\x7f\s])?$"
"""What a label looks like: one line, no space at its ends."""

Label = Annotated[str, Field(pattern=LABEL)]

Design = Literal["grid", "one-at-a-time"]

Kind = Literal["values", "row", "levels", "dimensions"]
"""What stands behind a setting's path: one value (of a row: those of its data too), a list of levels, or a
search dimension."""


def of_settings(kind: Kind, *, inline: bool = False) -> WithJsonSchema:
    """Marks a mapping from the model's settings, nested or dotted, to ``kind``.

    ``inline``: its keys stand beside the record's own instead of below the field's name. The JSON schema
    (:mod:`ablate.study.schema`) replaces the mark by the settings themselves.
    """
    return WithJsonSchema({"x-settings": kind, "x-inline": inline})


class _TableNames:
    """For the JSON schema: a metric may be called as tables call it."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = list(all_metrics())
        return {"type": "string", "enum": [*names, *map(metric_label, names)]}


MetricName = Annotated[str, OneOf(all_metrics), BeforeValidator(metric_of), _TableNames()]
"""A metric, by its name or by what tables call it."""


def _presets() -> WithJsonSchema:
    """The presets by name, each with what editors say of it."""
    return WithJsonSchema(
        {"oneOf": [{"const": name, "description": p.summary} for name, p in PRESETS.items()]}
    )


# -------------------------------------------------------------------------------------- the records


@checked_dataclass(frozen=True, config=SECTION)
class Base:
    """Settings shared by every variant."""

    preset: Annotated[str | None, _presets()] = None
    """Named starting point."""
    settings: Annotated[Mapping[str, Any], of_settings("values", inline=True)] = field(default_factory=dict)
    """Dotted path -> value over :class:`ModelConfig`'s defaults; the preset's values included."""


@checked_dataclass(frozen=True, config=SECTION)
class Variant:
    """A named row: what it changes of the base, and what readers see it called."""

    label: Label | None = None
    """What tables, figures and texts call it, in any script; $...$ is mathematics. Its name if left out."""
    settings: Annotated[Mapping[str, Any], of_settings("row", inline=True)] = field(default_factory=dict)
    """Dotted path -> value over the base."""


@checked_dataclass(frozen=True, config=SECTION)
class LabelledLevel:
    """A factor's level, and what readers see it called."""

    value: Any
    """The level."""
    label: Label
    """What tables and figures call it; $...$ is mathematics."""


@checked_dataclass(frozen=True, config=SECTION)
class Factors:
    """Levels per dotted path, and how they are combined."""

    design: Design
    """``grid``: every combination of levels; ``one-at-a-time``: each level alone."""
    levels: Annotated[Mapping[str, tuple[Any, ...]], of_settings("levels", inline=True)]
    """Dotted path -> its levels, plain data; {value, label} for a level with a label of its own."""
    labels: SkipJsonSchema[Mapping[str, Mapping[int, str]]] = field(default_factory=dict)
    """Dotted path -> (index of a level -> its label); only those that have one."""


@checked_dataclass(frozen=True, config=SECTION)
class SearchConfig:
    """Search for a configuration that beats the baseline on the selection split."""

    space: Annotated[Mapping[str, Range | Choices], of_settings("dimensions")]
    """Dotted path -> dimension: a range {low, high, log, step}, or a list of choices; each with ``when``
    if it is there under a condition only."""
    arms: Mapping[
        Annotated[str, Field(pattern=VARIANT_NAME)],
        Annotated[Mapping[str, Range | Choices], of_settings("dimensions")],
    ] = field(default_factory=dict)
    """Variant -> dimensions that only it has. With arms every variant is searched for by itself, with as
    many trials each, and the winners are compared on seeds that no search has used."""
    sampler: Literal["tpe", "random", "gp", "grid"] = "tpe"
    """Tree-structured Parzen estimator, uniform at random, Gaussian process, or every combination of the
    space's values."""
    pruner: Literal["none", "wilcoxon", "median"] = "none"
    """Stop a trial early when a paired test over its runs says it cannot win, when its mean falls below the
    median of others after as many runs, or never."""
    trials: Positive = 50
    """Configurations to try; of a grid, as many as it has."""
    objective: MetricName = "image_auroc"
    """Metric to maximise: mean over categories and seeds."""
    objectives: Annotated[
        tuple[MetricName, ...],
        Field(json_schema_extra={"uniqueItems": True, "minItems": 2, "maxItems": 2}),
    ] = ()
    """Two metrics to maximise, instead of one; of those that no other beats in both, the best by the first
    wins."""
    constraints: tuple[Annotated[str, ConstraintText()], ...] = ()
    """What the winner has to keep: metric on category >= points."""
    seeds: Seeds = ()
    """Seeds that every trial is judged on; the study's if not given."""
    fresh_seeds: Seeds = ()
    """Seeds for winner against baseline: none of them is searched on; five more if not given."""
    categories: tuple[str, ...] | None = None
    """Categories that the objective averages over; all if not given."""

    @property
    def judged_by(self) -> tuple[str, ...]:
        """The metrics to maximise, the one that decides first."""
        return self.objectives or (self.objective,)


Venue = Literal[
    "aaai2024", "aistats2025", "cvpr2024", "eccv2024", "iclr2024", "icml2024", "jmlr2001", "neurips2024",
    "tmlr2023", "uai2023",
]  # fmt: skip
"""Venues whose pages figures can be made for, as tueplots calls them."""
VENUES: tuple[Venue, ...] = get_args(Venue)


@checked_dataclass(frozen=True, config=SECTION)
class ReportConfig:
    """What the report compares, and how."""

    baseline: str | None = None
    """Variant every other one is compared with; the first row if not given."""
    primary: MetricName = "image_auroc"
    """Metric that the headline, the claims without one and the figures are about."""
    aupro: Literal["exact", "reference200"] = "exact"
    """AUPRO by the exact integral, or by the reference implementation's 200 thresholds, to compare
    with published tables (it reads 0.06 to 0.99 points low)."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Significance level; intervals cover 1 - alpha."""
    margin: Annotated[float, Field(ge=0, le=100)] = 0.05
    """Points within which a difference does not matter: one that lies inside is never called better, worse
    or supported. 0.05: nothing that prints as 0.0."""
    venue: Venue | None = None
    """Where the paper goes: its widths and fonts for figures. A general two-column page if not given."""
    components: Mapping[str, str] = field(default_factory=dict)
    """Check-mark columns of the table: label -> the setting that turns the component on, e.g. NB:
    bottleneck.dropout. Derived from the variants if not given."""


@checked_dataclass(frozen=True, config=SECTION)
class KeepConfig:
    """What a run leaves behind besides its numbers."""

    weights: bool = False
    """Keep the trained decoder's weights (weights.safetensors)."""
    maps: Annotated[int, Field(ge=0)] = 8
    """Anomaly maps to keep per run and category, for the gallery; 0 = none."""


@checked_dataclass(frozen=True, config=SECTION)
class StudyFile:
    """The keys of a study file."""

    study: Annotated[str, Field(pattern=STUDY_NAME)]
    """The study's name, also its results folder."""
    data: DataConfig
    """Dataset, root, categories, setting; e.g. data: {dataset: stripes}."""
    base: Base = field(default_factory=Base)
    """Preset and settings shared by every variant."""
    variants: Mapping[Annotated[str, Field(pattern=VARIANT_NAME)], Variant | None] = field(
        default_factory=dict
    )
    """Named rows: name -> {label, dotted path: value}."""
    factors: Factors | None = None
    """Design (grid or one-at-a-time) and levels: dotted path -> [values]."""
    seeds: StudySeeds = (0, 1, 2)
    """Number of replicates (3 if left out), a list of seeds, or {start: 5, max: 20}: more only while claims
    are open."""
    claims: tuple[Annotated[str, ClaimText()], ...] = ()
    """What the paper will say: left > right on category by metric."""
    report: ReportConfig = field(default_factory=ReportConfig)
    """Baseline, primary metric, aupro, alpha, margin, components."""
    search: SearchConfig | None = None
    """Instead of variants: space, sampler, pruner, trials, objective, seeds, fresh_seeds, categories."""
    keep: KeepConfig = field(default_factory=KeepConfig)
    """What runs leave behind: weights: true|false, maps: how many."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    """What --slurm asks for: partition, gres, time, mem, account, array."""
    plugins: Annotated[tuple[str, ...], Field(json_schema_extra={"uniqueItems": True})] = ()
    """Modules with priors, encoders, readers or metrics of your own: beside this file, or installed."""


# --------------------------------------------------------------------------- what is made of a file


@checked_dataclass(frozen=True, config=SECTION)
class Invocation:
    """What was asked for beside the file: recorded as ``invocation.json`` beside ``spec.yaml``."""

    overrides: tuple[str, ...] = ()
    """``--set`` arguments, as given."""
    smoke: bool = False
    """Made tiny by ``--smoke``."""
    plugins: tuple[str, ...] = ()
    """The plug-ins that the file names: to be loaded before the plan is read."""
    folder: str | None = None
    """Where the file lay, and modules beside it; only with plug-ins."""
    threads: Positive = 1
    """CPU threads of a run, as ``--threads`` says."""
    arm: str | None = None
    """Of a search with arms: whose search this study is."""

    def to_json(self) -> str:
        """The text of ``invocation.json``."""
        return _INVOCATION.dump_json(self, indent=1, exclude=self._absent()).decode() + "\n"

    def _absent(self) -> set[str]:
        absent = set() if self.plugins else {"plugins", "folder"}
        return absent if self.arm else {*absent, "arm"}

    @staticmethod
    def from_json(text: str) -> Invocation:
        """Inverse of :meth:`to_json`. Raises ``pydantic.ValidationError``, a ``ValueError``."""
        return _INVOCATION.validate_json(text, strict=True)


_INVOCATION: TypeAdapter[Invocation] = TypeAdapter(Invocation)


@dataclass(frozen=True)
class Override:
    """One ``--set`` as it was applied."""

    path: str
    value: Any
    before: Any
    """What it replaces: the file's value, else the preset's or default; None where there was none."""

    def __str__(self) -> str:
        was = "" if self.before is None else f" (was {flow(self.before)})"
        return f"{self.path} = {flow(self.value)}{was}"


@dataclass(frozen=True)
class StudySpec:
    """A validated study. ``rows()`` and ``config()`` say what it compares."""

    study: str
    data: DataConfig
    preset: str | None
    base: Mapping[str, Any]
    """Dotted path -> value over :class:`ModelConfig`'s defaults; the preset's values included."""
    variants: Mapping[str, Mapping[str, Any]]
    """Name -> (dotted path -> value over the base)."""
    factors: Factors | None
    seeds: tuple[int, ...]
    claims: tuple[Claim, ...]
    report: ReportConfig
    search: SearchConfig | None
    keep: KeepConfig
    path: Path
    """File it was read from."""
    text: str
    """That file, verbatim: what was asked for beside it is in ``invocation``."""
    invocation: Invocation = field(default_factory=Invocation)
    """Overrides, ``--smoke`` and ``--threads``, as given; text and invocation together are the study."""
    applied: tuple[Override, ...] = ()
    """The overrides, resolved, for echoing."""
    max_seeds: int | None = None
    """Most seeds of a study that is run until its claims are decided; None: just ``seeds``."""
    metrics: tuple[str, ...] = ()
    """Metrics of its plug-ins, which its runs compute too."""
    marks: Mapping[tuple[str, str], Mark] = field(default_factory=dict, compare=False, repr=False)
    """Where settings stand: by part of the file (``base``, ``factors``, ``variants.NAME``) and path."""
    variant_labels: Mapping[str, str] = field(default_factory=dict)
    """Named variant -> what readers see it called; only those that have a label."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    pinned: Mapping[str, Any] = field(default_factory=dict)
    """Settings that win over base and variants alike (a smoke test's)."""

    @property
    def baseline(self) -> str:
        """The row that all others are compared with."""
        return self.report.baseline or self.rows()[0].variant

    def rows(self) -> tuple[Row, ...]:
        """Rows in table order: named variants, then rows made by factors."""
        return rows_of(self.variants, self.factors)

    @property
    def labels(self) -> Mapping[str, str]:
        """Row -> what readers see it called; only those that have a label, or whose parts have."""
        return labels_of(self.variants, self.factors, self.variant_labels)

    @property
    def level_labels(self) -> Mapping[str, Mapping[Any, str]]:
        """Factor -> level, as tables have it -> what readers see it called; only those with a label."""
        if self.factors is None:
            return {}
        return {
            path: {scalar_level(self.factors.levels[path][i]): text for i, text in labels.items()}
            for path, labels in self.factors.labels.items()
        }

    def config(self, overrides: Mapping[str, Any]) -> ModelConfig:
        """The model of the base with dotted overrides.

        Raises
        ------
        ConfigError: the values do not go together.
        """
        try:
            return build_config(nest({**self.base, **of_model(overrides), **self.pinned}))
        except ValidationError as error:
            fail_whole(error, {}, Mark(str(self.path)), "the configuration")

    def data_of(self, overrides: Mapping[str, Any]) -> DataConfig:
        """What a row with dotted overrides reads: the study's data, but for its training images."""
        own = with_own(self.data, overrides)
        return replace(own, reserve=self._reserve) if self._reserve else own

    @functools.cached_property
    def _reserve(self) -> tuple[tuple[float, int | None], ...]:
        return reserved(self.data, (row.overrides for row in self.rows()))


def known_categories(data: DataConfig) -> tuple[str, ...] | None:
    """The study's categories where they are known without reading the dataset, else None."""
    if data.categories is not None:
        return data.categories
    return STRIPES_CATEGORIES if data.dataset == "stripes" else None
