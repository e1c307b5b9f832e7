"""What a study's document says, checked part by part. No torch here.

Everything wrong with it is reported as ``file:line:column: message (hint)``: a setting is first checked on
its own, where it stands, then with the rest of the configuration it ends up in. Which keys there are, what
they take and what they default to is read off :class:`~ablate.study.spec.StudyFile`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ablate.study import spec as records
from ablate.study.checking import (
    Set,
    build,
    checked_settings,
    fail_whole,
    given_settings,
    known_path,
    own_keys,
    parse_value,
)
from ablate.study.claims import Claim, read_claims
from ablate.study.levels import check_label, read_factors
from ablate.study.located import Located, Mark
from ablate.study.methods import check_read
from ablate.study.problems import Problems
from ablate.study.row_data import RowSettings, check_no_data, check_varying, of_model
from ablate.study.rows import Row, count_rows, labels_of, rows_of
from ablate.study.searching import check_exclusive, read_search
from ablate.study.seeds import most_seeds
from ablate.study.settings import keys, leaves, nest, required, sections, unnest
from ablate.study.slurm import SlurmConfig
from ablate.study.spec import (
    Base,
    Factors,
    Invocation,
    KeepConfig,
    ReportConfig,
    SearchConfig,
    StudyFile,
    StudySpec,
    Variant,
)
from ablate.study.text import shown
from model.config import ModelConfig, build_config
from model.data.config import DataConfig
from model.presets import PRESETS
from model.suggest import suggestion


def read_document(
    root: Located, path: Path, text: str, invocation: Invocation, most_runs: int
) -> StudySpec:
    """The study that a document describes.

    Parameters
    ----------
    root: the document, overrides applied.
    path, text, invocation: where it came from, as the study records it.
    most_runs: refuse a study of more rows x seeds.

    Raises
    ------
    ConfigError: anything wrong with it, with file, line and column.
    """
    return _Reader(root, most_runs).read(path, text, invocation)


class _BaseParts(NamedTuple):
    preset: str | None
    values: dict[str, Any]
    sets: dict[str, Set]


class _VariantParts(NamedTuple):
    values: dict[str, dict[str, Any]]
    sets: dict[str, tuple[Mark, dict[str, Set]]]
    labels: dict[str, str]


class _FactorParts(NamedTuple):
    factors: Factors | None
    marks: dict[str, Mark]


class _Reader:
    """Reads the document once, part by part; later parts check against earlier ones."""

    def __init__(self, root: Located, most_runs: int) -> None:
        self.most_runs = most_runs
        if root.value is None:
            root.mark.fail("the file is empty", hint="start with: ablate init NAME")
        self.root = root
        self.items = root.mapping("a study")
        self.problems = Problems()

    def read(self, path: Path, text: str, invocation: Invocation) -> StudySpec:
        noted, attempt = self.problems.noted, self.problems.attempt
        self._check_keys()
        arms = attempt(lambda: check_exclusive(self.root), False)
        study = attempt(self._study, "")
        data = attempt(self._data, None)
        preset, base, base_sets = attempt(self._base, _BaseParts(None, {}, {}))
        variants, variant_sets, labels = attempt(self._variants, _VariantParts({}, {}, {}))
        factors, factor_marks = attempt(self._factors, _FactorParts(None, {}))
        seeds = attempt(lambda: self._value("seeds"), (0,))
        rows_known = not self.problems
        if rows_known:
            # Else what follows would only follow from what is wrong already.
            self._check_number(variants, factors, seeds)
            self._check_configs(base, base_sets, variants, variant_sets, factors, factor_marks)
            rows = rows_of(variants, factors)
            methods = ({**base, **row.overrides}.get("method", ModelConfig().method) for row in rows)
            with noted():
                check_read(base_sets, variant_sets, factor_marks, zip(rows, methods, strict=True))
            with noted():
                self._check_unique(rows, labels_of(variants, factors, labels), variant_sets, factor_marks)
        # Names are known where only settings are wrong.
        named = rows_known or ("factors" not in self.items and bool(variants))
        names = [row.variant for row in rows_of(variants, factors)] if named else []
        report = attempt(lambda: self._report(names), ReportConfig())
        claims: tuple[Claim, ...] = ()
        if names:
            claims = attempt(lambda: self._claims(names, data, report, arms), claims)
        most = most_seeds(self.items["seeds"].plain()) if "seeds" in self.items and rows_known else None
        search = attempt(lambda: self._search(seeds, data, variants if arms else None, most), None)
        keep = attempt(lambda: self._section("keep"), KeepConfig())
        slurm = attempt(lambda: self._section("slurm"), SlurmConfig())
        self.problems.raise_all()
        assert data is not None
        return StudySpec(
            study=study,
            data=data,
            preset=preset,
            base=base,
            variants=variants,
            factors=factors,
            seeds=seeds,
            claims=claims,
            report=report,
            search=search,
            keep=keep,
            slurm=slurm,
            path=path,
            text=text,
            invocation=invocation,
            variant_labels=labels,
            max_seeds=most_seeds(self.items["seeds"].plain()) if "seeds" in self.items else None,
            marks=_marks(base_sets, variant_sets, factor_marks),
        )

    def _factors(self) -> _FactorParts:
        if "factors" not in self.items:
            return _FactorParts(None, {})
        return _FactorParts(*read_factors(self.items["factors"], self.root.keys["factors"]))

    def _search(
        self,
        seeds: tuple[int, ...],
        data: DataConfig | None,
        arms: Mapping[str, Mapping[str, Any]] | None,
        most: int | None,
    ) -> SearchConfig | None:
        compared = {"variants", "factors"} & set(self.items)
        if "search" not in self.items or data is None or (compared and arms is None):
            return None
        mark = self.root.keys["search"]
        return read_search(
            self.items["search"], mark, seeds, data, variants=arms, most=most, most_runs=self.most_runs
        )

    def _check_keys(self) -> None:
        known = keys(StudyFile)
        meant = ""
        for key in self.items:
            if key not in known:
                hint = suggestion(key, known)
                meant += hint or ""
                if key in sections(ModelConfig) or key in leaves(ModelConfig):
                    hint = f"settings of the model go under base: or a variant: 'base.{key}'"
                with self.problems.noted():
                    self.root.keys[key].fail(f"unknown key '{key}' in a study", hint=hint)
        for key in required(StudyFile):
            if key not in self.items and f"'{key}'" not in meant:
                with self.problems.noted():
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
        node = self.items.get("study")
        if node is None:
            return ""
        name = node.string("study")
        if not re.fullmatch(records.STUDY_NAME, name):
            node.mark.fail(
                f"study: {shown(name)} cannot name a folder",
                hint="letters, digits, '.', '_' and '-', starting with a letter or digit",
            )
        return name

    def _data(self) -> DataConfig | None:
        if "data" not in self.items:
            return None
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

    def _base(self) -> _BaseParts:
        node = self.items.get("base", Located({}, self.root.mark))
        own, rest = own_keys(node, Base, "base")
        preset = own["preset"].string("base.preset") if "preset" in own else None
        if preset is not None and preset not in PRESETS:
            with self.problems.noted():
                own["preset"].mark.fail(
                    f"base.preset: unknown preset {shown(preset)}", hint=f"known: {', '.join(PRESETS)}"
                )
            preset = None
        values = unnest(PRESETS[preset].values, ModelConfig) if preset else {}
        check_no_data(rest)
        sets = given_settings(rest, ModelConfig, "base", self.problems)
        return _BaseParts(preset, {**values, **checked_settings(sets, ModelConfig, self.problems)}, sets)

    def _variants(self) -> _VariantParts:
        node = self.items.get("variants")
        if node is None:
            return _VariantParts({}, {}, {})
        labels: dict[str, str] = {}
        values: dict[str, dict[str, Any]] = {}
        sets: dict[str, tuple[Mark, dict[str, Set]]] = {}
        for name, item in node.mapping("variants").items():
            mark = node.keys[name]
            # The name is known whatever is wrong with it: claims that use it are not wrong as well.
            values[name], sets[name] = {}, (mark, {})
            with self.problems.noted():
                self._check_variant_name(name, mark, [other for other in values if other != name])
                own, rest = own_keys(item, Variant, f"variants.{name}")
                if "label" in own:
                    with self.problems.noted():
                        labels[name] = check_label(own["label"], f"variants.{name}")
                given = given_settings(rest, RowSettings, f"variants.{name}", self.problems)
                values[name] = checked_settings(given, RowSettings, self.problems)
                sets[name] = (mark, given)
                check_varying(given)
        if not values:
            self.root.keys["variants"].fail("variants is empty", hint="name at least one: baseline: {}")
        return _VariantParts(values, sets, labels)

    def _check_variant_name(self, name: str, mark: Mark, others: Sequence[str]) -> None:
        if not re.fullmatch(records.VARIANT_NAME, name):
            mark.fail(f"{shown(name)} cannot name a variant", hint="no spaces, slashes, < or >")
        twin = next((other for other in others if other.casefold() == name.casefold()), None)
        if twin is not None:
            mark.fail(f"variants '{twin}' and '{name}' differ in case only")

    def _check_number(
        self,
        variants: Mapping[str, Mapping[str, Any]],
        factors: Factors | None,
        seeds: Sequence[int],
    ) -> None:
        """Refuse a study that is too large to be meant, before it is expanded."""
        runs = count_rows(variants, factors) * len(seeds)
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
        # The base alone may be incomplete on purpose, if every variant completes it; what is wrong with it
        # and with the variants alike is said once.
        told = {_complaint(base)}
        for row in rows_of(variants, factors):
            try:
                build_config(nest({**base, **of_model(row.overrides)}))
            except ValidationError as error:
                complaint = str(error.errors()[0]["msg"])
                if complaint in told and self.problems:
                    continue
                named = [mark for path, mark in factor_marks.items() if path in row.factors]
                mark, given = variant_sets.get(row.variant, (base_mark, {}))
                what = f"variant {row.variant}" if row.overrides else "base"
                with self.problems.noted():
                    if named:
                        fail_whole(error, {}, named[0], f"row {row.variant}")
                    fail_whole(error, given or base_sets, mark, what)

    def _check_unique(
        self,
        rows: Sequence[Row],
        labels: Mapping[str, str],
        variants: Mapping[str, tuple[Mark, Any]],
        factors: Mapping[str, Mark],
    ) -> None:
        """No two rows of one name, nor of one label: readers could not tell them apart."""
        for name, count in Counter(row.variant for row in rows).items():
            if count > 1:
                self.root.keys["factors"].fail(f"two rows of the study would be called '{name}'")
        seen: dict[str, str] = {}
        for row in rows:
            shown_as = labels.get(row.variant, row.variant)
            if shown_as in seen:
                mark = next((factors[path] for path in row.factors), None)
                (mark or variants[row.variant][0]).fail(
                    f"'{seen[shown_as]}' and '{row.variant}' would both read '{shown_as}'"
                )
            seen[shown_as] = row.variant

    def _report(self, rows: Sequence[str]) -> ReportConfig:
        report: ReportConfig = self._section("report")
        if report.components:
            columns = self.items["report"].mapping("report")["components"].mapping("report.components")
            for label, node in columns.items():
                known_path(str(node.value), RowSettings, node.mark, f"report.components.{label}")
        if not rows:
            return report
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
        self, rows: Sequence[str], data: DataConfig | None, report: ReportConfig, arms: bool
    ) -> tuple[Claim, ...]:
        node = self.items.get("claims")
        if node is None or node.value is None:
            return ()
        if "search" in self.items and not arms:
            self.root.keys["claims"].fail(
                "a search has no claims: its one question is whether the winner beats the base"
            )
        return read_claims(
            node,
            self.problems,
            variants=rows,
            categories=None if data is None else records.known_categories(data),
            primary=report.primary,
            margin=report.margin,
        )


def _complaint(base: Mapping[str, Any]) -> str:
    """What is wrong with the base alone; empty if nothing is."""
    try:
        build_config(nest(base))
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""


def _marks(
    base: Mapping[str, Set],
    variants: Mapping[str, tuple[Mark, Mapping[str, Set]]],
    factors: Mapping[str, Mark],
) -> dict[tuple[str, str], Mark]:
    """Where settings stand: by part of the file (``base``, ``factors`` or ``variants.NAME``) and path."""
    return {
        **{("base", path): item.key for path, item in base.items()},
        **{("factors", path): mark for path, mark in factors.items()},
        **{
            (f"variants.{name}", path): item.key
            for name, (_, given) in variants.items()
            for path, item in given.items()
        },
    }


def _as_hint(description: str) -> str:
    """A field's docstring as the end of a sentence."""
    return description[:1].lower() + description[1:].rstrip(".")
