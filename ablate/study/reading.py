"""A study's YAML file, read into a :class:`~ablate.study.spec.StudySpec`. No torch here.

These are the doors; what is in the document is read in :mod:`ablate.study.document`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablate.study.arms import arm_of
from ablate.study.document import read_document
from ablate.study.located import parse_yaml
from ablate.study.overrides import Replaced, applied, override
from ablate.study.plugged import read_plugins
from ablate.study.smoke import smoke as smoked
from ablate.study.spec import Invocation, StudySpec
from model.errors import ConfigError

SPEC_FILE = "spec.yaml"
INVOCATION_FILE = "invocation.json"

MOST_BYTES = 1 << 19
"""Size of a study file. Reading YAML with its places takes seconds per megabyte."""
MOST_RUNS = 100_000
"""Cells of a study, unless ``--max-plan`` says otherwise."""


def load_spec(
    path: Path | str,
    overrides: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
    *,
    smoke: bool = False,
    most_runs: int = MOST_RUNS,
) -> StudySpec:
    """Read and validate a study.

    Parameters
    ----------
    path: YAML 1.2 file.
    overrides: ``path=value`` as given to ``--set``, e.g. ``base.train.iterations=100``.
    env: the environment that ``${NAME}`` is looked up in.
    smoke: make it tiny (see :func:`ablate.study.smoke.smoke`).
    most_runs: refuse a study of more rows x seeds.

    Raises
    ------
    ConfigError: anything wrong with the file or an override, with file, line and column.
    """
    path = Path(path)
    return parse_spec(_text_of(path), path, overrides, env, smoke=smoke, most_runs=most_runs)


def load_recorded(
    folder: Path,
    env: Mapping[str, str] = os.environ,
    *,
    overrides: Sequence[str] = (),
    smoke: bool = False,
) -> StudySpec:
    """The study that a results folder records, as it was run: ``spec.yaml`` and ``invocation.json``.

    Without an ``invocation.json`` the study was run as its file says. ``overrides`` and ``smoke`` come on
    top of what was recorded.

    Raises
    ------
    ConfigError: a file cannot be read, or is not valid.
    """
    invocation = Invocation()
    path = folder / INVOCATION_FILE
    if path.is_file():
        try:
            invocation = Invocation.from_json(_text_of(path))
        except ValueError as error:
            raise ConfigError(f"cannot read how the study was started: {error}", where=str(path)) from error
    path = folder / SPEC_FILE
    # What has been started was not too large for whoever started it.
    spec = parse_spec(
        _text_of(path),
        path,
        (*invocation.overrides, *overrides),
        env,
        smoke=invocation.smoke or smoke,
        most_runs=sys.maxsize,
        beside=Path(invocation.folder) if invocation.folder else None,
    )
    given = (*invocation.overrides, *overrides)
    spec = replace(spec, invocation=replace(invocation, overrides=given, smoke=invocation.smoke or smoke))
    return arm_of(spec, invocation.arm) if invocation.arm else spec


def _text_of(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may never end
            raise ConfigError(f"{path} is no regular file", hint="name a study file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path} is larger than {MOST_BYTES // 1024} KiB", hint="is it a study?")
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {error.start}", hint="save it as UTF-8"
        ) from error


def parse_spec(
    text: str,
    path: Path,
    overrides: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
    *,
    smoke: bool = False,
    most_runs: int = MOST_RUNS,
    beside: Path | None = None,
) -> StudySpec:
    """As :func:`load_spec`, from text that is (or will be) at ``path``.

    beside: where modules of plug-ins lie, if not beside ``path``.
    """
    root = parse_yaml(text, str(path), env)
    folder = (beside or path.parent).resolve()
    plugins = read_plugins(root, folder)
    invocation = Invocation(tuple(overrides))
    if plugins.names:
        invocation = replace(invocation, plugins=plugins.names, folder=str(folder))
    replaced: list[Replaced] = []
    for given in overrides:
        replaced.append(override(root, given, env))
        root = replaced[-1].root
    spec = read_document(root, path, text, invocation, most_runs)
    spec = replace(spec, applied=applied(replaced, spec.preset), metrics=plugins.metrics)
    return smoked(spec) if smoke else spec
