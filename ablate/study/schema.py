"""JSON schema of a study file, so that editors complete and check it while it is written.

Save it once (``ablate schema --out study.schema.json``) and let a study's first line name it::

    # yaml-language-server: $schema=study.schema.json

Draft 7, because that is what the YAML language server reads. ``ablate`` itself does not use it: its
own messages are better (see ``ablate.study.spec``).
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from ablate.study import settings as fields
from ablate.study.spec import STUDY_KEYS, KeepConfig, RangeFields, ReportConfig, SearchFields
from model.config import ModelConfig
from model.data.config import DataConfig
from model.metric_names import METRICS
from model.presets import PRESETS

MODELINE = "# yaml-language-server: $schema={path}"
"""A study's first line, with which editors find the schema."""

_SEEDS = {
    "description": "Number of replicates (5 is seeds 0 to 4), or a list of seeds.",
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
    ],
}


def study_schema() -> dict[str, Any]:
    """The schema, as plain data ready for ``json.dump``."""
    parts = {
        "model": ModelConfig,
        "data": DataConfig,
        "report": ReportConfig,
        "keep": KeepConfig,
        "search": SearchFields,
        "range": RangeFields,
    }
    refs, definitions = TypeAdapter.json_schemas(
        [(name, "validation", TypeAdapter(cls)) for name, cls in parts.items()],
        by_alias=True,
        ref_template="#/definitions/{model}",
    )
    ref = {name: refs[name, "validation"] for name in parts}
    found: dict[str, Any] = _draft7(definitions["$defs"])
    search = found["SearchFields"]
    settings = _settings(found)
    found["Settings"] = {"type": ["object", "null"], "additionalProperties": False, "properties": settings}
    levels = {path: _list_of(setting) for path, setting in settings.items() if path in _paths()}
    dimensions = {
        path: {"anyOf": [ref["range"], _list_of(setting)], "description": setting["description"]}
        for path, setting in settings.items()
        if path in _paths()
    }
    presets = {
        "description": "Named starting point.",
        "oneOf": [{"const": name, "description": p.summary} for name, p in PRESETS.items()],
    }
    properties: dict[str, Any] = {
        "study": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
        "data": ref["data"],
        "base": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"preset": presets, **settings},
        },
        "variants": {"type": "object", "additionalProperties": {"$ref": "#/definitions/Settings"}},
        "factors": {
            "type": "object",
            "additionalProperties": False,
            "required": ["design"],
            "properties": {"design": {"enum": ["grid", "one-at-a-time"]}, **levels},
        },
        "seeds": _SEEDS,
        "claims": {
            "type": "array",
            "items": {
                "type": "string",
                "pattern": rf"^\S+ +[<>] +\S+( +on +\S+)?( +by +({'|'.join(METRICS)}))?$",
            },
        },
        "report": ref["report"],
        "search": {
            **search,
            "required": ["space"],
            "properties": {
                "space": {"type": "object", "additionalProperties": False, "properties": dimensions},
                **search["properties"],
                "seeds": _SEEDS,
                "fresh_seeds": _SEEDS,
            },
        },
        "keep": ref["keep"],
    }
    for key, what in STUDY_KEYS.items():
        # Beside a $ref, draft 7 ignores everything, so references are wrapped.
        part = properties[key]
        properties[key] = {**({"allOf": [part]} if "$ref" in part else part), "description": what}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ablate study",
        "type": "object",
        "additionalProperties": False,
        "required": ["study", "data"],
        "properties": properties,
        "definitions": found,
    }


def _paths() -> frozenset[str]:
    return frozenset(fields.leaves(ModelConfig))


def _settings(definitions: dict[str, Any]) -> dict[str, Any]:
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


def _list_of(setting: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": setting,
        "minItems": 1,
        "uniqueItems": True,
        "description": setting["description"],
    }


def _draft7(schema: Any) -> Any:
    """Tuples as draft 7 writes them."""
    if isinstance(schema, list):
        return [_draft7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {("items" if key == "prefixItems" else key): _draft7(item) for key, item in schema.items()}
