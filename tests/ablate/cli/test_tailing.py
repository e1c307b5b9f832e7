"""Behavioural: a log is followed until its run ends; every line is printed once and whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.cli import tailing
from ablate.cli.tailing import follow_log
from model.errors import ConfigError


def run(log: Path, state: str, key: str = "k1", variant: str = "a") -> SimpleNamespace:
    return SimpleNamespace(key=key, variant=variant, label=f"{variant} seed 0", state=state, log=str(log))


def states(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, bytes]], log: Path) -> None:
    """Each look finds the run in the next state, its log grown by the bytes beside it."""
    left = iter(steps)

    def status(_folder: Path) -> SimpleNamespace:
        state, more = next(left)
        with log.open("ab") as stream:
            stream.write(more)
        done = run(log.with_name("other.log"), "done", "k2", "b")
        return SimpleNamespace(study="s", runs=[done, run(log, state)], sessions=["one"])

    monkeypatch.setattr(tailing, "status", status)


def test_what_is_added_is_printed_until_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "k1.log"
    log.write_bytes(b"old\none\ntwo\n")
    steps = [
        ("running", b""), ("running", b"three\nfo"), ("running", "ur é".encode()[:-1]),
        ("running", "é".encode()[-1:] + b"\n"), ("done", b"end\n"),
    ]  # fmt: skip
    states(monkeypatch, steps, log)
    printed: list[str] = []
    follow_log(tmp_path, None, 2, print_at_once=printed.append, every=0)
    assert "".join(printed) == f"a seed 0 {log}\none\ntwo\nthree\nfour é\nend\ndone\n"


def test_a_log_that_is_begun_anew_is_printed_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "k1.log"
    log.write_bytes(b"a long first attempt\n")
    states(monkeypatch, [("running", b""), ("done", b"")], log)
    printed: list[str] = []

    def also_cut(text: str) -> None:
        printed.append(text)
        if text.startswith("a long"):
            log.write_bytes(b"again\n")

    follow_log(tmp_path, "k1", 5, print_at_once=also_cut, every=0)
    assert "".join(printed).endswith("a long first attempt\nagain\ndone\n")


def test_a_study_without_runs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "status", lambda _folder: SimpleNamespace(study="s", runs=(), sessions=()))
    with pytest.raises(ConfigError, match=r"s has no runs yet \(see: ablate status s\)"):
        follow_log(tmp_path, None, 5, print_at_once=lambda _: None)


def test_no_run_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch, [("running", b"")], tmp_path / "k1.log")
    with pytest.raises(ConfigError, match="no run is called 'z' in s"):
        follow_log(tmp_path, "z", 5, print_at_once=lambda _: None)
