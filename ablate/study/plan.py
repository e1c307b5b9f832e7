"""From a study to its runs: expanded, keyed, deduplicated, ordered. No torch here.

A run's key is a hash of everything that can change its result. Rows of the tables that come out with
the same key share one run; a key that is already on disk, from this study or another, is not computed
again.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ablate.study.category_names import categories_checked
from ablate.study.code import run_codes
from ablate.study.rows import Row
from ablate.study.spec import StudySpec
from model.canonical import canonical, canonical_data
from model.config import EncoderConfig, ModelConfig, dump_config
from model.data.config import DataConfig, PseudoConfig

RESULT_SCHEMA = 3
"""Raised when the same configuration would give other results, or other files, than before."""

# The weights' fingerprint says what these only point at.
_NOT_OF_THE_ENCODER = ("pretrained", "weights", "seed")
# In the keys of runs that ask for it alone: all others keep the keys they had before there was one.
_OF_A_PLATEAU = ("until", "plateau_window", "plateau_gain")


@dataclass(frozen=True)
class Run:
    """One model to train and evaluate: the unit of work, of leasing and of caching."""

    key: str
    variant: str
    """The first row that asked for it; others may share it."""
    seed: int
    category: str | None
    """Category it is trained for; None for one model of all categories."""
    categories: tuple[str, ...]
    """Categories it is trained and evaluated on."""
    factors: Mapping[str, Any]
    config: ModelConfig
    """Canonical: one configuration per key."""
    data: DataConfig
    aupro: Literal["exact", "reference200"] = "exact"
    """How AUPRO is computed: ``exact`` or ``reference200``."""
    keep_weights: bool = False
    keep_maps: int = 8
    """Anomaly maps to keep per category."""
    metrics: tuple[str, ...] = ()
    """Metrics of plug-ins that it computes too."""
    configuration: str = ""
    """Of the key, all but the code: equal for runs that only their code tells apart."""
    code_digest: str = ""
    """Of the code that the key holds."""
    contents: str = ""
    """Fingerprint of the data that the key stands for; empty where nobody has read them."""
    threads: int = 1
    """CPU threads it computes with: the order of sums, hence the last bits, depend on them."""


@dataclass(frozen=True)
class PlanRow:
    """One cell of the study's tables; cells with the same key share a run."""

    variant: str
    seed: int
    category: str | None
    factors: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Plan:
    """All cells of a study, and the distinct runs that fill them."""

    spec: StudySpec
    runs: tuple[Run, ...]
    """Distinct keys, in the order in which they are to be started."""
    rows: tuple[PlanRow, ...]
    """All cells, in the same order."""
    categories: tuple[str, ...]
    data: str = ""
    """Fingerprint of all that its runs read."""

    @property
    def duplicates(self) -> int:
        """Cells that another cell's run fills."""
        return len(self.rows) - len(self.runs)


@dataclass(frozen=True)
class Sources:
    """What planning asks of the world outside the spec."""

    categories: Callable[[DataConfig], tuple[str, ...]]
    """Categories of a dataset."""
    data: Callable[[DataConfig, tuple[str, ...]], str]
    """Fingerprint of all that is read of some of its categories: contents, labels, splits."""
    encoder: Callable[[EncoderConfig], str]
    """Fingerprint of the encoder's weights."""
    code: Callable[[ModelConfig, tuple[str, ...]], str] = field(default_factory=run_codes)
    """Digest of the code that a run executes: of a configuration, and of plug-ins' metrics."""


def real_sources(cache_dir: Path) -> Sources:
    """Datasets and weights as they are on disk; hashes of files are remembered under ``cache_dir``."""
    from model.data.dataset import load_dataset
    from model.encoders.build import weights_fingerprint

    load = functools.cache(lambda data: load_dataset(data, cache_dir=cache_dir))
    return Sources(
        categories=lambda data: load(data).categories,
        data=lambda data, categories: load(data).fingerprint_of(categories),
        encoder=weights_fingerprint,
    )


