"""Behavioural: what the doctor says of the file system that results lie on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ablate.cli import commands as cli
from ablate.cli.doctor import Finding, journal, probed
from ablate.running import probe as probing
from ablate.running.file_systems import RECORD, Mount
from ablate.running.probe import Found

FOUND = Found(True, (True, True), (True, True), ("a", "b"), "Lustre", "server:/export", "now")


def test_it_says_what_results_lie_on_and_who_may_share_a_journal(tmp_path: Path) -> None:
    def on(fstype: str) -> Finding:
        return journal(tmp_path, lambda: [Mount("server:/export", "/", fstype)])

    assert on("nfs4").level == "note"
    assert "lies on NFS, mounted at /; locks between hosts can be lost" in on("nfs4").text
    assert on("lustre").level == "note"
    assert "or a probe" in on("lustre").text
    assert on("ext4").level == "ok"
    assert "one host's own" in on("ext4").text
    (tmp_path / RECORD).write_text(json.dumps(asdict(FOUND)))
    assert on("lustre").level == "ok"
    assert "may share a journal" in on("lustre").text


def test_it_says_what_a_probe_has_found() -> None:
    assert probed(FOUND).level == "ok"
    lost = probed(replace(FOUND, holds=False, excluded=(True, False), read=(False, True)))
    assert lost.level == "problem"
    assert "the lock of b did not keep the other out" in lost.text
    assert "what a wrote was not read by the other" in lost.text


def test_a_probe_without_company_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing.probe, "__kwdefaults__", {**probing.probe.__kwdefaults__, "patience": 0.1})
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", "--probe", str(tmp_path)])
    assert left.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[0].startswith("waiting for")
    assert said[-1].startswith("error: nobody else came")
