"""The page and its files: self-contained, reproducible, at every stage of a study's life.

Behavioural; the folders are written by :mod:`tests.ablate.report_inputs` with the project's own planner.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report import page as report
from ablate.report.tables.every import all_tables
from model.errors import StorageError
from tests.ablate.report_inputs import judged, write_study

SMALL = """\
study: small
data: {dataset: stripes}
base: {preset: pocket}
variants:
  dinomaly: {}
  top-q: {tail.q: 0.02}
seeds: 2
"""


def text_of(source: str) -> str:
    """The page's visible text."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", source, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


@pytest.mark.slow
def test_report_is_one_self_contained_page_and_files(tmp_path: Path) -> None:
    write_study(tmp_path / "s")
    page = report.make_report(tmp_path / "s")
    source = page.read_text(encoding="utf-8")
    assert page == tmp_path / "s" / "report" / "report.html"
    assert not re.search(r"""(src|href)=["'](https?:)?//""", source)
    scripts = re.findall(r"<script([^>]*)>", source)
    assert scripts == [' type="application/json" id="carried"', ""]
    pictures = re.findall(r"<img src=\"([^\"]*)", source)
    assert all(p.startswith("data:image/png;base64,") for p in pictures) and len(pictures) >= 5
    assert not re.findall(r'href="([^"#]+)"', source), "a page moved alone would lose what it links to"
    for anchor in re.findall(r'href="#([^"]+)"', source):
        assert f'id="{anchor}"' in source, anchor
    text = text_of(source)
    for words in (
        "Does a directional tail help",
        "supported",
        "Gallery",
        "worst miss",
        "20 done",
        "DINOv2-class weights",
        "ablate run results/directional-tail/spec.yaml",
        "directional > control on domain_c by pixel_ap",
    ):
        assert words in text
    assert not list(page.parent.rglob("*.tmp"))


@pytest.mark.slow
def test_report_is_the_same_twice_and_forgets_old_files(tmp_path: Path) -> None:
    write_study(tmp_path / "s", SMALL, pictures=False)
    page = report.make_report(tmp_path / "s")
    before = {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file()}
    stale, mine = page.parent / "old.tex", page.parent / "mine.txt"
    stale.write_text("x")
    mine.write_text("keep")
    manifest = page.parent / ".files.json"
    manifest.write_text(json.dumps([*json.loads(manifest.read_text()), "old.tex", "../runs.csv"]))
    report.make_report(tmp_path / "s")
    after = {p.name: p.read_bytes() for p in page.parent.rglob("*") if p.is_file() and p != mine}
    assert after == before
    assert not stale.exists() and mine.exists() and (tmp_path / "s" / "runs.csv").exists()


def test_half_finished_study_marks_what_is_missing(tmp_path: Path) -> None:
    skip = [("control", seed) for seed in range(5)] + [("directional", 4)]
    made = Judgement(write_study(tmp_path / "s", skip=skip, pictures=False))
    text = text_of(report.render(made, all_tables(made), {}))
    assert "6 of 20 runs are not finished" in text
    assert "no data yet" in text and "4 of 5 seeds" in text and "not run yet" in text


@pytest.mark.slow
def test_study_without_results_still_has_a_page(tmp_path: Path) -> None:
    skip = [(v, s) for v in ("dinomaly", "top-q", "directional", "control") for s in range(5)]
    write_study(tmp_path / "s", skip=skip, pictures=False)
    text = text_of(report.make_report(tmp_path / "s").read_text(encoding="utf-8"))
    assert "20 of 20 runs are not finished" in text


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    made = judged({"<b>x</b>": 0.0, "<script>": 0.01}, seeds=1, strata=False, folder=tmp_path)
    source = report.render(made, all_tables(made), {})
    assert source.count("<script>") == 1 and "<b>x</b>" not in source


def test_terminal_table(tmp_path: Path) -> None:
    table = report.terminal_table(Judgement(write_study(tmp_path / "s", pictures=False)))
    assert table.row_count == 4


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    write_study(tmp_path / "s", SMALL, skip=[("top-q", 0), ("top-q", 1)], pictures=False)
    (tmp_path / "s" / "report").write_text("a file in the way")
    with pytest.raises(StorageError, match="report"):
        report.make_report(tmp_path / "s")
