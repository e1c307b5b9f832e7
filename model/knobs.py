"""What a setting may be: a *knob* is a number or a :class:`Schedule` over training progress (prior A2).

Every section of the configuration is built from these. No torch here: planning a study must stay quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SECTION = ConfigDict(
    extra="forbid", use_attribute_docstrings=True, populate_by_name=True, allow_inf_nan=False
)

Shape = Literal["constant", "linear", "cosine", "exponential", "step"]


@dataclass(frozen=True, config=SECTION)
class Schedule:
    """A knob's value over training progress in [0, 1] (prior A2); inference uses the final value."""

    from_: Annotated[float, Field(alias="from")]
    """Value up to ``begin``."""
    to: float
    """Value from ``end`` on."""
    shape: Shape = "linear"
    """How it moves between: ``step`` jumps half-way; ``constant`` is ``to`` throughout."""
    begin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Progress at which it starts to move."""
    end: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Progress at which it has arrived."""

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.end < self.begin:
            raise ValueError(f"schedule ends ({self.end}) before it begins ({self.begin})")
        if self.shape == "exponential" and (self.from_ <= 0 or self.to <= 0):
            raise ValueError(f"an exponential schedule needs positive ends, got {self.from_} and {self.to}")
        return self


@plain_dataclass(frozen=True)
class Within:
    """Validator of a knob: each value it can take lies in [low, high] (or (low, high]).

    The JSON schema holds the range too, of a plain value and of a schedule's ends.
    """

    low: float
    high: float
    open_low: bool = False

    def _check(self, value: Any) -> Any:
        ends = (value.from_, value.to) if isinstance(value, Schedule) else (value,)
        for end in ends:
            if isinstance(end, (int, float)) and not (
                (self.low < end if self.open_low else self.low <= end) and end <= self.high
            ):
                bracket = "(" if self.open_low else "["
                allowed = f"{bracket}{self.low:g}, {self.high:g}]"
                raise ValueError(f"{end:g} is outside the allowed range {allowed}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        bounds = {"exclusiveMinimum" if self.open_low else "minimum": self.low}
        if math.isfinite(self.high):
            bounds["maximum"] = self.high
        found = handler(schema)
        for part in (found, *found.get("anyOf", ())):
            if part.get("type") in ("number", "integer"):
                part.update(bounds)
            elif "$ref" in part:  # a schedule
                part["properties"] = {"from": dict(bounds), "to": dict(bounds)}
        return found


def within(low: float, high: float, *, open_low: bool = False) -> Within:
    """Validator of a knob: each value it can take lies in [low, high] (or (low, high])."""
    return Within(low, high, open_low)


@plain_dataclass(frozen=True)
class OneOf:
    """Marks text that is one of some names, to which plug-ins may add: a ``Literal`` that can grow."""

    names: Callable[[], Iterable[str]]

    def _check(self, value: str) -> str:
        names = list(self.names())
        if value not in names:
            listed = " or ".join(filter(None, (", ".join(f"'{n}'" for n in names[:-1]), f"'{names[-1]}'")))
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": listed})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.names())}


Knob = float | Schedule
Share = Annotated[Knob, within(0, 1)]
Positive = Annotated[int, Field(ge=1)]
