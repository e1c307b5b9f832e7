"""One judgement, one vocabulary: no renderer decides, and none calls a verdict by another name."""

from __future__ import annotations

import ast
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import ablate.report
from ablate.evidence.differences import Difference
from ablate.evidence.judgement import Judgement
from ablate.report.figures.forest import draw_forest
from ablate.report.figures.style import style
from ablate.report.page import render
from ablate.report.rendering import to_markdown, to_rich
from ablate.report.tables.claims import claims_table
from ablate.report.tables.differences import difference_table
from ablate.report.tables.every import all_tables
from ablate.report.tables.summary import summary_table
from ablate.report.words import verdict_text
from ablate.study.claims import Claim
from tests.ablate.report_inputs import column, results

SOURCES = sorted(Path(ablate.report.__path__[0]).rglob("*.py"))
PROCEDURES = ("ablate.evidence.stats", "ablate.evidence.differences", "ablate.evidence.values")


def every_verdict() -> Judgement:
    """A study with a variant of each verdict, and a claim of each."""
    made = results({"base": 0.0, "up": 0.03, "down": -0.03, "even": 0.0, "twin": 0.0, "gone": 0.0}, seeds=6)
    frame = made.frame[~made.frame["variant"].isin(["twin", "gone"])]
    twin = frame[frame["variant"] == "base"].assign(variant="twin")
    claims = [Claim(v, "base", None, "image_auroc", ">") for v in ("up", "down", "even", "gone")]
    return Judgement(replace(made, frame=pd.concat([frame, twin]), claims=tuple(claims)))


def page_text(judgement: Judgement) -> str:
    """The page's visible text."""
    source = re.sub(
        r"<style>.*?</style>", "", render(judgement, all_tables(judgement), {}), flags=re.DOTALL
    )
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", source)))


def rows_of(text: str, name: str) -> str:
    """The lines of a table that begin with ``name``."""
    return "\n".join(line for line in text.splitlines() if re.match(rf"\W*{name}\b", line))


def test_a_difference_has_the_same_verdict_in_every_output() -> None:
    judgement = every_verdict()
    verdicts = {v: d.verdict for v, d in judgement.primary.differences.items()}
    assert verdicts == {
        "up": "better", "down": "worse", "even": "undecided", "twin": "equal", "gone": "missing",
    }  # fmt: skip
    page = page_text(judgement)
    table = difference_table(judgement)
    markdown = to_markdown(table)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(to_rich(summary_table(judgement)))
    terminal = console.export_text()
    for variant, verdict in verdicts.items():
        word = verdict_text(verdict)
        assert column(table, "verdict")[variant].text == word
        assert word in rows_of(markdown, variant)
        assert word in rows_of(terminal, variant)
        assert f" {word} {variant} vs base " in page  # the tag before the sentence
        for other in {verdict_text(v) for v in verdicts.values()} - {word}:
            assert other not in rows_of(terminal, variant)


def test_a_claim_has_the_same_verdict_in_table_and_page() -> None:
    judgement = every_verdict()
    assert [j.verdict for j in judgement.claims] == ["supported", "refuted", "undecided", "incomplete"]
    page, table = page_text(judgement), claims_table(judgement)
    assert table is not None
    for judged in judgement.claims:
        word, left = verdict_text(judged.verdict), judged.claim.left
        assert column(table, "verdict")[f"{left} > base by I-AUROC"].text == word
        assert f" {word} {left} > base " in page


def test_the_forest_plot_uses_the_same_words() -> None:
    found = list(every_verdict().primary.differences.values())
    with style():
        texts = {text.get_text().strip() for text in draw_forest(found).axes[0].texts}
    assert {verdict_text(d.verdict) for d in found} <= texts


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_report_imports_records_and_no_procedure(path: Path) -> None:
    """From the statistics only types and constants: what compares or tests is called by the judgement."""
    imports = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    ]
    assert [(m, n) for m, n in imports if m in PROCEDURES and n[0].islower()] == []
    assert [(m, n) for m, n in imports if m == "ablate.evidence"] == []  # no way around it


def test_no_renderer_makes_differences_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every difference that a table or the page prints is one of the judgement's."""
    judgement = every_verdict()
    before = page_text(judgement)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a difference was made after judgement")

    monkeypatch.setattr(Difference, "__init__", refuse)
    assert page_text(judgement) == before
