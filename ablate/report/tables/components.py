"""Component columns: what a variant is made of, as check marks or values, as papers print it."""

from __future__ import annotations

from ablate.evidence.results import Results
from ablate.report.table import Cell
from ablate.report.words import CHECK, setting_text

MAX_COMPONENTS = 6
"""More component columns than this tell a reader less than the spec does."""


def components(results: Results) -> list[tuple[str, dict[str, bool | str]]]:
    """Component columns: header and, per variant, a check mark or the setting's value.

    Derived from what the named variants override: a setting with two values gets check marks at the
    value that the baseline does *not* have (the header names it), a setting with more shows its value.
    Nothing is derived where no setting is shared by two variants: the variant's name says as much.
    Columns that the spec names (``report.components``) are shown as named, checked where the setting
    is not the baseline's.
    """
    variants = [v for v in results.variants if v in results.settings]
    if results.components:
        off_values = results.settings.get(results.baseline, {})
        return [
            (label, {v: results.settings[v].get(path) != off_values.get(path) for v in variants})
            for label, path in results.components.items()
        ]
    found: list[tuple[str, dict[str, bool | str]]] = []
    shared = False
    base = results.settings.get(results.baseline, {})
    for path in dict.fromkeys(p for v in variants for p in results.overrides.get(v, {})):
        values = {v: setting_text(results.settings[v].get(path)) for v in variants}
        off = setting_text(base.get(path))
        distinct = set(values.values())
        if len(distinct) < 2:
            continue
        short = path if path.count(".") == 0 else path.split(".", 1)[1]
        if len(distinct) == 2 and off in distinct:
            on = next(iter(distinct - {off}))
            found.append((f"{short} = {on}", {v: values[v] == on for v in variants}))
        else:
            found.append((path, dict(values)))
        shared = shared or max(sum(x == y for x in values.values()) for y in distinct - {off}) > 1
    return found if shared and 2 <= len(found) <= MAX_COMPONENTS else []


def component_cells(found: list[tuple[str, dict[str, bool | str]]], variant: str) -> list[Cell]:
    """A variant's entries of the component columns."""
    marks = [values.get(variant, "") for _, values in found]
    return [Cell(m if isinstance(m, str) else CHECK if m else "") for m in marks]
