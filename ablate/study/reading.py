"""A study's YAML file, read into a :class:`~ablate.study.spec.StudySpec`. No torch here.

Everything wrong with the file is reported as ``file:line:column: message (hint)``: a setting is first
checked on its own, where it stands, then with the rest of the configuration it ends up in. Which keys
there are, what they take and what they default to is read off :class:`~ablate.study.spec.StudyFile`.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.study import spec as records
from ablate.study.arms import arm_of
from ablate.study.checking import (
    Set,
    build,
    check_value,
    checked_levels,
    checked_settings,
    fail_whole,
    given_settings,
    known_path,
    parse_value,
)
from ablate.study.claims import Claim, parse_claim
from ablate.study.located import Located, Mark, parse_yaml
from ablate.study.methods import check_read
from ablate.study.overrides import Replaced, applied, override
from ablate.study.plugged import read_plugins
from ablate.study.searching import check_exclusive, read_search
from ablate.study.seeds import most_seeds
from ablate.study.settings import keys, leaves, nest, required, sections, unnest
from ablate.study.smoke import smoke as smoked
from ablate.study.spec import Base, Factors, Invocation, ReportConfig, StudyFile, StudySpec
from ablate.study.text import shown
from model.config import ModelConfig, build_config
from model.data.config import DataConfig
from model.errors import ConfigError
from model.presets import PRESETS
from model.suggest import suggestion

SPEC_FILE = "spec.yaml"
INVOCATION_FILE = "invocation.json"

MOST_BYTES = 1 << 19
"""Size of a study file. Reading YAML with its places takes seconds per megabyte."""
MOST_RUNS = 100_000
"""Cells of a study, unless ``--max-plan`` says otherwise."""


def load_spec(
    path: Path | str,
    overrides: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
    *,
    smoke: bool = False,
    most_runs: int = MOST_RUNS,
) -> StudySpec:
    """Read and validate a study.

    Parameters
    ----------
    path: YAML 1.2 file.
    overrides: ``path=value`` as given to ``--set``, e.g. ``base.train.iterations=100``.
    env: the environment that ``${NAME}`` is looked up in.
    smoke: make it tiny (see :func:`ablate.study.smoke.smoke`).
    most_runs: refuse a study of more rows x seeds.

    Raises
    ------
    ConfigError: anything wrong with the file or an override, with file, line and column.
    """
    path = Path(path)
    return parse_spec(_text_of(path), path, overrides, env, smoke=smoke, most_runs=most_runs)


def load_recorded(folder: Path, env: Mapping[str, str] = os.environ) -> StudySpec:
    """The study that a results folder records, as it was run: ``spec.yaml`` and ``invocation.json``.

    Without an ``invocation.json`` the study was run as its file says.

    Raises
    ------
    ConfigError: a file cannot be read, or is not valid.
    """
    invocation = Invocation()
    path = folder / INVOCATION_FILE
    if path.is_file():
        try:
            invocation = Invocation.from_json(_text_of(path))
        except ValueError as error:
            raise ConfigError(f"cannot read how the study was started: {error}", where=str(path)) from error
    path = folder / SPEC_FILE
    # What has been started was not too large for whoever started it.
    spec = parse_spec(
        _text_of(path),
        path,
        invocation.overrides,
        env,
        smoke=invocation.smoke,
        most_runs=sys.maxsize,
        beside=Path(invocation.folder) if invocation.folder else None,
    )
    spec = replace(spec, invocation=invocation)
    return arm_of(spec, invocation.arm) if invocation.arm else spec


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_BYTES // 1024} KiB", hint="is it a study?")
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {error.start}", hint="save it as UTF-8"
        ) from error


def parse_spec(
    text: str,
    path: Path,
    overrides: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
    *,
    smoke: bool = False,
    most_runs: int = MOST_RUNS,
    beside: Path | None = None,
) -> StudySpec:
    """As :func:`load_spec`, from text that is (or will be) at ``path``.

    beside: where modules of plug-ins lie, if not beside ``path``.
    """
    root = parse_yaml(text, str(path), env)
    folder = (beside or path.parent).resolve()
    plugins = read_plugins(root, folder)
    invocation = Invocation(tuple(overrides))
    if plugins.names:
        invocation = replace(invocation, plugins=plugins.names, folder=str(folder))
    replaced: list[Replaced] = []
    for given in overrides:
        replaced.append(override(root, given, env))
        root = replaced[-1].root
    spec = _Reader(root, most_runs).read(path, text, invocation)
    spec = replace(spec, applied=applied(replaced, spec.preset), metrics=plugins.metrics)
    return smoked(spec) if smoke else spec


class _Reader:
    """Reads the document once, part by part; later parts check against earlier ones."""

    def __init__(self, root: Located, most_runs: int) -> None:
        self.most_runs = most_runs
        if root.value is None:
            root.mark.fail("the file is empty", hint="start with: ablate init NAME")
        self.root = root
        self.items = root.mapping("a study")

    def read(self, path: Path, text: str, invocation: Invocation) -> StudySpec:
        self._check_keys()
        arms = check_exclusive(self.root)
        study = self._study()
        data = self._data()
        preset, base, base_sets = self._base()
        variants, variant_sets = self._variants()
        factors, factor_marks = self._factors()
        seeds = self._value("seeds")
        self._check_number(variants, factors, seeds)
        self._check_configs(base, base_sets, variants, variant_sets, factors, factor_marks)
        all_rows = records.rows_of(variants, factors)
        methods = ({**base, **row.overrides}.get("method", ModelConfig().method) for row in all_rows)
        check_read(base_sets, variant_sets, factor_marks, zip(all_rows, methods, strict=True))
        rows = [row.variant for row in all_rows]
        self._check_unique(rows)
        report = self._report(rows)
        most = most_seeds(self.items["seeds"].plain()) if "seeds" in self.items else None
        search = None
        if "search" in self.items:
            mark = self.root.keys["search"]
            search = read_search(
                self.items["search"], mark, seeds, data, variants=list(variants), most=most
            )
        return StudySpec(
            study=study,
            data=data,
            preset=preset,
            base=base,
            variants=variants,
            factors=factors,
            seeds=seeds,
            claims=self._claims(rows, data, report, arms),
            report=report,
            search=search,
            keep=self._section("keep"),
            path=path,
            text=text,
            invocation=invocation,
            max_seeds=most,
        )

    def _check_keys(self) -> None:
        known = keys(StudyFile)
        for key in self.items:
            if key not in known:
                hint = suggestion(key, known)
                if key in sections(ModelConfig) or key in leaves(ModelConfig):
                    hint = f"settings of the model go under base: or a variant: 'base.{key}'"
                self.root.keys[key].fail(f"unknown key '{key}' in a study", hint=hint)
        for key in required(StudyFile):
            if key not in self.items:
                self.root.mark.fail(f"missing key '{key}'", hint=_as_hint(known[key]))

    def _section(self, key: str) -> Any:
        """A part of the file that is a record of its own, checked; its defaults if not given."""
        cls = sections(StudyFile)[key]
        if key not in self.items:
            return cls()
        node, mark = self.items[key], self.root.keys[key]
        return build(cls, given_settings(node, cls, key), mark, key)

    def _value(self, key: str) -> Any:
        """A single value of the file, as its record parses it; the default if not given."""
        leaf = leaves(StudyFile)[key]
        return parse_value(leaf, self.items[key]) if key in self.items else leaf.given_default

    def _study(self) -> str:
        node = self.items["study"]
        name = node.string("study")
        if not re.fullmatch(records.STUDY_NAME, name):
            node.mark.fail(
                f"study: {shown(name)} cannot name a folder",
                hint="letters, digits, '.', '_' and '-', starting with a letter or digit",
            )
        return name

    def _data(self) -> DataConfig:
        data: DataConfig = self._section("data")
        known = records.STRIPES_CATEGORIES if data.dataset == "stripes" else None
        if data.categories is None:
            return data
        given = given_settings(self.items["data"], DataConfig, "data")["categories"].value
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
        own, rest = _own_keys(node, Base, "base")
        preset = own["preset"].string("base.preset") if "preset" in own else None
        if preset is not None and preset not in PRESETS:
            own["preset"].mark.fail(
                f"base.preset: unknown preset {shown(preset)}", hint=f"known: {', '.join(PRESETS)}"
            )
        sets = given_settings(rest, ModelConfig, "base")
        values = unnest(PRESETS[preset].values, ModelConfig) if preset else {}
        return preset, {**values, **checked_settings(sets)}, sets

    def _variants(self) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[Mark, dict[str, Set]]]]:
        node = self.items.get("variants")
        if node is None:
            return {}, {}
        values: dict[str, dict[str, Any]] = {}
        sets: dict[str, tuple[Mark, dict[str, Set]]] = {}
        for name, item in node.mapping("variants").items():
            mark = node.keys[name]
            if not re.fullmatch(records.VARIANT_NAME, name):
                mark.fail(f"{shown(name)} cannot name a variant", hint="no spaces, slashes, < or >")
            twin = next((other for other in values if other.casefold() == name.casefold()), None)
            if twin is not None:
                mark.fail(f"variants '{twin}' and '{name}' differ in case only")
            given = given_settings(item, ModelConfig, f"variants.{name}")
            values[name], sets[name] = checked_settings(given), (mark, given)
        if not values:
            self.root.keys["variants"].fail("variants is empty", hint="name at least one: baseline: {}")
        return values, sets

    def _factors(self) -> tuple[Factors | None, dict[str, Mark]]:
        node = self.items.get("factors")
        if node is None:
            return None, {}
        own, rest = _own_keys(node, Factors, "factors")
        design = leaves(Factors)["design"]
        if "design" not in own:
            choices = " or ".join(design.schema["enum"])
            self.root.keys["factors"].fail("missing key 'design' in factors", hint=choices)
        chosen = check_value(design, own["design"], "factors")
        given = given_settings(rest, ModelConfig, "factors")
        if not given:
            self.root.keys["factors"].fail("factors names no setting", hint="e.g. tail.q: [0.01, 0.02]")
        levels = {path: checked_levels(path, item.value) for path, item in given.items()}
        return Factors(chosen, levels), {path: item.key for path, item in given.items()}

    def _check_number(
        self,
        variants: Mapping[str, Mapping[str, Any]],
        factors: Factors | None,
        seeds: Sequence[int],
    ) -> None:
        """Refuse a study that is too large to be meant, before it is expanded."""
        runs = records.count_rows(variants, factors) * len(seeds)
        if runs > self.most_runs:
            self.root.mark.fail(f"this plan has {runs:,} runs", hint="--max-plan raises the limit")

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
        for row in records.rows_of(variants, factors):
            try:
                build_config(nest({**base, **row.overrides}))
            except ValidationError as error:
                named = [mark for path, mark in factor_marks.items() if path in row.factors]
                if named:
                    fail_whole(error, {}, named[0], f"row {row.variant}")
                mark, given = variant_sets.get(row.variant, (base_mark, {}))
                what = f"variant {row.variant}" if row.overrides else "base"
                fail_whole(error, given or base_sets, mark, what)

    def _check_unique(self, rows: Sequence[str]) -> None:
        for name, count in Counter(rows).items():
            if count > 1:
                self.root.keys["factors"].fail(f"two rows of the study would be called '{name}'")

    def _report(self, rows: Sequence[str]) -> ReportConfig:
        report: ReportConfig = self._section("report")
        if report.components:
            columns = self.items["report"].mapping("report")["components"].mapping("report.components")
            for label, node in columns.items():
                known_path(str(node.value), ModelConfig, node.mark, f"report.components.{label}")
        if report.baseline is None:
            return replace(report, baseline=rows[0])
        if report.baseline not in rows:
            node = self.items["report"].mapping("report")["baseline"]
            node.mark.fail(
                f"report.baseline: no variant is called '{report.baseline}'",
                hint=suggestion(report.baseline, rows),
            )
        return report

    def _claims(
        self, rows: Sequence[str], data: DataConfig, report: ReportConfig, arms: bool
    ) -> tuple[Claim, ...]:
        node = self.items.get("claims")
        if node is None or node.value is None:
            return ()
        if "search" in self.items and not arms:
            self.root.keys["claims"].fail(
                "a search has no claims: its one question is whether the winner beats the base"
            )
        claims: list[Claim] = []
        categories = records.known_categories(data)
        for item in node.sequence("claims"):
            stated = parse_claim(
                item, variants=rows, categories=categories, primary=report.primary, margin=report.margin
            )
            for claim in stated:
                self._check_claim(item.mark, claim, claims)
                claims.append(claim)
        return tuple(claims)

    def _check_claim(self, mark: Mark, claim: Claim, earlier: Sequence[Claim]) -> None:
        """Refuse a claim that repeats or mirrors another: one of the two would be a second chance."""
        if claim in earlier:
            mark.fail(f"the claim '{claim}' is given twice")
        for other in earlier:
            if claim.canonical == other.canonical:
                mark.fail(f"the claim '{claim}' says the same as '{other}'")
            if claim.opposite is not None and claim.opposite.canonical == other.canonical:
                mark.fail(
                    f"the claim '{claim}' is the opposite of '{other}'",
                    hint="a claim is refuted where its opposite holds: keep one of the two",
                )


def _own_keys(node: Located, cls: type, what: str) -> tuple[dict[str, Located], Located]:
    """A mapping whose record has keys of its own beside the model's settings, taken apart."""
    items = node.mapping(what)
    own = {key: item for key, item in items.items() if key in leaves(cls) and not leaves(cls)[key].inline}
    rest = {key: item for key, item in items.items() if key not in own}
    return own, replace(node, value=rest)


def _as_hint(description: str) -> str:
    """A field's docstring as the end of a sentence."""
    return description[:1].lower() + description[1:].rstrip(".")
