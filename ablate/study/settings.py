"""The records seen from a YAML file: which keys and dotted paths exist, and what each one takes.

The dataclasses are the only definition of a setting. Everything that a study file needs (strict keys,
dotted paths, defaults, descriptions, schemas) is read off them here; ``checking`` compares values.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import SkipJsonSchema

from model.priors.entries import PluginSections, prior_entries

PLUGINS = "plugins."
"""How the paths of plug-ins' settings begin."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One setting: what stands at the end of a dotted path."""

    path: str
    """Dotted, in YAML names, e.g. ``bias.lambda``."""
    description: str
    default: Any
    """Plain data; None also where there is no default."""
    given_default: Any
    """The same as the record holds it."""
    adapter: TypeAdapter[Any]

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the value, with its ``$defs``."""
        return self.adapter.json_schema(by_alias=True)

    @property
    def inline(self) -> bool:
        """Do its keys stand beside the record's own? (see ``ablate.study.spec.of_settings``)"""
        return bool(self.schema.get("x-inline"))

    @property
    def is_float(self) -> bool:
        """Does it take any number (a knob included), rather than whole numbers only?"""
        return any(part.get("type") == "number" for part in [self.schema, *self.schema.get("anyOf", ())])

    @property
    def is_number(self) -> bool:
        """Does it take a number at all?"""
        parts = [self.schema, *self.schema.get("anyOf", ())]
        return any(part.get("type") in ("number", "integer") for part in parts)


def leaves(cls: type) -> Mapping[str, Leaf]:
    """Every setting of a config dataclass by dotted path, in order of definition; plug-ins' ones too."""
    return _leaves_with(cls, tuple(prior_entries()))


def sections(cls: type) -> Mapping[str, type]:
    """Every nested config dataclass of ``cls`` by dotted path; plug-ins' ones too."""
    return _sections_with(cls, tuple(prior_entries()))


# What plug-ins are registered is an argument, because it may change between two calls.


@functools.cache
def _leaves_with(cls: type, _plugged: tuple[str, ...]) -> Mapping[str, Leaf]:
    return {leaf.path: leaf for leaf in _leaves(cls, "")}


@functools.cache
def _sections_with(cls: type, plugged: tuple[str, ...]) -> Mapping[str, type]:
    found: dict[str, type] = {}
    for name, annotation in _members(cls):
        if _is_section(annotation):
            found[name] = annotation
            inside = _sections_with(annotation, plugged)
            found |= {f"{name}.{inner}": part for inner, part in inside.items()}
    return found


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Names and types of what stands in a section."""
    if cls is PluginSections:
        yield from ((name, entry.config) for name, entry in prior_entries().items())
    else:
        yield from ((name, info.annotation) for name, info in _fields(cls))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or annotation is PluginSections
    )


def _fields(cls: type) -> Iterator[tuple[str, Any]]:
    """What a file may give; fields that the JSON schema skips follow from others."""
    for name, info in cls.__pydantic_fields__.items():  # type: ignore[attr-defined]
        if not any(isinstance(part, SkipJsonSchema) for part in info.metadata):  # type: ignore[misc]
            yield info.alias or name, info


@functools.cache
def keys(cls: type) -> Mapping[str, str]:
    """The keys of one mapping of the file, and what each is for."""
    return {name: " ".join((info.description or "").split()) for name, info in _fields(cls)}


@functools.cache
def required(cls: type) -> tuple[str, ...]:
    """The keys that cannot be left out."""
    return tuple(name for name, info in _fields(cls) if info.is_required())


def _leaves(cls: type, prefix: str) -> Iterator[Leaf]:
    if cls is PluginSections:
        for name, part in _members(cls):
            yield from _leaves(part, f"{prefix}{name}.")
        return
    for name, info in _fields(cls):
        if _is_section(info.annotation):
            yield from _leaves(info.annotation, f"{prefix}{name}.")
            continue
        annotation = info.annotation
        for constraint in info.metadata:
            annotation = Annotated[annotation, constraint]
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        yield Leaf(
            path=prefix + name,
            description=" ".join((info.description or "").split()),
            default=adapter.dump_python(default, mode="json", by_alias=True, warnings=False),
            given_default=default,
            adapter=adapter,
        )


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths -> nested mappings."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return nested


def unnest(values: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Nested plain data, as ``dump_config`` gives it -> dotted paths; schedules stay whole.

    Settings of plug-ins that the data leaves out have their defaults.
    """
    parts = sections(cls)
    plugged = {path: leaf for path, leaf in leaves(cls).items() if path.startswith(PLUGINS)}
    found: dict[str, Any] = {}

    def walk(inner: Mapping[str, Any], prefix: str) -> None:
        for name, value in inner.items():
            if prefix + name in parts:
                walk(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value

    walk(values, "")
    return {**found, **{path: leaf.default for path, leaf in plugged.items() if path not in found}}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted paths whose values differ: path -> (value in a, value in b)."""
    paths = dict.fromkeys(itertools.chain(a, b))
    return {path: (a.get(path), b.get(path)) for path in paths if a.get(path) != b.get(path)}
