"""YAML 1.2 into plain values that remember where they were written.

Unusual here: ``${NAME}`` and ``${NAME:-default}`` are expanded in every string, also unquoted inside
``{...}``, where plain YAML would stumble over the braces. They are masked by characters of the same
width while parsing, so that lines and columns stay true. An unquoted expansion is then read like any
other unquoted text (``${SEEDS:-3}`` is a number); a quoted one stays a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ablate.study.text import shown
from model.errors import ConfigError

_EXPANSION = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}\n]*))?\}")
_OPEN, _CLOSE = "\ue000", "\ue001"
_MASKED = re.compile(rf"\${_OPEN}([A-Za-z_][A-Za-z0-9_]*)(?::-([^{_OPEN}{_CLOSE}\n]*))?{_CLOSE}")
MOST_DEPTH = 40
"""Levels of nesting; a study needs six."""
MOST_VALUES = 100_000
"""Values of a document with its aliases expanded."""
_MOST_BRACKETS = 200
_MOST_DIGITS = 60
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_SECRET = re.compile(r"(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|KEY|APIKEY|CREDENTIAL)S?(_|$)", re.IGNORECASE)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True)
class Mark:
    """A place in a source, counted from 1; ``str`` gives ``file:line:column``."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"

    def fail(self, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise a :class:`ConfigError` that names this place."""
        raise ConfigError(message, where=str(self), hint=hint)


@dataclass(frozen=True)
class Located:
    """A YAML value: a scalar, a list of :class:`Located`, or a mapping from key to :class:`Located`."""

    value: Any
    mark: Mark
    keys: Mapping[str, Mark] = field(default_factory=dict)
    """Where each key of a mapping is written."""

    def plain(self) -> Any:
        """Without places: nested dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def mapping(self, what: str) -> dict[str, Located]:
        """The items, or a :class:`ConfigError` that says what a mapping was expected for."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            self.mark.fail(f"{what} must be a mapping (key: value), got {shown(self.plain())}")
        return self.value

    def sequence(self, what: str) -> list[Located]:
        """The items, or a :class:`ConfigError` that says what a list was expected for."""
        if not isinstance(self.value, list):
            self.mark.fail(f"{what} must be a list, got {shown(self.plain())}")
        return self.value

    def string(self, what: str) -> str:
        """The text, or a :class:`ConfigError`; numbers are not turned into text silently."""
        if not isinstance(self.value, str):
            quoted = "put it in quotes" if isinstance(self.value, (int, float)) else None
            self.mark.fail(f"{what} must be text, got {shown(self.plain())}", hint=quoted)
        return self.value

    def walk(self) -> Iterator[Located]:
        """This value and every value inside it."""
        yield self
        items = self.value.values() if isinstance(self.value, dict) else self.value
        for item in items if isinstance(self.value, (dict, list)) else ():
            yield from item.walk()


class _Reader:
    """One pass over one document's nodes."""

    def __init__(self, source: str, env: Mapping[str, str], placed: bool) -> None:
        self.source = source
        self.env = env
        self.placed = placed
        self.yaml = YAML(typ="safe", pure=True)
        self.open: list[Node] = []
        self.values = 0

    def mark(self, node_mark: Any) -> Mark:
        if not self.placed:
            return Mark(self.source)
        return Mark(self.source, node_mark.line + 1, node_mark.column + 1)

    def parse(self, text: str) -> Located:
        masked = _EXPANSION.sub(lambda found: found.group().replace("{", _OPEN).replace("}", _CLOSE), text)
        try:
            if _brackets(masked) > _MOST_BRACKETS:
                raise RecursionError  # would come of it anyway, seconds later
            node = self.yaml.compose(masked)
        except RecursionError:
            Mark(self.source).fail(f"nested too deeply: more than {MOST_DEPTH} levels")
        except MarkedYAMLError as error:
            place = error.problem_mark or error.context_mark
            problem = " ".join(str(part) for part in (error.context, error.problem) if part)
            (self.mark(place) if place else Mark(self.source)).fail(f"not valid YAML: {problem}")
        except YAMLError as error:  # e.g. a control character: no mark, but a one-line reason
            before = masked[: getattr(error, "position", 0)].split("\n")
            place = (
                Mark(self.source, len(before), len(before[-1]) + 1) if self.placed else Mark(self.source)
            )
            place.fail(f"not valid YAML: {str(error).splitlines()[0]}")
        if node is None:
            return Located(None, Mark(self.source, 1, 1) if self.placed else Mark(self.source))
        return self.read(node)

    def read(self, node: Node) -> Located:
        mark = self.mark(node.start_mark)
        self.values += 1
        if self.values > MOST_VALUES:
            mark.fail(f"more than {MOST_VALUES:,} values", hint="do aliases repeat aliases?")
        if isinstance(node, ScalarNode):
            return self.read_scalar(node, mark)
        if node in self.open:
            mark.fail("an alias refers to a value that contains it")
        if len(self.open) >= MOST_DEPTH:
            mark.fail(f"nested too deeply: more than {MOST_DEPTH} levels")
        self.open.append(node)
        if isinstance(node, MappingNode):
            located = self.read_mapping(node, mark)
        else:
            located = Located([self.read(item) for item in node.value], mark)
        self.open.pop()
        return located

    def read_scalar(self, node: ScalarNode, mark: Mark) -> Located:
        if _MASKED.search(node.value):
            return self.expand(node, mark)
        if str(node.tag) == "tag:yaml.org,2002:timestamp":  # text that looks like a date stays text
            return Located(node.value, mark)
        if str(node.tag) not in _PLAIN_TAGS:
            mark.fail(f"the tag {node.tag} is not used here")
        _check_digits(str(node.tag), node.value, mark)
        return Located(self.yaml.constructor.construct_object(node, deep=True), mark)

    def expand(self, node: ScalarNode, mark: Mark) -> Located:
        def value_of(found: re.Match[str]) -> str:
            name, default = found.groups()
            if _SECRET.search(name):  # specs, plans and logs keep what a study says
                mark.fail(
                    f"the environment variable {name} looks like a secret, and a study is recorded in full",
                    hint="programs that need it read it from the environment themselves",
                )
            # As in the shell: with :- an empty variable counts as unset.
            value = self.env.get(name) or default if default is not None else self.env.get(name)
            if value is None:
                mark.fail(
                    f"the environment variable {name} is not set",
                    hint=f"export {name}=..., or give a default: ${{{name}:-...}}",
                )
            return value

        text = _MASKED.sub(value_of, node.value)
        if node.style is not None:
            return Located(text, mark)
        tag = str(self.yaml.resolver.resolve(ScalarNode, text, (True, False)))
        if tag not in _PLAIN_TAGS:
            return Located(text, mark)
        _check_digits(tag, text, mark)
        typed = ScalarNode(tag, text, node.start_mark, node.end_mark)
        return Located(self.yaml.constructor.construct_object(typed, deep=True), mark)

    def read_mapping(self, node: MappingNode, mark: Mark) -> Located:
        values: dict[str, Located] = {}
        keys: dict[str, Mark] = {}
        merged: list[Located] = []
        for key_node, value_node in node.value:
            key_mark = self.mark(key_node.start_mark)
            if str(key_node.tag) == "tag:yaml.org,2002:merge":
                sources = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                merged += [self.read(source) for source in sources]
                continue
            key = self.read(key_node).value
            if isinstance(key, (dict, list)) or key is None:
                key_mark.fail(f"a key must be text, got {shown(self.read(key_node).plain())}")
            # An unquoted key such as 01 or true is a name: keep it as written.
            name = key if isinstance(key, str) else key_node.value
            if name in keys:
                key_mark.fail(f"duplicate key '{name}'", hint=f"first given in line {keys[name].line}")
            values[name], keys[name] = self.read(value_node), key_mark
        for source in merged:  # own keys win, then earlier sources
            for name, item in source.mapping("what << merges").items():
                if name not in values:
                    values[name], keys[name] = item, source.keys[name]
        return Located(values, mark, keys)


def _brackets(text: str) -> int:
    """How many brackets are open at most; text in quotes counts as well."""
    steps = ((char in "[{") - (char in "]}") for char in text if char in "[]{}")
    return max(accumulate(steps), default=0)


def _check_digits(tag: str, text: str, mark: Mark) -> None:
    if tag in _NUMBERS and len(text) > _MOST_DIGITS:
        mark.fail(f"a number of {len(text):,} characters", hint=f"at most {_MOST_DIGITS}")


def parse_yaml(text: str, source: str, env: Mapping[str, str], *, placed: bool = True) -> Located:
    """Parse one YAML 1.2 document.

    Parameters
    ----------
    text: the document.
    source: what errors call it, usually the file's path.
    env: the environment that ``${NAME}`` is looked up in.
    placed: False where line and column mean nothing, as for a command-line option.

    Raises
    ------
    ConfigError: invalid YAML, a duplicate key, an unset or secret variable, or a document that is nested
        or expands beyond :data:`MOST_DEPTH` and :data:`MOST_VALUES`, with file, line and column.
    """
    return _Reader(source, env, placed).parse(text)
