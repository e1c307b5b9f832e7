"""Plug-ins: priors, encoders, dataset readers and metrics that a user brings, without editing the package.

A plug-in is a module with a :class:`Plugin` called ``PLUGIN``. A study names the plug-ins it uses
(``plugins: [my_module]``); nothing is loaded that it does not name, so an installed package changes no
other study. A name is that of an entry point of the group ``ablate.plugins``, else of a module: beside
the study file, or installed. No torch here.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from model.errors import ConfigError
from model.metric_names import MetricEntry, register_metric
from model.priors.entries import PriorEntry, register_prior

if TYPE_CHECKING:
    from model.data.readers.reader import Reader
    from model.encoders.build import EncoderEntry

GROUP = "ablate.plugins"
"""Entry points by which installed packages offer plug-ins."""
EXPORTED = "PLUGIN"


@dataclass(frozen=True)
class Plugin:
    """What one module brings."""

    priors: tuple[PriorEntry, ...] = ()
    """Settings at ``plugins.NAME``, see :class:`model.priors.plugged.Prior`."""
    encoders: Mapping[str, EncoderEntry] = field(default_factory=dict)
    """By what ``encoder.name`` calls them."""
    readers: tuple[Reader, ...] = ()
    """Layouts of datasets, by what ``data.dataset`` calls them."""
    metrics: tuple[MetricEntry, ...] = ()
    """Computed for every run of a study that names the plug-in."""


def load_plugin(name: str, folder: Path) -> Plugin:
    """Import a plug-in and register what it brings; a second time it does nothing.

    Parameters
    ----------
    name: of an entry point, or of a module.
    folder: where modules lie beside what is installed (the study file's folder).

    Raises
    ------
    ConfigError: there is no such plug-in, it fails, two modules are called so, or what it brings is.
    """
    module = _module_of(name, folder)
    plugin = getattr(module, EXPORTED, None)
    if not isinstance(plugin, Plugin):
        raise ConfigError(
            f"the module {module.__name__} is no plug-in: it has no {EXPORTED}",
            hint="PLUGIN = model.plugins.Plugin(...); docs/plugins.md shows one",
        )
    _register(plugin)
    return plugin


def load_plugins(names: Iterable[str], folder: Path) -> tuple[Plugin, ...]:
    """:func:`load_plugin` for each name, in order."""
    return tuple(load_plugin(name, folder) for name in names)


def _module_of(name: str, folder: Path) -> ModuleType:
    offered = {point.name: point.value.partition(":")[0] for point in entry_points(group=GROUP)}
    module = offered.get(name, name)
    place = str(folder.resolve())
    if place not in sys.path:  # at the end: a file beside the study must not hide an installed package
        sys.path.append(place)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise ConfigError(f"the plug-in '{name}' needs {error.name}, which is not installed") from error
        known = f"; installed ones: {', '.join(offered)}" if offered else ""
        raise ConfigError(
            f"there is no plug-in '{name}'",
            hint=f"a module in {folder}, an installed module, or an entry point of {GROUP}{known}",
        ) from error
    except Exception as error:  # whatever a user's code may raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"the plug-in '{name}' cannot be imported: {type(error).__name__}: {error}",
            hint=f"{last.filename}, line {last.lineno}",
        ) from error
    _check_place(name, found, folder)
    return found


def _check_place(name: str, module: ModuleType, folder: Path) -> None:
    """Refuse a module of another place where one of that name lies beside the study: which was meant?"""
    start = folder.resolve().joinpath(*module.__name__.split("."))
    beside = next(
        (path for path in (start.with_suffix(".py"), start / "__init__.py") if path.is_file()), None
    )
    used = Path(module.__file__ or "").resolve()
    if beside is not None and beside.resolve() != used:
        raise ConfigError(
            f"the plug-in '{name}' is {beside}, but Python has another module of that name: {used}",
            hint="rename the file beside the study",
        )


def _register(plugin: Plugin) -> None:
    for prior in plugin.priors:
        register_prior(prior)
    for metric in plugin.metrics:
        register_metric(metric)
    if plugin.encoders:
        from model.encoders.build import register_encoder

        for name, entry in plugin.encoders.items():
            register_encoder(name, entry)
    if plugin.readers:
        from model.data.readers import register_reader

        for reader in plugin.readers:
            register_reader(reader)
