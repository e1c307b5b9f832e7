"""A study's YAML file, validated into a frozen :class:`StudySpec`. No torch here.

Everything wrong with the file is reported as ``file:line:column: message (hint)``: a setting is first
checked on its own, where it stands, then with the rest of the configuration it ends up in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from ablate.study import settings as fields
from ablate.study.claims import Claim, parse_claim
from ablate.study.located import Located, Mark, parse_yaml, shown, suggestion
from ablate.study.settings import Leaf, Set
from model.config import SECTION, ModelConfig, Positive, build_config, dump_config
from model.data.config import DataConfig
from model.errors import ConfigError
from model.metric_names import Metric
from model.presets import PRESETS

Design = Literal["grid", "one-at-a-time"]

IMPLICIT_BASELINE = "base"
"""Name of the row that is the base configuration itself, where no variants are named."""

STRIPES_CATEGORIES = ("domain_a", "domain_b", "domain_c")

_NOTE = "# ablate run: "

_STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIANT_NAME = re.compile(r"[^\s/\\<>]{1,120}")


@checked_dataclass(frozen=True, config=SECTION)
class ReportConfig:
    """What the report compares, and how."""

    baseline: str | None = None
    """Variant every other one is compared with; the first row if not given."""
    primary: Metric = "image_auroc"
    """Metric that the headline, the claims without one and the figures are about."""
    aupro: Literal["exact", "reference200"] = "exact"
    """AUPRO by the exact integral, or by the reference implementation's 200 thresholds, to compare
    with published tables (it reads 0.06 to 0.99 points low)."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Significance level; intervals cover 1 - alpha."""
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


@dataclass(frozen=True)
class Factors:
    """Levels per dotted path, and how they are combined."""

    design: Design
    levels: Mapping[str, tuple[Any, ...]]
    """Dotted path -> its levels, plain data."""


@dataclass(frozen=True)
class Range:
    """A search dimension: numbers from low to high, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False
    """Whole numbers only; follows from the setting."""


@dataclass(frozen=True)
class Choices:
    """A search dimension: one of these values, plain data."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SearchConfig:
    """Search for a configuration that beats the baseline on the selection split."""

    space: Mapping[str, Range | Choices]
    """Dotted path -> dimension."""
    sampler: Literal["tpe", "random"]
    pruner: Literal["none", "wilcoxon"]
    trials: int
    objective: str
    """Metric, maximised: mean over ``categories`` and ``seeds``."""
    seeds: tuple[int, ...]
    """Seeds that every trial is judged on."""
    fresh_seeds: tuple[int, ...]
    """Seeds for winner against baseline: none of them was searched on."""
    categories: tuple[str, ...] | None
    """Categories that the objective averages over; None = all."""


class Row(NamedTuple):
    """A row of the study's tables: a named configuration."""

    variant: str
    factors: Mapping[str, Any]
    """The factor levels that made this row (labels); empty for a named variant."""
    overrides: Mapping[str, Any]
    """Dotted path -> value over the base."""


@dataclass(frozen=True)
class Override:
    """One ``--set`` as it was applied."""

    path: str
    value: Any
    before: Any
    """What it replaces: the file's value, else the preset's or default; None where there was none."""

    def __str__(self) -> str:
        was = "" if self.before is None else f" (was {_yaml_text(self.before)})"
        return f"{self.path} = {_yaml_text(self.value)}{was}"


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
    """That file, verbatim. Overrides and ``--smoke`` are noted in a last comment line, which loading
    honours: a recorded spec stands for the study as it was run."""
    overrides: tuple[str, ...] = ()
    """``--set`` arguments, as given."""
    applied: tuple[Override, ...] = ()
    """The same, resolved, for echoing."""
    pinned: Mapping[str, Any] = field(default_factory=dict)
    """Settings that win over base and variants alike (a smoke test's)."""

    @property
    def baseline(self) -> str:
        """The row that all others are compared with."""
        return self.report.baseline or self.rows()[0].variant

    def rows(self) -> tuple[Row, ...]:
        """Rows in table order: named variants, then rows made by factors."""
        return _rows(self.variants, self.factors)

    def config(self, overrides: Mapping[str, Any]) -> ModelConfig:
        """The model of the base with dotted overrides.

        Raises
        ------
        ConfigError: the values do not go together.
        """
        try:
            return build_config(fields.nest({**self.base, **overrides, **self.pinned}))
        except ValidationError as error:
            fields.fail_whole(error, {}, Mark(str(self.path)), "the configuration")


