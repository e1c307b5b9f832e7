"""Priors that plug-ins bring: their settings as sections of the configuration. No torch here.

A plug-in's prior has a name, a frozen dataclass of knobs and a builder. Its knobs stand at
``plugins.NAME.KNOB`` of a configuration. The contract: a section at its defaults is the plain model, bit
for bit; so only sections that depart from them are kept, hashed and built.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import CoreSchema, core_schema

from model.code_identity import check_source
from model.errors import ConfigError
from model.suggest import suggestion

if TYPE_CHECKING:
    from model.priors.plugged import Prior


@dataclass(frozen=True)
class PriorEntry:
    """One prior of a plug-in."""

    name: str
    """What its section of the configuration is called; a Python name."""
    config: type
    """Frozen pydantic dataclass of its knobs (``config=SECTION``); field docstrings become hints.
    Its defaults must be the plain model."""
    build: Callable[[Any], Prior]
    """Settings -> what acts on training; imports torch when it is called, not before."""


_ENTRIES: dict[str, PriorEntry] = {}
_PARAMETERS = "__dataclass_params__"


def register_prior(entry: PriorEntry) -> None:
    """Make ``plugins.<name>`` a section of every configuration, in this process.

    Raises ConfigError if the name is taken, or the settings are no frozen dataclass that has defaults.
    """
    if _ENTRIES.get(entry.name) == entry:
        return
    if entry.name in _ENTRIES:
        raise ConfigError(f"a prior named '{entry.name}' is registered already")
    if not entry.name.isidentifier():
        raise ConfigError(f"'{entry.name}' cannot name a prior: it must be a Python name")
    check_source(entry.build, f"what builds prior '{entry.name}'")
    cls: Any = entry.config
    frozen = isinstance(cls, type) and is_pydantic_dataclass(cls) and getattr(cls, _PARAMETERS).frozen
    if not frozen:
        raise ConfigError(f"the settings of prior '{entry.name}' must be a frozen pydantic dataclass")
    if any(other.config.__name__ == cls.__name__ for other in _ENTRIES.values()):
        raise ConfigError(f"two plug-ins call their settings {cls.__name__}: rename one of them")
    try:
        cls()
    except ValidationError as error:
        raise ConfigError(f"every setting of prior '{entry.name}' needs a default") from error
    _ENTRIES[entry.name] = entry


def prior_entries() -> Mapping[str, PriorEntry]:
    """The registered priors by name."""
    return dict(_ENTRIES)


def prior_entry(name: str) -> PriorEntry:
    """The registered prior of that name. Raises ValueError, with the known ones, if there is none."""
    if name not in _ENTRIES:
        raise ValueError(f"no plug-in has registered a prior '{name}' ({suggestion(name, _ENTRIES)})")
    return _ENTRIES[name]


class PluginSections(Mapping[str, Any]):
    """Settings of the priors that plug-ins bring, by name: those that depart from their defaults.

    Immutable, comparable, hashable; ``sections.NAME`` is a prior's settings, defaults included.
    """

    def __init__(self, sections: Mapping[str, Any] | None = None) -> None:
        given = sections or {}
        self._sections = {name: given[name] for name in sorted(given) if given[name] != type(given[name])()}

    def __getitem__(self, name: str) -> Any:
        return self._sections[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _ENTRIES:
            raise AttributeError(name)  # copying asks before there are any sections
        return self._sections[name] if name in self._sections else _ENTRIES[name].config()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PluginSections) and self._sections == other._sections

    def __hash__(self) -> int:
        return hash(tuple(self._sections.items()))

    def __repr__(self) -> str:
        return f"PluginSections({self._sections!r})"

    def replaced(self, changes: Mapping[str, Mapping[str, Any]]) -> PluginSections:
        """With some fields of some sections replaced: name -> (field -> value)."""
        changed = {name: dataclasses.replace(self._sections[name], **to) for name, to in changes.items()}
        return PluginSections({**self._sections, **changed})

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.plain_serializer_function_ser_schema(_dumped)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object"}


def _validated(values: Any) -> PluginSections:
    if isinstance(values, PluginSections):
        return values
    if not isinstance(values, Mapping):
        raise ValueError("expected the settings of plug-ins, by the names of their priors")
    return PluginSections({str(name): _section(str(name), part) for name, part in values.items()})


def _section(name: str, values: Any) -> Any:
    cls = prior_entry(name).config
    if isinstance(values, cls):
        return values
    try:
        # By way of JSON, as every section: its strict mode takes lists for tuples, never "3" for a number.
        return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in (name, *first["loc"]))
        raise ValueError(f"{path}: {first['msg'].removeprefix('Value error, ')}") from error


def _dumped(sections: PluginSections) -> dict[str, Any]:
    return {
        name: TypeAdapter(type(section)).dump_python(section, mode="json", by_alias=True)
        for name, section in sections.items()
    }
