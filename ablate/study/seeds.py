"""Replicates of a study, as its file writes them: how many, which, or from how many to how many."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

MOST_SEEDS = 1_000_000


def _count_to_seeds(value: Any) -> Any:
    """``5`` -> seeds 0 to 4; anything else is left to the checks of a list."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"{value} is outside the allowed range [1, inf)")
        if value > MOST_SEEDS:
            raise ValueError(f"{value} seeds; at most {MOST_SEEDS} can be counted out")
        return tuple(range(value))
    # After a function, pydantic's strict mode no longer takes JSON's lists for tuples.
    return tuple(value) if isinstance(value, list) and value else value


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(_count_to_seeds),
    WithJsonSchema(
        {
            "title": "a number of seeds or a list of them",
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"title": "the seed", "type": "integer", "minimum": 0},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ],
        }
    ),
]
"""Replicates: how many (5 is seeds 0 to 4), or which."""


def _start_to_seeds(value: Any) -> Any:
    """``{start: 5, max: 20}`` -> seeds 0 to 4 (:func:`most_seeds` reads the other); else as above."""
    if not isinstance(value, dict):
        return _count_to_seeds(value)
    start, most = value.get("start"), value.get("max")
    if set(value) != {"start", "max"} or type(start) is not int or type(most) is not int:
        raise ValueError("write: {start: 5, max: 20}")
    if not 2 <= start <= most <= MOST_SEEDS:
        raise ValueError(f"need 2 <= start <= max <= {MOST_SEEDS}, got {start} and {most}")
    return tuple(range(start))


def most_seeds(value: Any) -> int | None:
    """``max`` of valid seeds, plain data; None where they are fixed."""
    return int(value["max"]) if isinstance(value, dict) else None


StudySeeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(_start_to_seeds),
    WithJsonSchema(
        {
            "title": "a number of seeds, a list of them, or {start, max}",
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"title": "the seed", "type": "integer", "minimum": 0},
                    "minItems": 1,
                    "uniqueItems": True,
                },
                {
                    "type": "object",
                    "properties": {
                        "start": {"type": "integer", "minimum": 2},
                        "max": {"type": "integer", "minimum": 2},
                    },
                    "required": ["start", "max"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]
"""The same of a study, which may also be run until its claims are decided."""