def known_categories(data: DataConfig) -> tuple[str, ...] | None:
    """The study's categories where they are known without reading the dataset, else None."""
    if data.categories is not None:
        return data.categories
    return STRIPES_CATEGORIES if data.dataset == "stripes" else None


def smoke(spec: StudySpec) -> StudySpec:
    """The same study made tiny: every part runs, no number means anything.

    Four training steps, two seeds, and the smallest data. It has a name of its own, so that its
    results never mix with the study's.
    """
    small = {
        "train.iterations": 4, "train.warmup": 1, "train.batch_size": 2, "train.checkpoint_every": 2,
        "tail.ramp": 2,
    }  # fmt: skip
    stripes = replace(spec.data.stripes, size=64, train=4, test_good=4, test_bad=4)
    search = spec.search and replace(
        spec.search, trials=2, seeds=spec.search.seeds[:1], fresh_seeds=spec.search.fresh_seeds[:2]
    )
    return replace(
        spec,
        study=f"{spec.study}-smoke",
        data=replace(spec.data, max_train=4, max_test=2, stripes=stripes),
        seeds=spec.seeds[:2],
        search=search,
        pinned={**spec.pinned, **small},
        text=_with_note(_without_note(spec.text)[0], spec.overrides, tiny=True),
    )


def load_spec(
    path: Path | str, overrides: Sequence[str] = (), env: Mapping[str, str] = os.environ
) -> StudySpec:
    """Read and validate a study.

    Parameters
    ----------
    path: YAML 1.2 file.
    overrides: ``path=value`` as given to ``--set``, e.g. ``base.train.iterations=100``.
    env: the environment that ``${NAME}`` is looked up in.

    Raises
    ------
    ConfigError: anything wrong with the file or an override, with file, line and column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {error.start}", hint="save it as UTF-8"
        ) from error
    return parse_spec(text, path, overrides, env)


def parse_spec(
    text: str, path: Path, overrides: Sequence[str] = (), env: Mapping[str, str] = os.environ
) -> StudySpec:
    """As :func:`load_spec`, from text that is (or will be) at ``path``."""
    text, noted, tiny = _without_note(text)
    overrides = (*noted, *overrides)
    root = parse_yaml(text, str(path), env)
    sets: list[tuple[str, Any, Any]] = []
    for override in overrides:
        root, name, value, before = _override(root, override, env)
        sets.append((name, value, before))
    spec = _Reader(root).read(path, _with_note(text, overrides, tiny=False), overrides)
    resolved = _preset_values(spec.preset)
    applied_sets = tuple(
        Override(name, value, resolved.get(name.removeprefix("base.")) if before is None else before)
        for name, value, before in sets
    )
    spec = replace(spec, applied=applied_sets)
    return smoke(spec) if tiny else spec


def _with_note(text: str, overrides: Sequence[str], *, tiny: bool) -> str:
    if not overrides and not tiny:
        return text
    note = json.dumps({"set": list(overrides), "smoke": tiny})
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{_NOTE}{note}\n"


def _without_note(text: str) -> tuple[str, tuple[str, ...], bool]:
    """The file as its author wrote it, and the overrides and smoke flag noted at its end."""
    body, found, note = text.rpartition(_NOTE)
    if not found or "\n" in note.rstrip("\n"):
        return text, (), False
    try:
        content = json.loads(note)
        return body, tuple(str(item) for item in content["set"]), bool(content["smoke"])
    except (ValueError, KeyError, TypeError):
        return text, (), False


# --------------------------------------------------------------------------------------- rows


def _rows(variants: Mapping[str, Mapping[str, Any]], factors: Factors | None) -> tuple[Row, ...]:
    named = variants or {IMPLICIT_BASELINE: {}}
    rows = [Row(name, {}, values) for name, values in named.items()]
    if factors is None:
        return tuple(rows)
    if factors.design == "one-at-a-time":
        for path, levels in factors.levels.items():
            rows += [_factor_row("", {}, {path: level}) for level in levels]
        return tuple(rows)
    for name, values in named.items():
        for levels in product(*factors.levels.values()):
            prefix = f"{name}," if variants else ""
            rows.append(_factor_row(prefix, values, dict(zip(factors.levels, levels, strict=True))))
    return tuple(rows)


def _factor_row(prefix: str, values: Mapping[str, Any], levels: Mapping[str, Any]) -> Row:
    labels = {path: fields.label(level) for path, level in levels.items()}
    scalar = {
        path: level if isinstance(level, (int, float, str)) else labels[path]
        for path, level in levels.items()
    }
    name = prefix + ",".join(f"{path}={text}" for path, text in labels.items())
    return Row(name, scalar, {**values, **levels})


# ---------------------------------------------------------------------------------- overrides


def _override(root: Located, text: str, env: Mapping[str, str]) -> tuple[Located, str, Any, Any]:
    """Apply one ``path=value``; returns the new root, the path, the value and what it replaced."""
    name, equals, literal = text.partition("=")
    name = name.strip()
    mark = Mark(f"--set {text}")
    if not equals or not name or "" in name.split("."):
        mark.fail("an override is written path=value", hint="e.g. --set base.train.iterations=100")
    value = parse_yaml(literal, mark.source, env, placed=False)
    if name in fields.leaves(ModelConfig) or name in fields.sections(ModelConfig):
        mark.fail(f"unknown key '{name}'", hint=f"did you mean 'base.{name}'?")
    changed, before = _replace_at(root, name, value, mark, ())
    return changed, name, value.plain(), before


def _replace_at(
    node: Located, name: str, value: Located, mark: Mark, above: tuple[str, ...]
) -> tuple[Located, Any]:
    """``node`` with the value at a dotted name replaced, and the plain value it had there.

    Keys of the file may have dots themselves (``tail.q: 0.1``), so the longest key that fits wins.
    """
    items = node.value if isinstance(node.value, dict) else {}
    if above and node.value is not None and not isinstance(node.value, dict):
        mark.fail(f"'{'.'.join(above)}' has no settings inside: it is {shown(node.plain())}")
    fitting = [key for key in items if name == key or name.startswith(f"{key}.")]
    key = max(fitting, key=len, default=None)
    if key is None and above == ("variants",):
        variant = name.partition(".")[0]
        mark.fail(f"unknown variant '{variant}'", hint=suggestion(variant, items))
    if key is None:
        key, _, rest = name.partition(".")
        # Settings below factors and search.space are dotted paths in one key.
        if above in (("factors",), ("search", "space")) or (not above and rest == ""):
            key, rest = name, ""
    else:
        rest = name[len(key) + 1 :]
    old = items.get(key)
    if rest:
        new, before = _replace_at(old or Located({}, mark), rest, value, mark, (*above, key))
    else:
        new, before = value, None if old is None else old.plain()
    keys = {**node.keys, key: mark}
    return Located({**items, key: new}, node.mark, keys), before


def _preset_values(preset: str | None) -> dict[str, Any]:
    """Every setting of a preset, defaults included, by dotted path."""
    config = build_config(PRESETS[preset].values if preset else {})
    return fields.unnest(dump_config(config), ModelConfig)


def _yaml_text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml_text, value))}]"
    return value if isinstance(value, str) else fields.label(value)


# ------------------------------------------------------------------------------------ reading


class _Reader:
    """Reads the document once, part by part; later parts check against earlier ones."""

    def __init__(self, root: Located) -> None:
        if root.value is None:
            root.mark.fail("the file is empty", hint="start with: ablate init NAME")
        self.root = root
        self.items = root.mapping("a study")

    def read(self, path: Path, text: str, overrides: tuple[str, ...]) -> StudySpec:
        for key in self.items:
            if key not in STUDY_KEYS:
                hint = suggestion(key, STUDY_KEYS)
                if key in fields.sections(ModelConfig) or key in fields.leaves(ModelConfig):
                    hint = f"settings of the model go under base: or a variant: 'base.{key}'"
                self.root.keys[key].fail(f"unknown key '{key}' in a study", hint=hint)
        for key in ("study", "data"):
            if key not in self.items:
                self.root.mark.fail(f"missing key '{key}'", hint=STUDY_KEYS[key])
        self._check_exclusive()
        study = self._study()
        data = self._data()
        preset, base, base_sets = self._base()
        variants, variant_sets = self._variants()
        factors, factor_marks = self._factors()
        self._check_configs(base, base_sets, variants, variant_sets, factors, factor_marks)
        rows = [row.variant for row in _rows(variants, factors)]
        self._check_unique(rows)
        report = self._report(rows)
        seeds = self._seeds("seeds", self.items.get("seeds")) or (0, 1, 2)
        search = self._search(seeds, data)
        return StudySpec(
            study=study,
            data=data,
            preset=preset,
            base=base,
            variants=variants,
            factors=factors,
            seeds=seeds,
            claims=self._claims(rows, data, report),
            report=report,
            search=search,
            keep=self._section("keep", KeepConfig),
            path=path,
            text=text,
            overrides=overrides,
        )

    def _check_exclusive(self) -> None:
        compared = [key for key in ("variants", "factors") if key in self.items]
        if "search" in self.items and compared:
            self.root.keys[compared[0]].fail(
                f"'{compared[0]}' and 'search' exclude each other",
                hint="a search compares its winner with the base; keep one of the two",
            )
        if "search" not in self.items and not compared:
            self.root.mark.fail(
                "nothing to compare: the study has neither variants, factors nor search",
                hint="e.g. variants: {baseline: {}, top-q: {tail.q: 0.02}}",
            )

    def _section(self, key: str, cls: type[Any]) -> Any:
        if key not in self.items:
            return cls()
        node, mark = self.items[key], self.root.keys[key]
        return fields.build(cls, fields.flatten(node, cls, key), mark, key)

    def _study(self) -> str:
        node = self.items["study"]
        name = node.string("study")
        if not _STUDY_NAME.fullmatch(name):
            node.mark.fail(
                f"study: {shown(name)} cannot name a folder",
                hint="letters, digits, '.', '_' and '-', starting with a letter or digit",
            )
        return name

    def _data(self) -> DataConfig:
        data: DataConfig = self._section("data", DataConfig)
        known = STRIPES_CATEGORIES if data.dataset == "stripes" else None
        if data.categories is None:
            return data
        given = fields.flatten(self.items["data"], DataConfig, "data")["categories"].value
        items = given.value
        if not items:
            given.mark.fail("data.categories is empty", hint="leave it out for all categories")
        for i, item in enumerate(items):
            if item.value in data.categories[:i]:
                item.mark.fail(f"data.categories: '{item.value}' is given twice")
            if known and item.value not in known:
                item.mark.fail(
                    f"data.categories: stripes has no category '{item.value}'",
                    hint=suggestion(item.value, known),
                )
        return data

    def _base(self) -> tuple[str | None, dict[str, Any], dict[str, Set]]:
        node = self.items.get("base", Located({}, self.root.mark))
        items = dict(node.mapping("base"))
        preset_node = items.pop("preset", None)
        preset = None if preset_node is None else preset_node.string("base.preset")
        if preset_node is not None and preset not in PRESETS:
            preset_node.mark.fail(
                f"base.preset: unknown preset {shown(preset)}", hint=f"known: {', '.join(PRESETS)}"
            )
        sets = fields.flatten(replace(node, value=items), ModelConfig, "base")
        own = self._values(sets)
        values = fields.unnest(PRESETS[preset].values, ModelConfig) if preset else {}
        return preset, {**values, **own}, sets

    @staticmethod
    def _values(sets: Mapping[str, Set]) -> dict[str, Any]:
        known = fields.leaves(ModelConfig)
        return {path: fields.check_value(known[path], item.value) for path, item in sets.items()}

    def _variants(self) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[Mark, dict[str, Set]]]]:
        node = self.items.get("variants")
        if node is None:
            return {}, {}
        values: dict[str, dict[str, Any]] = {}
        sets: dict[str, tuple[Mark, dict[str, Set]]] = {}
        for name, item in node.mapping("variants").items():
            mark = node.keys[name]
            if not _VARIANT_NAME.fullmatch(name):
                mark.fail(f"{shown(name)} cannot name a variant", hint="no spaces, slashes, < or >")
            given = fields.flatten(item, ModelConfig, f"variants.{name}")
            values[name], sets[name] = self._values(given), (mark, given)
        if not values:
            self.root.keys["variants"].fail("variants is empty", hint="name at least one: baseline: {}")
        return values, sets

    def _factors(self) -> tuple[Factors | None, dict[str, Mark]]:
        node = self.items.get("factors")
        if node is None:
            return None, {}
        items = dict(node.mapping("factors"))
        design_node = items.pop("design", None)
        if design_node is None:
            self.root.keys["factors"].fail("missing key 'design' in factors", hint="grid or one-at-a-time")
        design = design_node.value
        if design not in ("grid", "one-at-a-time"):
            design_node.mark.fail(
                f"factors.design: {shown(design_node.plain())} is not one of grid, one-at-a-time",
                hint=suggestion(design, ["grid", "one-at-a-time"], list_all=False),
            )
        given = fields.flatten(replace(node, value=items), ModelConfig, "factors")
        if not given:
            self.root.keys["factors"].fail("factors names no setting", hint="e.g. tail.q: [0.01, 0.02]")
        levels = {path: self._levels(path, item.value) for path, item in given.items()}
        return Factors(design, levels), {path: item.key for path, item in given.items()}

    @staticmethod
    def _levels(path: str, node: Located) -> tuple[Any, ...]:
        leaf = fields.leaves(ModelConfig)[path]
        values: list[Any] = []
        for item in node.sequence(f"factors.{path}"):
            value = fields.check_value(leaf, item)
            if value in values:
                item.mark.fail(f"factors.{path}: the level {shown(value)} is given twice")
            values.append(value)
        if not values:
            node.mark.fail(f"factors.{path} has no levels")
        return tuple(values)

    def _check_configs(
        self,
        base: Mapping[str, Any],
        base_sets: Mapping[str, Set],
        variants: Mapping[str, Mapping[str, Any]],
        variant_sets: Mapping[str, tuple[Mark, Mapping[str, Set]]],
        factors: Factors | None,
        factor_marks: Mapping[str, Mark],
    ) -> None:
        """Build every configuration once: rules across settings, reported where the setting stands."""
        base_mark = self.root.keys.get("base", self.root.mark)
        # The base alone may be incomplete on purpose, if every variant completes it.
        for row in _rows(variants, factors):
            try:
                build_config(fields.nest({**base, **row.overrides}))
            except ValidationError as error:
                named = [mark for path, mark in factor_marks.items() if path in row.factors]
                if named:
                    fields.fail_whole(error, {}, named[0], f"row {row.variant}")
                mark, given = variant_sets.get(row.variant, (base_mark, {}))
                what = f"variant {row.variant}" if row.overrides else "base"
                fields.fail_whole(error, given or base_sets, mark, what)

    def _check_unique(self, rows: Sequence[str]) -> None:
        for name in rows:
            if rows.count(name) > 1:
                self.root.keys["factors"].fail(f"two rows of the study would be called '{name}'")

    def _report(self, rows: Sequence[str]) -> ReportConfig:
        report: ReportConfig = self._section("report", ReportConfig)
        if report.components:
            columns = self.items["report"].mapping("report")["components"].mapping("report.components")
            for label, node in columns.items():
                fields.known_path(str(node.value), ModelConfig, node.mark, f"report.components.{label}")
        if report.baseline is None:
            return replace(report, baseline=rows[0])
        if report.baseline not in rows:
            node = self.items["report"].mapping("report")["baseline"]
            node.mark.fail(
                f"report.baseline: no variant is called '{report.baseline}'",
                hint=suggestion(report.baseline, rows),
            )
        return report

    @staticmethod
    def _seeds(what: str, node: Located | None, start: int = 0) -> tuple[int, ...]:
        """``5`` -> five seeds from ``start``; a list is taken as it is; () if not given."""
        if node is None:
            return ()
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            if node.value < 1:
                node.mark.fail(f"{what}: {node.value} is outside the allowed range [1, inf)")
            return tuple(range(start, start + node.value))
        if not isinstance(node.value, list) or not node.value:
            node.mark.fail(
                f"{what}: expected a number of seeds or a list of them, got {shown(node.plain())}"
            )
        seeds: list[int] = []
        for item in node.value:
            if not isinstance(item.value, int) or isinstance(item.value, bool) or item.value < 0:
                item.mark.fail(f"{what}: a seed is a whole number from 0, got {shown(item.plain())}")
            if item.value in seeds:
                item.mark.fail(f"{what}: the seed {item.value} is given twice")
            seeds.append(item.value)
        return tuple(seeds)

    def _claims(self, rows: Sequence[str], data: DataConfig, report: ReportConfig) -> tuple[Claim, ...]:
        node = self.items.get("claims")
        if node is None or node.value is None:
            return ()
        if "search" in self.items:
            self.root.keys["claims"].fail(
                "a search has no claims: its one question is whether the winner beats the base"
            )
        claims: list[Claim] = []
        for item in node.sequence("claims"):
            claim = parse_claim(
                item, variants=rows, categories=known_categories(data), primary=report.primary
            )
            if claim in claims:
                item.mark.fail(f"the claim '{claim}' is given twice")
            claims.append(claim)
        return tuple(claims)

    def _search(self, seeds: tuple[int, ...], data: DataConfig) -> SearchConfig | None:
        node = self.items.get("search")
        if node is None:
            return None
        items = dict(node.mapping("search"))
        mark = self.root.keys["search"]
        if "space" not in items:
            mark.fail("missing key 'space' in search", hint="e.g. space: {tail.q: {low: 0.01, high: 0.2}}")
        space_node = items.pop("space")
        own = {key: items.pop(key) for key in ("seeds", "fresh_seeds") if key in items}
        flat: SearchFields = fields.build(
            SearchFields, fields.flatten(replace(node, value=items), SearchFields, "search"), mark, "search"
        )
        searched = self._seeds("search.seeds", own.get("seeds")) or seeds
        fresh = self._seeds("search.fresh_seeds", own.get("fresh_seeds"), start=max(searched) + 1)
        reused = sorted(set(fresh) & set(searched))
        if reused:
            own["fresh_seeds"].mark.fail(
                f"search.fresh_seeds: the search itself uses {', '.join(map(str, reused))}",
                hint="the winner must be judged on seeds it was not chosen by",
            )
        known = known_categories(data)
        for name in flat.categories or ():
            if known is not None and name not in known:
                node.keys["categories"].fail(
                    f"search.categories: unknown category '{name}'", hint=suggestion(name, known)
                )
        space = fields.flatten(space_node, ModelConfig, "search.space")
        if not space:
            node.keys["space"].fail("search.space names no setting")
        known_leaves = fields.leaves(ModelConfig)
        return SearchConfig(
            space={path: _dimension(known_leaves[path], item.value) for path, item in space.items()},
            sampler=flat.sampler,
            pruner=flat.pruner,
            trials=flat.trials,
            objective=flat.objective,
            seeds=searched,
            fresh_seeds=fresh or tuple(range(max(searched) + 1, max(searched) + 6)),
            categories=flat.categories,
        )


@checked_dataclass(frozen=True, config=SECTION)
class SearchFields:
    """Settings of a search besides its space and seeds."""

    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator, or uniform at random."""
    pruner: Literal["none", "wilcoxon"] = "none"
    """Stop a trial early when a paired test over its runs says it cannot win, or never."""
    trials: Positive = 50
    """Configurations to try."""
    objective: Metric = "image_auroc"
    """Metric to maximise: mean over categories and seeds."""
    categories: tuple[str, ...] | None = None
    """Categories that the objective averages over; all if not given."""


