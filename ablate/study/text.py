"""A value as text: as YAML writes it on one line, as JSON, as a message quotes it, as a table names it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

_WORDS = {None: "null", True: "true", False: "false"}
_READ_AS_OTHERS = frozenset({"null", "true", "false", "inf", "nan"})


def flow(value: Any, *, quoted: bool = False) -> str:
    """Plain data in YAML's flow style, on one line; reading the text gives the value back.

    Text is quoted where it would read as something else, or always if ``quoted``.
    """
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, Mapping):
        items = (f"{flow(str(key))}: {flow(item, quoted=quoted)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(flow(item, quoted=quoted) for item in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if not isinstance(value, str):
        return repr(value)
    return value if _is_plain(value) and not quoted else _in_quotes(value)


def json_text(value: Any, indent: int | None = None) -> str:
    """A JSON document of plain data and records; numbers that are not finite are null, as JSON has none."""
    return json.dumps(_finite(value), indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    # Parts of a record may be plain data already.
    return json.loads(adapter.dump_json(value, warnings=False))


def _is_plain(text: str) -> bool:
    safe = text[:1].isalpha() and all(char.isalnum() or char in "_-./+" for char in text)
    return safe and text.casefold() not in _READ_AS_OTHERS


def _in_quotes(text: str) -> str:
    if "'" in text or not text.isprintable():
        # JSON's escapes are YAML's, but for what lies beyond 16 bits: there JSON writes two surrogates.
        quoted = json.dumps(text, ensure_ascii=False)
        return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
    return f"'{text}'"


def shown(value: Any, limit: int = 60) -> str:
    """A value as a message quotes it: short, on one line, in YAML's words."""
    text = "nothing" if value is None else flow(value, quoted=True)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def label(value: Any) -> str:
    """A level's name in a table: compact, without spaces, e.g. ``0.02`` or ``1>0.02:cosine``."""
    if isinstance(value, Mapping):
        shape = value.get("shape", "linear")
        begin, end = value.get("begin", 0.0), value.get("end", 1.0)
        window = "" if (begin, end) == (0.0, 1.0) else f"@{label(begin)}-{label(end)}"
        return f"{label(value['from'])}>{label(value['to'])}:{shape}{window}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(label(item) for item in value)}]"
    if isinstance(value, str):
        return value
    return flow(value).removesuffix(".0")
