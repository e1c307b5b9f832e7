"""A change of a study's incumbent, and the study of two rows that decides about it. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.study.checking import checked_settings, given_settings
from ablate.study.located import parse_yaml
from ablate.study.overrides import override
from ablate.study.problems import Problems
from ablate.study.reading import parse_spec
from ablate.study.row_data import RowSettings, check_varying
from ablate.study.smoke import SMOKE
from ablate.study.spec import StudySpec
from ablate.study.text import flow
from model.errors import ConfigError


@dataclass(frozen=True)
class Change:
    """Settings over the incumbent."""

    name: str
    """Of its file."""
    overrides: Mapping[str, Any]
    """Dotted path -> value."""
    where: str


def read_change(path: Path, env: Mapping[str, str] = os.environ) -> Change:
    """Read a change: a YAML mapping of settings, nested or dotted, as below a variant's name.

    Raises
    ------
    ConfigError: all that is wrong with it, with file, line and column.
    """
    try:
        root = parse_yaml(path.read_text(encoding="utf-8"), str(path), env)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint="check the path") from error
    problems = Problems()
    given = given_settings(root, RowSettings, "a change", problems)
    values = checked_settings(given, RowSettings, problems)
    with problems.noted():
        check_varying(given)
    if not given and not problems:
        root.mark.fail("the change names no setting", hint="e.g. tail.q: 0.02")
    problems.raise_all()
    return Change(path.stem, values, str(path))


def gated_study(
    spec: StudySpec,
    study: str,
    rows: Mapping[str, Mapping[str, Any]],
    alpha: float,
    label: str,
) -> StudySpec:
    """The study that holds a candidate against an incumbent.

    ``rows``: incumbent and candidate, in this order, as dotted paths over the base of ``spec``, whose data,
    seeds, primary metric and margin are kept, and how it was invoked: what ``--set`` changed stands in the
    new study's file, the rest in its invocation. Its one claim, at level ``alpha``: candidate is better.
    ``study``: its name, that of a smoke test included. ``label``: the change's name, which readers see.
    """
    incumbent, candidate = rows
    asked = spec.invocation
    located = parse_yaml(spec.text, str(spec.path), os.environ)
    for given in asked.overrides:
        located = override(located, given, os.environ).root
    root = located.plain()
    kept = {key: root[key] for key in ("data", "base", "keep", "plugins") if key in root}
    seeds: Any = list(spec.seeds)
    if spec.max_seeds is not None:
        seeds = {"start": len(spec.seeds), "max": spec.max_seeds}
    report = {
        "baseline": incumbent,
        "primary": spec.report.primary,
        "aupro": spec.report.aupro,
        "alpha": alpha,
        "margin": spec.report.margin,
    }
    content = {
        "study": study.removesuffix(SMOKE) if asked.smoke else study,
        **kept,
        "variants": {incumbent: dict(rows[incumbent]), candidate: {**rows[candidate], "label": label}},
        "seeds": seeds,
        "claims": [f"{candidate} > {incumbent} by {spec.report.primary}"],
        "report": report,
    }
    lines = "".join(f"{key}: {flow(value)}\n" for key, value in content.items())
    text = f"# A change held against the incumbent of {spec.study}.\n{lines}"
    beside = Path(asked.folder) if asked.folder else None
    made = parse_spec(text, spec.path, (), os.environ, smoke=asked.smoke, beside=beside)
    return replace(made, invocation=replace(made.invocation, threads=asked.threads))
