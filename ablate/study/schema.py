"""JSON schema of a study file, so that editors complete and check it while it is written.

Save it once (``ablate schema --out study.schema.json``) and let a study's first line name it::

    # yaml-language-server: $schema=study.schema.json

Made from :class:`~ablate.study.spec.StudyFile`, as the reader is; only the marks that stand for the
model's settings are filled in here. Draft 7, because that is what the YAML language server reads.
``ablate`` itself does not use it: its own messages are better (see ``ablate.study.reading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from ablate.study import settings as fields
from ablate.study.dimensions import ConditionalChoices, Range
from ablate.study.row_data import VARYING, RowSettings
from ablate.study.spec import LabelledLevel, StudyFile
from model.config import ModelConfig
from model.priors.entries import PluginSections, prior_entries

MODELINE = "# yaml-language-server: $schema={path}"
"""A study's first line, with which editors find the schema."""

_VALUES = {
    "values": {"$ref": "#/definitions/Settings"},
    "row": {"$ref": "#/definitions/RowSettings"},
}
"""Mappings of settings to one value each, written out once."""
_FROM_ENVIRONMENT = {
    "title": "taken from the environment",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
}
_OR_EXPANDED = {"$ref": "#/definitions/FromEnvironment"}
_BESIDE = ("description", "default", "title", "examples")
"""Of a value, what is said about it."""


def study_schema() -> dict[str, Any]:
    """The schema, as plain data ready for ``json.dump``."""
    plugged = {name: entry.config for name, entry in prior_entries().items()}
    parts = (StudyFile, ModelConfig, Range, ConditionalChoices, LabelledLevel, *plugged.values())
    _, generated = TypeAdapter.json_schemas(
        [(cls.__name__, "validation", TypeAdapter(cls)) for cls in parts],
        by_alias=True,
        ref_template="#/definitions/{model}",
    )
    definitions: dict[str, Any] = _draft7(generated["$defs"])
    definitions[PluginSections.__name__] = _mapping(
        {name: {"$ref": f"#/definitions/{cls.__name__}"} for name, cls in plugged.items()}
    )
    kinds = _kinds(definitions)
    definitions = {name: _filled(part, kinds) for name, part in definitions.items()}
    for kind, pointer in _VALUES.items():
        name = pointer["$ref"].rpartition("/")[2]
        definitions[name] = {**_mapping(kinds[kind]), "type": ["object", "null"]}
    definitions = {name: _expandable(part) for name, part in definitions.items()}
    definitions["FromEnvironment"] = _FROM_ENVIRONMENT
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **definitions.pop("StudyFile"),
        "title": "ablate study",
        "definitions": definitions,
    }


# ------------------------------------------------------------------ what stands behind a setting