def make_plan(
    spec: StudySpec,
    *,
    cache_dir: Path,
    rows: Sequence[Row] | None = None,
    seeds: Sequence[int] | None = None,
    more: Mapping[int, Collection[str]] | None = None,
    sources: Sources | None = None,
) -> Plan:
    """Expand a study into runs.

    Parameters
    ----------
    rows: the configurations, if not the spec's own (a search's trials).
    seeds: the replicates, if not the spec's own (a search's fresh seeds).
    more: further seeds, and the variants that get them (a study that runs until its claims are decided).
    sources: datasets and weights; tests give their own.

    Order: by seed, then category, then row, so that after any number of runs the rows compared
    with each other have the same seeds.

    Raises
    ------
    ConfigError, DataError, CheckpointError: as loading configurations, data and weights do.
    """
    sources = sources or real_sources(cache_dir)
    rows = spec.rows() if rows is None else rows
    if seeds is None:
        seeds = spec.search.seeds if spec.search else spec.seeds
    categories = sources.categories(spec.data)
    categories_checked(spec, categories)
    configs = [canonical(spec.config(row.overrides)) for row in rows]
    read = [
        canonical_data(spec.data_of(row.overrides), config)
        for row, config in zip(rows, configs, strict=True)
    ]
    encoders = {config.encoder: "" for config in configs}
    encoders = {encoder: sources.encoder(encoder) for encoder in encoders}
    cells: list[tuple[str | None, tuple[str, ...]]] = [(None, categories)]
    if spec.data.setting == "per_category":
        cells = [(category, (category,)) for category in categories]
    images = {data: replace(data, pseudo=PseudoConfig()) for data in read}
    contents = {
        (data, held): sources.data(data, held)
        for data in dict.fromkeys(images.values())
        for _, held in cells
    }

    runs: dict[str, Run] = {}
    plan_rows: list[PlanRow] = []
    further = more or {}
    for seed in (*seeds, *further):
        for category, held in cells:
            for row, config, data in zip(rows, configs, read, strict=True):
                if seed in further and row.variant not in further[seed]:
                    continue
                configuration = configuration_key(
                    config,
                    seed=seed,
                    categories=held,
                    aupro=spec.report.aupro,
                    data_fingerprint=contents[images[data], held],
                    encoder_fingerprint=encoders[config.encoder],
                    metrics=spec.metrics,
                    threads=spec.invocation.threads,
                    pseudo=data.pseudo,
                )
                code = sources.code(config, spec.metrics)
                key = run_key(configuration, code)
                plan_rows.append(PlanRow(row.variant, seed, category, dict(row.factors), key))
                if key not in runs:
                    runs[key] = Run(
                        key=key,
                        variant=row.variant,
                        seed=seed,
                        category=category,
                        categories=held,
                        factors=dict(row.factors),
                        config=config,
                        data=data,
                        aupro=spec.report.aupro,
                        keep_weights=spec.keep.weights,
                        keep_maps=spec.keep.maps,
                        metrics=spec.metrics,
                        configuration=configuration,
                        code_digest=code,
                        contents=contents[images[data], held],
                        threads=spec.invocation.threads,
                    )
    together = hashlib.blake2b("".join(contents.values()).encode(), digest_size=16).hexdigest()
    return Plan(spec, tuple(runs.values()), tuple(plan_rows), categories, together)


def run_key(configuration: str, code: str) -> str:
    """20 hex digits that identify a run's result: what is computed, by which code."""
    return hashlib.blake2b(f"{configuration} {code}".encode(), digest_size=10).hexdigest()


def configuration_key(
    config: ModelConfig,
    *,
    seed: int,
    categories: Sequence[str],
    aupro: str,
    data_fingerprint: str,
    encoder_fingerprint: str,
    metrics: Sequence[str] = (),
    threads: int = 1,
    pseudo: PseudoConfig | None = None,
) -> str:
    """20 hex digits that identify all that a run's result depends on, but for the code.

    Of the data, only what is read counts: data that moved to another folder is the same data, and
    one model for a single category is the same run in the unified setting and per category. ``pseudo``:
    what is drawn on training images; nothing counts as if there were no such setting.
    """
    content: dict[str, Any] = {
        "schema": RESULT_SCHEMA,
        "seed": seed,
        "categories": sorted(categories),
        "aupro": aupro,
        "data": data_fingerprint,
        "encoder": encoder_fingerprint,
        **({"metrics": sorted(metrics)} if metrics else {}),
    }
    if threads != 1:
        content["threads"] = threads
    if pseudo is not None and pseudo.kind != "none":
        content["pseudo"] = pseudo.drawn
    parts = {name: _compact(value) for name, value in content.items()} | {"model": _model_text(config)}
    text = ",".join(f'"{name}":{parts[name]}' for name in sorted(parts))
    return hashlib.blake2b(f"{{{text}}}".encode(), digest_size=10).hexdigest()


@functools.lru_cache(maxsize=1 << 14)
def _model_text(config: ModelConfig) -> str:
    """What counts of a configuration; asked for once per seed and category."""
    model = dump_config(canonical(config))
    del model["cache"]["budget_gb"], model["train"]["checkpoint_every"]
    for name in _NOT_OF_THE_ENCODER:
        del model["encoder"][name]
    if config.train.until == "iterations":
        for name in _OF_A_PLATEAU:
            del model["train"][name]
    return _compact(model)


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


State = Literal["cached", "new", "duplicate"]


@dataclass(frozen=True)
class PlanLine:
    """One line of the plan as ``ablate plan`` shows it."""

    variant: str
    factors: Mapping[str, Any]
    seed: int
    category: str | None
    key: str
    state: State
    """``cached``: its result is on disk; ``duplicate``: an earlier line computes it."""
    seconds: float | None
    """Expected duration; None if nothing like it has run yet, 0 unless it is new."""
    why: str = ""
    """Of a new one: what has changed since the same configuration ran; empty if it never did."""


def plan_lines(
    plan: Plan,
    *,
    cached: Callable[[str], bool] = lambda _: False,
    seconds: Callable[[Run], float | None] = lambda _: None,
    why: Callable[[Run], str] = lambda _: "",
) -> tuple[PlanLine, ...]:
    """What the plan would do, cell by cell.

    Parameters
    ----------
    cached: is the result of this key on disk?
    seconds: expected duration of a run, from earlier timings.
    why: what has changed since the run's configuration was computed.
    """
    runs = {run.key: run for run in plan.runs}
    seen: set[str] = set()
    lines: list[PlanLine] = []
    for row in plan.rows:
        state: State = "cached" if cached(row.key) else "duplicate" if row.key in seen else "new"
        seen.add(row.key)
        expected = seconds(runs[row.key]) if state == "new" else 0.0
        reason = why(runs[row.key]) if state == "new" else ""
        cell = (row.variant, row.factors, row.seed, row.category, row.key, state, expected, reason)
        lines.append(PlanLine(*cell))
    return tuple(lines)


def total_seconds(lines: Iterable[PlanLine]) -> float | None:
    """Expected duration of all new runs, one after another; None if any is unknown."""
    expected = [line.seconds for line in lines]
    return None if None in expected else sum(second or 0.0 for second in expected)
