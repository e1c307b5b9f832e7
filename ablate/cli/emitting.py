"""Printing the records of :mod:`ablate.cli.output`, and what documentation and schemas say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ablate.cli.output import OUTPUTS, Shown, ShownRow, Value
from ablate.study.effects import idle_settings
from ablate.study.resolved import base_values, resolve
from ablate.study.spec import StudySpec
from ablate.study.text import json_text
from model.errors import ConfigError
from model.suggest import suggestion

if TYPE_CHECKING:
    import pandas as pd


def schema_of(command: str) -> dict[str, Any]:
    """As :func:`output_schema`, of a command that a user names. Raises ConfigError for an unknown one."""
    if command not in OUTPUTS:
        raise ConfigError(f"no output of '{command}' is described", hint=suggestion(command, OUTPUTS))
    return output_schema(command)


def output_schema(command: str) -> dict[str, Any]:
    """JSON schema of what a command prints with ``--json``; of one line where it prints several."""
    adapter: TypeAdapter[Any] = TypeAdapter(OUTPUTS[command])
    return adapter.json_schema(mode="serialization")


def emit(record: Any) -> None:
    """Print a record, or a list of records, as one JSON document."""
    print(json_text(record, indent=1))


def shown(spec: StudySpec, only: str | None) -> Shown:
    """A study resolved; ``only``: besides the baseline, just this variant.

    Raises :class:`ConfigError` if no variant is called so.
    """
    resolved = resolve(spec)
    if only is not None and only not in [row.variant for row in resolved]:
        hint = suggestion(only, [row.variant for row in resolved])
        raise ConfigError(f"no variant is called '{only}' in {spec.study}", hint=hint)
    labels = spec.labels
    rows = [
        ShownRow(
            row.variant,
            labels.get(row.variant, row.variant),
            base_values(spec) if row.variant == spec.baseline else row.changes,
        )
        for row in resolved
        if only is None or row.variant in (only, spec.baseline)
    ]
    return Shown(
        study=spec.study,
        dataset=spec.data.dataset,
        setting=spec.data.setting,
        preset=spec.preset,
        seeds=spec.seeds,
        primary=spec.report.primary,
        baseline=spec.baseline,
        claims=tuple(map(str, spec.claims)),
        warnings=idle_settings(spec),
        rows=tuple(rows),
    )


def metric_values(frame: pd.DataFrame) -> tuple[Value, ...]:
    """A frame of metrics, row by row."""
    columns = ["split", "category", "stratum", "metric", "value"]
    return tuple(
        Value(str(split), str(category), str(stratum), str(metric), float(x))
        for split, category, stratum, metric, x in frame[columns].itertuples(index=False, name=None)
    )


def reference() -> str:
    """The part of ``docs/json.md`` that follows from the records."""
    lines: list[str] = []
    said: dict[str, str] = {}
    for command, kind in OUTPUTS.items():
        schema = output_schema(command)
        defs = schema.get("$defs", {})
        parts = [part for part in _records(schema, defs) if part]
        many = "A list: " if schema.get("type") == "array" else "A line: " if len(parts) > 1 else ""
        lines += [f"### `{command}`", ""]
        if str(kind) in said:
            lines += [f"As `{said[str(kind)]}`.", ""]
            continue
        said[str(kind)] = command
        for part in parts:
            text = " ".join(str(part.get("description", "")).split())
            lines += [f"{many}{text}" if many else text, "", "| key | what |", "|---|---|"]
            for key, value in part["properties"].items():
                meant = " ".join(str(value.get("description", "")).split())
                lines.append(f"| `{key}` | {meant or _kind(value)} |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _records(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "properties" in schema:
        return [schema]
    if "$ref" in schema:
        return _records(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "items" in schema:
        return _records(schema["items"], defs)
    return [found for part in schema.get("anyOf", ()) for found in _records(part, defs)]


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value, in words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    words = {
        "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
        "array": "a list", "object": "an object", "null": "null",
    }  # fmt: skip
    return words.get(str(schema.get("type")), "an object")
