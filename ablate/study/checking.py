"""What is wrong with a value of a study file, said in one line at the place where it stands.

A value is compared with the record that defines it (see ``settings``); pydantic's list of failed
alternatives becomes one sentence about the alternative that was meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple, NoReturn

from pydantic import TypeAdapter, ValidationError

from ablate.study.located import Located, Mark
from ablate.study.problems import Problems
from ablate.study.settings import Leaf, leaves, nest, sections
from ablate.study.text import shown
from model.suggest import suggestion


class Set(NamedTuple):
    """A setting as written in a file: its value, and where its key stands."""

    value: Located
    key: Mark


def given_settings(node: Located, cls: type, what: str, problems: Problems | None = None) -> dict[str, Set]:
    """A located mapping, nested or dotted or both, as dotted path -> value; keys are strict.

    ``problems``: note mistakes there and leave the keys out, instead of raising.

    Raises
    ------
    ConfigError: unknown key (with did-you-mean), or one path given twice.
    """
    known, parts = leaves(cls), sections(cls)
    found: dict[str, Set] = {}
    noting = Problems() if problems is None else problems

    def walk(node: Located, prefix: str) -> None:
        inside = f"{what}.{prefix[:-1]}" if prefix else what
        for key, item in node.mapping(inside).items():
            with noting.noted():
                take(prefix + key, item, node.keys[key], f"unknown key '{key}' in {inside}", prefix)

    def take(path: str, item: Located, mark: Mark, unknown: str, prefix: str) -> None:
        if path in parts:
            _check_retired(path, item)
            walk(item, path + ".")
        elif path not in known:
            mark.fail(unknown, hint=_unknown_hint(path[len(prefix) :], prefix, cls))
        elif path in found:
            mark.fail(f"'{path}' is given twice", hint=f"first at {found[path].key}")
        else:
            found[path] = Set(item, mark)

    with noting.noted():
        walk(node, "")
    if problems is None:
        noting.raise_all()
    return found


def own_keys(node: Located, cls: type, what: str) -> tuple[dict[str, Located], Located]:
    """A mapping whose record has keys of its own beside the model's settings, taken apart."""
    items = node.mapping(what)
    own = {key: item for key, item in items.items() if key in leaves(cls) and not leaves(cls)[key].inline}
    rest = {key: item for key, item in items.items() if key not in own}
    return own, replace(node, value=rest)


_RETIRED = {
    ("recentre", True): "recentre: {mode: both} is what true meant",
    ("recentre", False): "recentre: {mode: none} is what false meant",
}
"""A section that once was a switch: the old value, and how it is written today."""


def _check_retired(path: str, item: Located) -> None:
    hint = _RETIRED.get((path, item.value)) if isinstance(item.value, bool) else None
    if hint:
        item.mark.fail(f"{path} is no longer {shown(item.value)}", hint=hint)


def _unknown_hint(key: str, prefix: str, cls: type) -> str | None:
    paths = [path[len(prefix) :] for path in (*sections(cls), *leaves(cls)) if path.startswith(prefix)]
    near = suggestion(key, paths, list_all=False)
    if near:
        return near
    return suggestion(key, list(dict.fromkeys(path.partition(".")[0] for path in paths)))


def known_path(path: str, cls: type, mark: Mark, what: str) -> Leaf:
    """The setting at a dotted path, or a :class:`ConfigError` at ``mark``."""
    leaf = leaves(cls).get(path)
    if leaf is None:
        inner = [known for known in leaves(cls) if known.startswith(path + ".")]
        hint = f"name one setting of it: {', '.join(inner)}" if inner else _unknown_hint(path, "", cls)
        mark.fail(f"unknown path '{path}' in {what}", hint=hint)
    return leaf


def check_value(leaf: Leaf, value: Located, section: str = "") -> Any:
    """The value as plain data if the setting accepts it, else a :class:`ConfigError` at its place.

    ``section``: what messages put before the path, where it is not one of the model's.
    """
    parse_value(leaf, value, section)
    return _whole(leaf, value.plain())


