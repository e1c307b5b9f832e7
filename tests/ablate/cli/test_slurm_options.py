"""Behavioural: --slurm and its options beside a study's own slurm: section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ablate.doors
from ablate.cli.commands import main
from ablate.study.slurm import SlurmConfig

STUDY = """\
study: s
data: {dataset: stripes}
base: {encoder: {name: test_vit, pretrained: false, blocks: [1, 2, 3, 4]}, decoder: {depth: 4}}
variants: {a: {}}
slurm: {array: 8, partition: gpu, mem: 32G}
"""


class Started(Exception):  # noqa: N818 - not an error: how far the command is let
    """A study was about to be started."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "s.yaml").write_text(STUDY)
    found: list[SlurmConfig | None] = []

    def start(*_: Any, slurm: SlurmConfig | None, **__: Any) -> None:
        found.append(slurm)
        raise Started

    monkeypatch.setattr(ablate.doors, "start", start)

    def of(*options: str) -> SlurmConfig | None:
        places = ("--results", str(tmp_path / "results"), "--cache", str(tmp_path / "cache"))
        with pytest.raises(Started):
            main(["run", str(tmp_path / "s.yaml"), "--json", *places, *options])
        return found.pop()

    return of


def test_the_section_alone_submits_nothing(asked):
    assert asked() is None


def test_with_slurm_the_section_is_asked_for(asked):
    assert asked("--slurm") == SlurmConfig(array=8, partition="gpu", mem="32G")


def test_the_command_line_wins(asked):
    given = asked("--slurm", "--array", "2", "--mem", "8G", "--time", "1:00:00", "--gres", "gpu:2")
    assert given == SlurmConfig(array=2, partition="gpu", mem="8G", time="1:00:00", gres="gpu:2")
