"""Rows from elsewhere: read in either form, refused with file and line, shown apart and never compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.quoted import import_quoted, read_quoted
from ablate.report.rendering import to_markdown
from ablate.report.tables.categories import category_table
from ablate.report.tables.main import main_table
from model.errors import DataError
from tests.ablate.report_inputs import MVTEC, column, results

WIDE = "method,I-AUROC,AUPRO\nPatchCore,99.1,93.5\nRD4AD,98.5,\n"
LONG = (
    "variant,metric,value,category,seed\n"
    "Ours,image_auroc,97.0,domain_a,0\nOurs,image_auroc,99.0,domain_a,1\n"
)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_column_per_metric_or_a_line_per_value(tmp_path: Path) -> None:
    assert import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE), source="Roth 2022, Tab. 1") == 3
    assert import_quoted(tmp_path, written(tmp_path / "l.csv", LONG), source="other framework") == 2
    rows = {row.variant: row for row in read_quoted(tmp_path)}
    assert rows["PatchCore"].source == "Roth 2022, Tab. 1"
    assert rows["PatchCore"].estimate("image_auroc", None).mean == pytest.approx(0.991)
    assert rows["RD4AD"].estimate("aupro", None).n == 0
    ours = rows["Ours"].estimate("image_auroc", "domain_a")
    assert (ours.n, ours.mean) == (2, pytest.approx(0.98)) and ours.sd == pytest.approx(0.0141, abs=1e-4)


def test_importing_again_replaces(tmp_path: Path) -> None:
    import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE), source="A")
    import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE.replace("99.1", "99.3")), source="A")
    values = [row.estimate("image_auroc", None).mean for row in read_quoted(tmp_path)]
    assert values == [pytest.approx(0.993), pytest.approx(0.985)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variant,metric\na,b\n", "column value is missing"),
        (
            "variant,metric,value\na,image_auroc,97\na,imge_auroc,97\n",
            ":3: metric 'imge_auroc'.*image_auroc",
        ),
        ("variant,metric,value\na,image_auroc,971\n", ":2: value '971' is not 0 to 100"),
        ("variant,metric,value\na,image_auroc,high\n", ":2: value 'high'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        import_quoted(tmp_path, written(tmp_path / "x.csv", text), source="A")
    assert not (tmp_path / "quoted.csv").exists()


def test_a_source_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source"):
        import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE))


def test_tables_set_quoted_rows_apart_and_compare_nothing(tmp_path: Path) -> None:
    import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE), source="Roth 2022")
    made = replace(results(), quoted=read_quoted(tmp_path))
    table = main_table(Judgement(made))
    assert [row.label for row in table.rows][-2:] == ["PatchCore", "RD4AD"] and table.rows[-2].rule
    cell = column(table, "I-AUROC")["PatchCore"]
    assert cell.text == "99.1" and cell.mark and not cell.bold and not cell.keys
    assert f"({cell.mark}) quoted from Roth 2022: not run here, not compared." in table.notes
    assert (
        column(table, "AUPRO")["RD4AD"].text == "–" and column(table, "Δ I-AUROC")["PatchCore"].text == ""
    )
    without = main_table(Judgement(results()))
    assert [row.cells for row in table.rows[:4]] == [row.cells for row in without.rows]  # marks as before
    assert "Roth 2022" in to_markdown(category_table(Judgement(made)))
    assert list(table.raw["quoted_from"].dropna().unique()) == ["Roth 2022"]


def test_a_table_with_categories_as_rows_has_quoted_columns(tmp_path: Path) -> None:
    import_quoted(tmp_path, written(tmp_path / "w.csv", WIDE), source="Roth 2022")
    many = replace(results(categories=MVTEC, seeds=2, strata=False), quoted=read_quoted(tmp_path))
    table = category_table(Judgement(many))
    assert [c.label for c in table.columns if c.group == "quoted"] == ["PatchCore", "RD4AD"]
    assert (
        column(table, "PatchCore")["mean"].text == "99.10"
        or column(table, "PatchCore")["mean"].text == "99.1"
    )
