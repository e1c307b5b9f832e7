"""``--set path=value``: single values of a study file replaced before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ablate.study.located import Located, Mark, parse_yaml
from ablate.study.settings import leaves, sections, unnest
from ablate.study.spec import Override
from ablate.study.text import shown
from model.config import ModelConfig, build_config, dump_config
from model.presets import PRESETS
from model.suggest import suggestion


class Replaced(NamedTuple):
    """A study file with one value replaced."""

    root: Located
    path: str
    value: Any
    before: Any
    """Plain data that stood there; None where there was none."""


def override(root: Located, text: str, env: Mapping[str, str]) -> Replaced:
    """Apply one ``path=value``.

    Raises
    ------
    ConfigError: not of that form, or a path that leads nowhere; the override is named as the place.
    """
    name, equals, literal = text.partition("=")
    name = name.strip()
    mark = Mark(f"--set {text}")
    if not equals or not name or "" in name.split("."):
        mark.fail("an override is written path=value", hint="e.g. --set base.train.iterations=100")
    value = parse_yaml(literal, mark.source, env, placed=False)
    if name in leaves(ModelConfig) or name in sections(ModelConfig):
        mark.fail(f"unknown key '{name}'", hint=f"did you mean 'base.{name}'?")
    changed, before = _replace_at(root, name, value, mark, ())
    return Replaced(changed, name, value.plain(), before)


def _replace_at(
    node: Located, name: str, value: Located, mark: Mark, above: tuple[str, ...]
) -> tuple[Located, Any]:
    """``node`` with the value at a dotted name replaced, and the plain value it had there.

    Keys of the file may have dots themselves (``tail.q: 0.1``), so the longest key that fits wins.
    """
    items = node.value if isinstance(node.value, dict) else {}
    if above and node.value is not None and not isinstance(node.value, dict):
        mark.fail(f"'{'.'.join(above)}' has no settings inside: it is {shown(node.plain())}")
    fitting = [key for key in items if name == key or name.startswith(f"{key}.")]
    key = max(fitting, key=len, default=None)
    if key is None and above == ("variants",):
        variant = name.partition(".")[0]
        mark.fail(f"unknown variant '{variant}'", hint=suggestion(variant, items))
    if key is None:
        key, _, rest = name.partition(".")
        # Settings below factors and search.space are dotted paths in one key.
        if above in (("factors",), ("search", "space")) or (not above and rest == ""):
            key, rest = name, ""
    else:
        rest = name[len(key) + 1 :]
    old = items.get(key)
    if rest:
        new, before = _replace_at(old or Located({}, mark), rest, value, mark, (*above, key))
    else:
        new, before = value, None if old is None else old.plain()
    keys = {**node.keys, key: mark}
    return Located({**items, key: new}, node.mark, keys), before


def applied(replaced: Sequence[Replaced], preset: str | None) -> tuple[Override, ...]:
    """Overrides for echoing: one of the base replaces, where the file is silent, the preset's value."""
    config = build_config(PRESETS[preset].values if preset else {})
    silent = unnest(dump_config(config), ModelConfig)
    return tuple(
        Override(path, value, silent.get(path.removeprefix("base.")) if before is None else before)
        for _, path, value, before in replaced
    )