def _whole(leaf: Leaf, value: Any) -> Any:
    """``1e4`` is a whole number where one is asked for."""
    whole = isinstance(value, float) and value.is_integer() and leaf.is_number and not leaf.is_float
    return int(value) if whole else value


def parse_value(leaf: Leaf, value: Located, section: str = "") -> Any:
    """As :func:`check_value`; the value as the record holds it."""
    path = f"{section}.{leaf.path}" if section else leaf.path
    try:
        parsed = leaf.adapter.validate_json(json.dumps(_whole(leaf, value.plain())), strict=True)
    except ValidationError as error:
        _explain(leaf, path, value, error)
    _check_unique(leaf, path, value)
    return parsed


def _check_unique(leaf: Leaf, path: str, value: Located) -> None:
    """No item twice in a list that is one of different things."""
    items = value.value if isinstance(value.value, list) else []
    for part in [leaf.schema, *leaf.schema.get("anyOf", ())]:
        for i, item in enumerate(items if part.get("uniqueItems") else ()):
            if item.plain() in [other.plain() for other in items[:i]]:
                what = f"{part['items'].get('title', '')} {shown(item.plain())}".strip()
                item.mark.fail(f"{path}: {what} is given twice")


def build(cls: type, given: Mapping[str, Set], mark: Mark, what: str) -> Any:
    """Check every given value on its own, then the dataclass as a whole (its cross-field rules)."""
    problems = Problems()
    values = {}
    for path, item in given.items():
        with problems.noted():
            values[path] = check_value(leaves(cls)[path], item.value, what)
    problems.raise_all()
    try:
        return TypeAdapter(cls).validate_json(json.dumps(nest(values)), strict=True)
    except ValidationError as error:
        fail_whole(error, given, mark, what)


def fail_whole(error: ValidationError, given: Mapping[str, Set], mark: Mark, what: str) -> NoReturn:
    """Raise what a rule across fields says, at the first given setting of the section it is about."""
    first = error.errors()[0]
    section = ".".join(str(part) for part in first["loc"])
    concerned = [item.key for path, item in given.items() if section and path.startswith(f"{section}.")]
    place = concerned[0] if concerned else mark
    if first["type"] == "missing":
        place.fail(f"missing key '{first['loc'][-1]}' in {what}")
    place.fail(f"{what}: {f'{section}: ' if section else ''}{_text(first)}")


# ------------------------------------------------------------------------------------ messages

_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}