@checked_dataclass(frozen=True, config=SECTION)
class RangeFields:
    low: float
    """Smallest value, included."""
    high: float
    """Largest value, included."""
    log: bool = False
    """Sample on a logarithmic scale."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Distance between neighbouring values."""


def _dimension(leaf: Leaf, node: Located) -> Range | Choices:
    """One entry of a search space, its values checked against the setting."""
    if isinstance(node.value, list):
        values = tuple(fields.check_value(leaf, item) for item in node.value)
        if len(values) < 2:
            node.mark.fail(f"search.space: {leaf.path} has {len(values)} choice(s), nothing to search")
        return Choices(values)
    if not isinstance(node.value, dict):
        node.mark.fail(
            f"search.space: {leaf.path} needs {{low, high, log, step}} or a list of choices, "
            f"got {shown(node.plain())}"
        )
    given = fields.flatten(node, RangeFields, f"search.space.{leaf.path}")
    bounds = fields.build(RangeFields, given, node.mark, f"search.space.{leaf.path}")
    if not leaf.is_number:
        node.mark.fail(f"search.space: {leaf.path} is not a number", hint="give a list of choices")
    for end in ("low", "high"):
        fields.check_value(leaf, given[end].value)
    low_mark = given["low"].value.mark
    if bounds.low >= bounds.high:
        low_mark.fail(f"search.space: {leaf.path} has low {bounds.low:g} >= high {bounds.high:g}")
    if bounds.log and bounds.low <= 0:
        low_mark.fail(f"search.space: {leaf.path} is logarithmic, so low must be positive")
    if bounds.log and bounds.step is not None:
        given["step"].key.fail(f"search.space: {leaf.path} cannot have both log and step")
    integer = not leaf.is_float
    if integer and bounds.step is not None and bounds.step != int(bounds.step):
        given["step"].value.mark.fail(
            f"search.space: {leaf.path} takes whole numbers, so step must be whole"
        )
    return Range(bounds.low, bounds.high, bounds.log, bounds.step, integer)


