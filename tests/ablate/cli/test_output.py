"""Behavioural: what commands print with ``--json`` is as documented, to the key; exit codes are stable."""

from __future__ import annotations

import errno
import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from ablate.cli import commands as cli
from ablate.cli.emitting import emit, output_schema, reference
from ablate.cli.gate_commands import gate_record
from ablate.cli.output import OUTPUTS, Evaluated, Value
from ablate.gating import Gated
from ablate.report.words import TABLE_METRICS
from ablate.running.campaign import Gate
from ablate.running.folder import Workspace
from ablate.running.progress import JsonView
from ablate.running.recorded import write_spec
from ablate.study import effects
from ablate.study.reading import parse_spec
from tests.ablate.report_inputs import SPEC, write_study

ROOT = Path(__file__).parents[3]
TINY = """\
study: tiny
data: {dataset: stripes, categories: [domain_a], stripes: {size: 32, train: 2, test_good: 2, test_bad: 2}}
base: {preset: pocket, train: {iterations: 2}}
variants: {dinomaly: {}, top-q: {tail.q: 0.02, tail.direction: vertical, label: Ours}}
seeds: 1
claims: [top-q > dinomaly by image_auroc]
keep: {maps: 0}
"""
_VALUE = ["split", "category", "stratum", "metric", "value"]
WITHOUT_JSON = {"dashboard", "schema"}
"""The one becomes another program, the other prints JSON anyway."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(TINY)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--json"])
    told = capsys.readouterr()
    assert int(str(ended.value.code)) == code, told
    assert code != 2 or not told.out
    return told.out if code != 2 else told.err


def valid(command: str, content: Any) -> Any:
    validator = Draft202012Validator(output_schema(command))
    assert [error.message for error in validator.iter_errors(content)] == []
    return content


def checked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0, name: str = "") -> Any:
    return valid(name or arguments[0], json.loads(said(capsys, *arguments, code=code)))


def test_the_documentation_is_what_the_records_say() -> None:
    assert (ROOT / "docs" / "json.md").read_text().endswith(reference())
    assert json.dumps({command: output_schema(command) for command in OUTPUTS})


def test_every_command_is_described() -> None:
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    names |= {f"data {command.name}" for command in cli.data_app.registered_commands}
    assert names - WITHOUT_JSON == set(OUTPUTS) - {"any command"}


def test_before_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    plan = checked(capsys, "plan", "tiny.yaml")
    assert (plan["runs"], [cell["state"] for cell in plan["cells"]]) == (2, ["new", "new"])
    assert "'tail.direction' has no effect" in plan["warnings"][0]
    shown = checked(capsys, "show", "tiny.yaml")
    assert [(row["variant"], row["label"]) for row in shown["rows"]] == [
        ("dinomaly", "dinomaly"), ("top-q", "Ours"),
    ]  # fmt: skip
    assert shown["rows"][1]["changes"]["tail.q"] == [0.1, 0.02]
    assert "study: new" in checked(capsys, "init", "new")["text"]
    assert checked(capsys, "init", "new", "--out", "new.yaml")["paths"] == ["new.yaml"]
    assert checked(capsys, "data", "stripes", "drawn", name="data stripes")["paths"] == ["drawn"]
    found = checked(capsys, "data", "check", "tiny.yaml", name="data check")
    assert found["images"] and found["paths"] == ["tiny-data.png"]
    checked(capsys, "encode", "tiny.yaml")
    checked(capsys, "doctor", code=0 if _healthy(capsys) else 1)


def _healthy(capsys: pytest.CaptureFixture[str]) -> bool:
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json"])
    capsys.readouterr()
    return ended.value.code == 0


def test_a_plan_looks_for_idle_settings_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Mock(wraps=effects.idle_settings)
    monkeypatch.setattr(effects, "idle_settings", looks)
    assert len(checked(capsys, "plan", "tiny.yaml")["warnings"]) == looks.call_count == 1


def test_mistakes_are_one_object_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("study: s\ndata: {dataset: strips}\nvariants: {a: {tail.q: 2}}\n")
    errors = valid("any command", json.loads(said(capsys, "plan", "bad.yaml", code=2)))["errors"]
    assert [error["where"] for error in errors] == ["bad.yaml:2:17", "bad.yaml:3:24"]
    assert errors[0]["hint"] == "did you mean 'stripes'?"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "x.yaml", "--nonsense"], "No such option: --nonsense"),
        (["plan", "x.yaml", "--workers", "none"], "Invalid value for '--workers'"),
        (["export", "x.yaml"], "Missing argument"),
    ],
)
def test_mistaken_arguments_too(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (error,) = valid("any command", json.loads(said(capsys, *arguments, code=2)))["errors"]
    assert error["message"].startswith(message) and error["hint"] == f"see: ablate {arguments[0]} --help"


def test_a_file_that_cannot_be_used_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/r/x")

    monkeypatch.setattr("ablate.study.reading.load_spec", fail)
    (error,) = valid("any command", json.loads(said(capsys, "plan", "tiny.yaml", code=2)))["errors"]
    assert error == {"message": "the disk is full", "where": "/r/x", "hint": "free some space"}


def _takes(command: Callable[..., None]) -> bool:
    return {"sets", "as_json"} <= set(inspect.signature(command).parameters)


@pytest.mark.parametrize(
    "command", [each.callback.__name__ for each in cli.app.registered_commands if _takes(each.callback)]
)
def test_what_is_set_is_not_said_before_the_json(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = pd.DataFrame([["test", "domain_a", "all", "image_auroc", 0.5]], columns=_VALUE)
    monkeypatch.setattr("ablate.running.published.evaluate_checkpoint", lambda *_, **__: metrics)
    more = {"run": ["--dry-run"], "evaluate": ["--reference-checkpoint", "none.pth"]}.get(command, [])
    checked(
        capsys, command, "tiny.yaml", "--set", "base.train.iterations=3", *more,
        name="plan" if command == "run" else command,
    )  # fmt: skip


def test_people_see_a_checkpoints_metrics_in_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(TABLE_METRICS)
    metrics = pd.DataFrame([["test", "domain_a", "all", n, 0.5] for n in names], columns=_VALUE)
    monkeypatch.setattr("ablate.running.published.evaluate_checkpoint", lambda *_, **__: metrics)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "tiny.yaml", "--reference-checkpoint", "none.pth"])
    assert "I-AUROC" in (told := capsys.readouterr().out) and "50.0" in told


@pytest.mark.parametrize("command", ["data check", "data stripes", "doctor"])
def test_nor_is_what_was_set_when_a_study_was_started(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = parse_spec(TINY, Path("tiny.yaml"), ["base.train.iterations=3"])
    place = Workspace(Path("results") / spec.study)
    place.create()
    write_spec(place, spec)
    place.plan.write_text("{}")
    arguments = ["drawn", "--spec", "tiny"] if command == "data stripes" else ["tiny"]
    code = 0 if command != "doctor" or _healthy(capsys) else 1
    checked(capsys, *command.split(), *arguments, code=code, name=command)


def test_what_is_not_a_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit([Evaluated("tiny", (Value("test", "a", "all", "f1", math.nan),)), {"p": math.nan}])
    evaluated, plain = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (evaluated["values"][0]["value"], plain["p"]) == (None, None)
    written: list[str] = []
    JsonView(written.append).emit("finished", {"claims": ({"p": math.nan},)})
    assert json.loads(written[0], parse_constant=pytest.fail)["claims"] == [{"p": None}]


def test_of_several_studies_a_program_names_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.yaml").unlink()
    for name in ("one", "two"):
        write_study(Path("results", name), SPEC.replace("directional-tail", name), pictures=False)
    (error,) = json.loads(said(capsys, "status", code=2))["errors"]
    assert error["hint"] == "name one: one, two"


def test_a_gate_whose_runs_are_left_has_no_outcome() -> None:
    gate = Gate(2, "deeper", "tiny-gate-2", 0.01, ("k",), {"tail.q": 0.1})
    left = asdict(gate_record(Gated(gate, None, again=False, spent=0.04, budget=0.05, exit_code=130)))
    assert (left["change"], left["verdict"], left["accepted"], left["low"]) == (
        "deeper", "incomplete", False, None,
    )  # fmt: skip
    assert (left["number"], left["alpha"], left["spent"], left["budget"]) == (2, 0.01, 0.04, 0.05)


@pytest.mark.slow
def test_a_real_gate_of_one_seed_has_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    Path("deeper.yaml").write_text("tail.alpha: 0.5\n")
    found = checked(capsys, "gate", "deeper.yaml", "tiny.yaml", code=1)
    assert (found["change"], found["seeds"], found["computed"]) == ("deeper", 1, 2)
    assert found["low"] is None and found["high"] is None and found["difference"] is not None
    again = checked(capsys, "gate", "deeper.yaml", "tiny.yaml", code=1)
    assert again == {**found, "judged_before": True}


@pytest.mark.slow
def test_a_real_run_line_by_line_and_what_can_be_asked_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in said(capsys, "run", "tiny.yaml").splitlines()]
    for line in lines:
        valid("run", line)
    events = [line["event"] for line in lines]
    assert events.count("ended") == 2 and events[-1] == "finished"
    assert {"started", "progress"} <= set(events)
    end = lines[-1]
    assert (end["exit_code"], end["finished"], end["runs"], end["failed"]) == (0, 2, 2, 0)
    assert Path(end["page"]).is_file() and end["claims"][0]["verdict"]
    again = [valid("resume", json.loads(line)) for line in said(capsys, "resume", "tiny").splitlines()]
    assert again[-1]["finished"] == 2 and "ended" not in [line["event"] for line in again]
    assert checked(capsys, "status", "tiny")["counts"] == {"done": 2}
    assert all(not log["lines"] for log in checked(capsys, "logs", "tiny"))
    (log,) = checked(capsys, "logs", "tiny", "top-q")
    assert log["variant"] == "top-q" and log["lines"]
    assert checked(capsys, "verify", "tiny")["agrees"] is True
    assert checked(capsys, "repair", "tiny") == {"study": "tiny", "finished": 2, "runs": 2, "damaged": []}
    assert checked(capsys, "clean")["deleted"] is False


def test_of_results(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(Path("results/directional-tail"), pictures=False)
    assert checked(capsys, "status", "directional-tail")["counts"] == {"done": 20}
    assert [study["study"] for study in checked(capsys, "ls")] == ["directional-tail"]
    claims = checked(capsys, "claims", "directional-tail")["claims"]
    assert [set(claim) >= {"claim", "verdict", "p_holm"} for claim in claims] == [True] * 3
    strict = checked(capsys, "claims", "directional-tail", "--strict", code=1)
    assert len(strict["claims"]) == 3
    page = Path("results/directional-tail/report/report.html")
    page.parent.mkdir()
    page.write_text("made before")
    monkeypatch.setattr("webbrowser.open", lambda _url: True)
    assert checked(capsys, "open", "directional-tail") == {"page": str(page)}
    Path("more.csv").write_text("variant,metric,value\nPatchCore,image_auroc,99.1\n")
    assert checked(capsys, "import", "directional-tail", "more.csv", "--source", "a paper")["values"] >= 1
    other = SPEC.replace("study: directional-tail", "study: other")
    write_study(Path("results/other"), other, pictures=False)
    rows = checked(capsys, "compare", "directional-tail", "other")
    assert rows and all(row["verdict"] == "the same runs" and row["p"] is None for row in rows)