def _kinds(definitions: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per kind of mapping (see :func:`~ablate.study.spec.of_settings`), its properties."""
    values = _settings(definitions)
    paths = fields.leaves(ModelConfig)
    choices = {path: _list_of(values[path]) for path in paths}
    levels = {path: _list_of(_labelled(values[path])) for path in paths}
    bounds = [{"$ref": f"#/definitions/{cls.__name__}"} for cls in (Range, ConditionalChoices)]
    dimensions = {
        path: {"anyOf": [*bounds, choices[path]], "description": values[path]["description"]}
        for path in paths
    }
    of_data = _of_data(definitions)
    levels |= {path: _list_of(_labelled(part)) for path, part in of_data.items()}
    row = {**values, **of_data, **_nested(of_data)}
    return {"values": values, "row": row, "levels": _tree(levels), "dimensions": _tree(dimensions)}


def _settings(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Every section, and every dotted path, as a property."""
    sections = fields.sections(ModelConfig)
    found: dict[str, Any] = {}
    for path, cls in sections.items():
        text = " ".join((cls.__doc__ or "").split())
        found[path] = {"allOf": [{"$ref": f"#/definitions/{cls.__name__}"}], "description": text}
    for path, leaf in fields.leaves(ModelConfig).items():
        section, _, name = path.rpartition(".")
        owner = sections[section].__name__ if section else "ModelConfig"
        assert name in definitions[owner]["properties"], path
        pointer = {"$ref": f"#/definitions/{owner}/properties/{name}"}
        found[path] = {"allOf": [pointer], "description": leaf.description}
    return found


def _of_data(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``data`` in which rows may differ, by dotted path."""
    known, owners = fields.leaves(RowSettings), fields.sections(RowSettings)
    found: dict[str, Any] = {}
    for path in VARYING:
        section, _, name = path.rpartition(".")
        owner = owners[section].__name__
        assert name in definitions[owner]["properties"], path
        pointer = {"$ref": f"#/definitions/{owner}/properties/{name}"}
        found[path] = {"allOf": [pointer], "description": known[path].description}
    return found


def _nested(of_path: Mapping[str, Any]) -> dict[str, Any]:
    """Their sections, with the same inside by every path that a file may write there."""
    found: dict[str, Any] = {}
    for section in ("data.pseudo", "data"):  # the inner one first: the outer holds it
        inner = {**of_path, **found}.items()
        own = {p.removeprefix(f"{section}."): part for p, part in inner if p.startswith(f"{section}.")}
        text = " ".join((fields.sections(RowSettings)[section].__doc__ or "").split())
        found[section] = {**_mapping(own), "description": text}
    return found


def _tree(of_path: Mapping[str, Any]) -> dict[str, Any]:
    """Properties by dotted path, and the same again nested below their sections."""
    nested: dict[str, Any] = {}
    for section, cls in fields.sections(RowSettings).items():
        inner = {
            path.removeprefix(f"{section}."): part
            for path, part in of_path.items()
            if path.startswith(f"{section}.")
        }
        if inner:
            nested[section] = {**_mapping(inner), "description": " ".join((cls.__doc__ or "").split())}
    return {**nested, **of_path}


def _mapping(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _labelled(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A level: a value, or a value with its label."""
    record = {
        "allOf": [{"$ref": "#/definitions/LabelledLevel"}],
        "properties": {"value": dict(setting)},
    }
    return {"anyOf": [dict(setting), record], "description": setting["description"]}


def _list_of(setting: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": setting,
        "minItems": 1,
        "uniqueItems": True,
        "description": setting["description"],
    }


# --------------------------------------------------------------------------------- the rewriting


def _filled(schema: Any, kinds: Mapping[str, Mapping[str, Any]]) -> Any:
    """A schema whose marks are replaced by the settings they stand for."""
    if isinstance(schema, list):
        return [_filled(item, kinds) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-settings" in schema:
        kind = schema["x-settings"]
        whole = {"allOf": [_VALUES[kind]]} if kind in _VALUES else _mapping(kinds[kind])
        return {**whole, **({"description": schema["description"]} if "description" in schema else {})}
    filled = {key: _filled(item, kinds) for key, item in schema.items()}
    for name, part in schema.get("properties", {}).items():
        if isinstance(part, dict) and part.get("x-inline"):
            del filled["properties"][name]
            filled["properties"].update(kinds[part["x-settings"]])
            filled["required"] = [key for key in filled.get("required", ()) if key != name]
    return filled


def _draft7(schema: Any) -> Any:
    """Tuples as draft 7 writes them; a reference beside other keys wrapped, for it hides them there."""
    if isinstance(schema, list):
        return [_draft7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {("items" if key == "prefixItems" else key): _draft7(item) for key, item in schema.items()}
    if isinstance(found.get("$ref"), str) and len(found) > 1:
        return {"allOf": [{"$ref": found.pop("$ref")}], **found}
    return found


def _expandable(schema: Any, *, inside_any: bool = False) -> Any:
    """A schema in which every value may be ``${NAME:-default}`` instead; keys stay as they are.

    ``inside_any``: an alternative among others, beside which the expansion stands already.
    """
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in found:
            found[key] = {name: _expandable(part) for name, part in found[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), list):
            found[key] = [_expandable(part) for part in found[key]]
        elif key in found:
            found[key] = _expandable(found[key])
    if "anyOf" in found:
        found["anyOf"] = [_expandable(part, inside_any=True) for part in found["anyOf"]]
        if not inside_any and _OR_EXPANDED not in found["anyOf"]:
            found["anyOf"].append(_OR_EXPANDED)
        return found
    narrow = found.get("type") in ("number", "integer", "boolean") or bool(
        {"enum", "const", "oneOf", "pattern"} & set(found)
    )
    if inside_any or not narrow:
        return found
    said = {key: found.pop(key) for key in _BESIDE if key in found}
    return {"anyOf": [found, _OR_EXPANDED], **said}