STUDY_KEYS: Mapping[str, str] = {
    "study": "the study's name, also its results folder",
    "data": "dataset, root, categories, setting; e.g. data: {dataset: stripes}",
    "base": "preset and settings shared by every variant",
    "variants": "named rows: name -> {dotted path: value}",
    "factors": "design (grid or one-at-a-time) and levels: dotted path -> [values]",
    "seeds": "number of replicates (3 if left out), or a list of seeds",
    "claims": "what the paper will say: left > right on category by metric",
    "report": "baseline, primary metric, aupro, alpha, components",
    "search": "space, sampler, pruner, trials, objective, seeds, fresh_seeds, categories",
    "keep": "weights: true|false, maps: how many",
}
"""Keys of a study file, and what each is for."""


def categories_checked(spec: StudySpec, categories: Iterable[str]) -> None:
    """Check the spec against the categories that the dataset turned out to have.

    Raises
    ------
    ConfigError: a claim or the search names another one.
    """
    known = tuple(categories)
    where = str(spec.path)

    def fail(what: str, name: str) -> NoReturn:
        raise ConfigError(
            f"{what} names an unknown category '{name}'", where=where, hint=suggestion(name, known)
        )

    for claim in spec.claims:
        if claim.category is not None and claim.category not in known:
            fail(f"the claim '{claim}'", claim.category)
    for name in (spec.search.categories or ()) if spec.search else ():
        if name not in known:
            fail("search.categories", name)
