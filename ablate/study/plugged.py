"""The plug-ins that a study file names, loaded before the rest of it is read: they add to its grammar."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ablate.study.located import Located
from model.errors import ConfigError
from model.plugins import load_plugin


class Plugged(NamedTuple):
    """What a study's plug-ins bring."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    """Names of their metrics, which every run of the study computes."""


def read_plugins(root: Located, folder: Path) -> Plugged:
    """Load what ``plugins:`` of a study file lists; modules may lie in ``folder``.

    Raises
    ------
    ConfigError: a plug-in is not there, fails, or collides with another; at its place in the file.
    """
    node = root.value.get("plugins") if isinstance(root.value, dict) else None
    if node is None:
        return Plugged((), ())
    names: list[str] = []
    metrics: list[str] = []
    for item in node.sequence("plugins"):
        name = item.string("plugins")
        if name in names:
            item.mark.fail(f"plugins: '{name}' is given twice")
        try:
            plugin = load_plugin(name, folder)
        except ConfigError as error:
            item.mark.fail(error.message, hint=error.hint)
        names.append(name)
        metrics += [metric.name for metric in plugin.metrics]
    return Plugged(tuple(names), tuple(metrics))
