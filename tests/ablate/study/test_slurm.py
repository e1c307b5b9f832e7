"""Behavioural: the part of a study that says what SLURM is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.study.plan import make_plan
from ablate.study.schema import study_schema
from ablate.study.slurm import SlurmConfig
from model.errors import ConfigError
from tests.ablate.study.test_spec import parse

STUDY = """\
study: s
data: {dataset: stripes}
variants: {a: {}}
slurm: {array: 8, partition: gpu, gres: "gpu:1", time: 1-00:00:00, mem: 32000}
"""


def test_it_is_read_and_told_to_sbatch_in_its_words() -> None:
    asked = parse(STUDY).slurm
    assert asked.array == 8
    assert asked.sbatch == {"partition": "gpu", "gres": "gpu:1", "time": "1-00:00:00", "mem": "32000"}
    assert parse(STUDY.partition("slurm:")[0]).slurm == SlurmConfig()
    assert SlurmConfig().sbatch == {"time": "4:00:00"}


def test_a_time_may_be_written_without_quotes() -> None:
    assert parse(STUDY.replace("1-00:00:00", "4:30:00")).slurm.time == "4:30:00"


def test_what_is_given_wins_over_the_file() -> None:
    asked = parse(STUDY).slurm.but(partition="long", array=2, mem=None)
    assert (asked.partition, asked.array, asked.mem, asked.gres) == ("long", 2, 32000, "gpu:1")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("partitions: gpu", "s.yaml:4:9: unknown key 'partitions' in slurm (did you mean 'partition'?)"),
        ("array: 0", "s.yaml:4:16: slurm.array: 0 is outside the allowed range [1, inf)"),
        ("account: 3", "s.yaml:4:18: slurm.account: expected text or null, got 3 (put it in quotes)"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(wrong: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{STUDY.partition('slurm:')[0]}slurm: {{{wrong}}}\n")
    assert str(caught.value) == line


def test_no_key_holds_it(tmp_path: Path) -> None:
    plans = [make_plan(parse(text), cache_dir=tmp_path) for text in (STUDY, STUDY.partition("slurm:")[0])]
    assert [run.key for run in plans[0].runs] == [run.key for run in plans[1].runs]


def test_editors_know_it() -> None:
    schema = study_schema()
    assert "slurm" in schema["properties"]
    (found,) = (part for name, part in schema["definitions"].items() if name == "SlurmConfig")
    assert set(found["properties"]) == {"array", "partition", "gres", "time", "mem", "account"}
    assert "sbatch" in json.dumps(found)