def _text(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _explain(leaf: Leaf, path: str, value: Located, failure: ValidationError) -> NoReturn:
    """Turn pydantic's list of failed alternatives into one line about the alternative that was meant."""
    errors = failure.errors()
    of_schedule = [error for error in errors if _in_schedule(error) and error["type"] != "dataclass_type"]
    meant = of_schedule if isinstance(value.value, dict) and of_schedule else errors
    for error in meant:
        place = _descend(value, error["loc"])
        got = shown(place.plain())
        if error["type"] == "value_error":
            said = _text(error)
            place.mark.fail(f"{path}: {said}", hint=_fraction_hint(said, place.value))
        if error["type"] in _RANGE and isinstance(place.value, (int, float)):
            allowed = _range(error, leaf)
            place.mark.fail(
                f"{path}: {got} is outside the allowed range {allowed}",
                hint=_fraction_hint(allowed, place.value),
            )
        if error["type"] == "unexpected_keyword_argument":
            name = str(error["loc"][-1])
            known = ["from", "to", "shape", "begin", "end"]
            mark = value.keys.get(name, value.mark)
            mark.fail(f"{path}: unknown key '{name}' in a schedule", hint=suggestion(name, known))
        if error["type"] == "missing" and isinstance(error["loc"][-1], str):
            place.mark.fail(f"{path}: a schedule needs '{error['loc'][-1]}'")
        if error["type"] == "literal_error" and isinstance(place.value, str) and len(meant) == 1:
            choices = _choices(error)
            hint = suggestion(place.value, choices, list_all=False)
            place.mark.fail(f"{path}: {got} is not one of {', '.join(choices)}", hint=hint)
    place = _descend(value, meant[0]["loc"])
    expected = expectation(leaf.schema, leaf.schema.get("$defs", {}))
    if place is not value:
        expected = _EXPECTED.get(meant[0]["type"], expected)
        if meant[0]["type"] == "literal_error":
            expected = f"one of {', '.join(_choices(meant[0]))}"
    place.mark.fail(
        f"{path}: expected {expected}, got {shown(place.plain())}",
        hint=_type_hint(place, expected, leaf.schema),
    )


def _fraction_hint(said: str, value: Any) -> str | None:
    """For a value above an allowed range that ends at 1: was it meant in percent?"""
    percent = said.endswith((", 1]", ", 1)")) and isinstance(value, (int, float)) and 1 < value <= 100
    return f"a fraction; {value:g} % is {value / 100:g}" if percent else None


def _choices(error: Mapping[str, Any]) -> list[str]:
    return str(error["ctx"]["expected"]).replace("' or '", "', '").strip("'").split("', '")


def _in_schedule(error: Mapping[str, Any]) -> bool:
    return any("Schedule" in str(part) for part in error["loc"])


def _descend(value: Located, loc: Iterable[int | str]) -> Located:
    """Follow a pydantic location; labels of union members stand for no step in the file."""
    for part in loc:
        keyed = isinstance(value.value, dict) and part in value.value
        indexed = isinstance(value.value, list) and isinstance(part, int) and part < len(value.value)
        value = value.value[part] if keyed or indexed else value
    return value


def _type_hint(place: Located, expected: str, schema: Mapping[str, Any]) -> str | None:
    if isinstance(place.value, str) and "number" in expected:
        words = [str(part["const"]) for part in schema.get("anyOf", ()) if "const" in part]
        number = place.value.replace(".", "", 1).lstrip("+-").isdigit()
        return "without quotes" if number else suggestion(place.value, words, list_all=False)
    if isinstance(place.value, (int, float)) and expected.startswith("text"):
        return "put it in quotes"
    return None


def _range(error: Mapping[str, Any], leaf: Leaf) -> str:
    """The full allowed range; pydantic names only the bound that was broken."""
    keyword = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    ((bound, limit),) = error["ctx"].items()

    def parts(schema: Any) -> Iterator[Mapping[str, Any]]:
        if isinstance(schema, dict):
            yield schema
        for inner in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(inner, (dict, list)):
                yield from parts(inner)

    where = next(part for part in parts(leaf.schema) if part.get(keyword[bound]) == limit)
    low = f"[{where['minimum']:g}" if "minimum" in where else f"({where.get('exclusiveMinimum', -inf):g}"
    high = f"{where['maximum']:g}]" if "maximum" in where else f"{where.get('exclusiveMaximum', inf):g})"
    return f"{low}, {high}"


def expectation(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """What a JSON schema accepts, in words: ``a number or a schedule {from, to, ...}``."""
    if "$ref" in schema:
        inner = defs[schema["$ref"].rpartition("/")[2]]
        return f"a schedule {{{', '.join(inner['properties'])}}}"
    if "anyOf" in schema and "title" in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return " or ".join(expectation(part, defs) for part in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if schema.get("type") == "array":
        count = schema.get("maxItems")
        return "a list" if count is None else f"a list of {count}"
    words = {"number": "a number", "integer": "a whole number", "string": "text"}
    return words.get(schema.get("type", ""), {"boolean": "true or false", "null": "null"}.get(
        schema.get("type", ""), "another value"
    ))  # fmt: skip


def checked_settings(
    sets: Mapping[str, Set], cls: type, problems: Problems | None = None
) -> dict[str, Any]:
    """The values of settings, each checked where it stands.

    ``problems``: note mistakes there and leave the values out, instead of raising.
    """
    known = leaves(cls)
    noting = Problems() if problems is None else problems
    values: dict[str, Any] = {}
    for path, item in sets.items():
        with noting.noted():
            values[path] = check_value(known[path], item.value)
    if problems is None:
        noting.raise_all()
    return values
