"""Behavioural: a label is plain text everywhere, mathematics in LaTeX; every table speaks of labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.findings import claim_findings, headline
from ablate.report.latex import latex_escape, to_latex
from ablate.report.lettering import Label
from ablate.report.rendering import to_csv, to_markdown
from ablate.report.tables.every import all_tables
from ablate.report.words import variant_label
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results

LABELS = {"top-q": "w/o noise_1 & co", "directional": r"$q_{\lambda}$ = 2 % (ours)", "control": "対照"}


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    claim = Claim("directional", "top-q", None, "image_auroc", ">")
    return Judgement(replace(results(strata=False), labels=LABELS, claims=(claim,)))


@pytest.mark.parametrize(
    ("source", "plain", "latex"),
    [
        ("$q$ = 0.02 (ours)", "q = 0.02 (ours)", "$q$ = 0.02 (ours)"),
        (r"$\lambda^2$, 5 %", "λ², 5 %", r"$\lambda^2$, 5 \%"),
        (r"w/o $\Delta x$_1", "w/o Δx_1", r"w/o $\Delta x$\_1"),
        ("from $5 to $10", "from $5 to $10", r"from \$5 to \$10"),
        (r"$\mathrm{NB}\,\times\,2$", "NB × 2", r"$\mathrm{NB}\,\times\,2$"),
    ],
)
def test_a_label_plain_and_in_latex(source: str, plain: str, latex: str):
    label = Label.of(source)
    assert label == plain and isinstance(label, str)
    assert latex_escape(label) == latex
    assert source not in plain or "$" not in latex.replace(r"\$", "")


def test_text_that_is_no_label_is_escaped_whole():
    assert latex_escape("$q$") == r"\$q\$"
    assert latex_escape("λ of Σ") == r"$\lambda$ of $\Sigma$"


def test_every_table_reads_in_labels_and_its_csv_keeps_names(judgement: Judgement):
    for table in all_tables(judgement):
        rows = [row.label for row in table.rows]
        if table.corner == "variant":
            assert {"w/o noise_1 & co", "q_λ = 2 % (ours)", "対照"} <= set(rows)
            assert r"$q_{\lambda}$ = 2 \% (ours)" in to_latex(table)
            assert "q\\_λ = 2 % (ours)" in to_markdown(table)
            assert "directional" in to_csv(table) and "ours" not in to_csv(table)
        if table.name == "claims":
            assert rows == ["q_λ = 2 % (ours) > w/o noise_1 & co by I-AUROC"]


def test_findings_read_in_labels(judgement: Judgement):
    (claim,) = claim_findings(judgement)
    assert claim.subject == "q_λ = 2 % (ours) > w/o noise_1 & co"
    assert [f.subject for f in headline(judgement)] == [
        f"{label} vs dinomaly" for label in ("w/o noise_1 & co", "q_λ = 2 % (ours)", "対照")
    ]


def test_a_variant_without_label_is_its_name(judgement: Judgement):
    assert variant_label(judgement.results, "dinomaly") == "dinomaly"
    assert variant_label(None, "top-q") == "top-q"
