"""What a search looks for: the part of its study file that workers need, kept as ``search.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from optuna.trial import FrozenTrial
from pydantic import ConfigDict, TypeAdapter

from ablate.running.folder import Workspace
from ablate.running.recorded import load_own_plugins
from ablate.running.search_space import params_of, values_of
from ablate.study.plan import Plan, Sources, make_plan
from ablate.study.rows import Row
from ablate.study.settings import unnest
from ablate.study.spec import Invocation, KeepConfig, ReportConfig, SearchConfig, StudySpec
from ablate.study.text import label
from model.config import ModelConfig, dump_config
from model.data.config import DataConfig
from model.errors import ConfigError, StorageError

_LATER = ("points", "when")
"""Keys of dimensions that the first searches did not have."""
BEST = "best"
"""Name of the winner's row."""


@dataclass(frozen=True)
class Definition:
    """A search, without its file's text, its claims and what it was made from."""

    study: str
    data: DataConfig
    base: Mapping[str, Any]
    pinned: Mapping[str, Any]
    report: ReportConfig
    keep: KeepConfig
    rows: tuple[Row, ...]
    """Rows of the final table besides the winner's; the baseline is among them."""
    search: SearchConfig
    metrics: tuple[str, ...] = ()
    """Metrics of plug-ins, which its runs compute too."""
    threads: int = 1
    """CPU threads of a run."""
    schema: Literal[2] = 2

    __pydantic_config__ = ConfigDict(extra="forbid")

    @classmethod
    def of(cls, spec: StudySpec) -> Definition:
        """The search of a study. Raises ConfigError if it has none."""
        if spec.search is None:
            raise ConfigError("the study has no search", where=str(spec.path))
        report = replace(spec.report, baseline=spec.baseline)
        return cls(
            study=spec.study,
            data=spec.data,
            base=spec.base,
            pinned=spec.pinned,
            report=report,
            keep=spec.keep,
            rows=spec.rows(),
            search=spec.search,
            metrics=spec.metrics,
            threads=spec.invocation.threads,
        )

    @cached_property
    def spec(self) -> StudySpec:
        """What planning needs to know of the study."""
        return StudySpec(
            study=self.study,
            data=self.data,
            preset=None,
            base=self.base,
            variants={},
            factors=None,
            seeds=self.search.seeds,
            claims=(),
            report=self.report,
            search=self.search,
            keep=self.keep,
            path=Path(self.study) / "spec.yaml",
            text="",
            pinned=self.pinned,
            metrics=self.metrics,
            invocation=Invocation(threads=self.threads),
        )

    @property
    def baseline(self) -> Row:
        """The configuration that the search departs from, and that the winner is compared with."""
        return next(row for row in self.rows if row.variant == self.report.baseline)

    @property
    def baseline_params(self) -> dict[str, Any] | None:
        """The baseline as a point of the space; None if it lies outside."""
        config = self.spec.config(self.baseline.overrides)
        return params_of(self.search, unnest(dump_config(config), ModelConfig))

    @property
    def selected_on_reported(self) -> bool:
        """Whether it selects on the images that its tables report."""
        return self.data.selection == "none"

    def plan(self, rows: Sequence[Row], seeds: Sequence[int], sources: Sources) -> Plan:
        """The runs of some configurations."""
        return make_plan(self.spec, cache_dir=Path(), rows=rows, seeds=seeds, sources=sources)


_DEFINITION: TypeAdapter[Definition] = TypeAdapter(Definition)


def dump_definition(definition: Definition) -> bytes:
    """The content of ``search.json``."""
    return _DEFINITION.dump_json(definition, indent=1, by_alias=True)


def dump_space(definition: Definition) -> Any:
    """The space as plain data, without what a dimension does not have: later keys change no digest."""
    space = _DEFINITION.dump_python(definition, mode="json", by_alias=True)["search"]["space"]
    return {path: {k: v for k, v in each.items() if k not in _LATER or v} for path, each in space.items()}


def load_definition(workspace: Workspace) -> Definition:
    """Read ``search.json``, after its plug-ins. Raises StorageError if it is missing or damaged."""
    load_own_plugins(workspace)
    try:
        return _DEFINITION.validate_json(workspace.search.read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        raise StorageError(
            "missing, damaged, or written by another version",
            where=str(workspace.search),
            hint="run the study file again: finished runs are kept",
        ) from error


def final_rows(definition: Definition, best: FrozenTrial) -> list[Row]:
    """The study's rows and the winner's."""
    names = {row.variant for row in definition.rows}
    name = BEST if BEST not in names else f"search-{BEST}"
    values = values_of(definition.search, best.params)
    return [*definition.rows, Row(name, {}, {**definition.baseline.overrides, **values})]


def describe_best(definition: Definition, best: FrozenTrial) -> str:
    """The winner in one line."""
    values = values_of(definition.search, best.params)
    found = ", ".join(f"{path} = {label(value)}" for path, value in values.items())
    split = "the reported images (data.selection: none)" if definition.selected_on_reported else "selection"
    pairs = zip(definition.search.judged_by, best.values, strict=True)
    score = f"{', '.join(f'{metric} {value:.4f}' for metric, value in pairs)} on {split}"
    kept = " that keep the constraints" if definition.search.constraints else ""
    return f"best of the search: {found} ({score}; the highest of its trials{kept}, hence optimistic)"
