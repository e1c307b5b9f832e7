"""Tables: numbers as text, what is bold, components, and that every rendering is well formed.

Behavioural throughout; LaTeX is compiled where pdflatex is installed and checked for balance always.
"""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ablate.evidence.results import RunState
from ablate.evidence.stats import Estimate
from ablate.report import rendering, tables
from ablate.report.rendering import Table
from ablate.study.claims import Claim
from tests.ablate.report_inputs import FOUR, grid, results

MVTEC = [
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw",
    "tile", "toothbrush", "transistor", "wood", "zipper",
]  # fmt: skip


def column(table: Table, label: str) -> dict[str, rendering.Cell]:
    """Cells of one column by row label."""
    i = [c.label for c in table.columns].index(label)
    return {row.label: row.cells[i] for row in table.rows}


# ---------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("value", "text"), [(1.25, "+1.2"), (-0.34, "−0.3"), (0.04, "0.0"), (-0.04, "0.0"), (float("nan"), "–")]
)
def test_signed_numbers(value: float, text: str) -> None:
    assert tables.fixed(value, signed=True) == text


def test_spread_and_interval_keep_a_digit_where_it_matters() -> None:
    assert tables.spread_text(0.31) == "± 0.3"
    assert tables.spread_text(0.03) == "± 0.03"
    assert tables.spread_text(float("nan")) == ""
    assert tables.interval_text(Estimate(1, 1, 5, 0.02, 2.7)) == "[0.02, 2.7]"
    assert tables.interval_text(Estimate(1, 1, 5, -0.34, 2.7)) == "[−0.3, 2.7]"
    assert tables.interval_text(Estimate(1, float("nan"), 1, float("nan"), float("nan"))) == ""


# ---------------------------------------------------------------------------------- main table


def test_main_table_has_the_papers_order_and_the_baseline_grey() -> None:
    table = tables.main_table(results())
    labels = [c.label for c in table.columns if c.group in ("image", "pixel")]
    assert labels == ["I-AUROC", "I-AP", "I-F1", "P-AUROC", "P-AP", "P-F1", "AUPRO"]
    assert [row.label for row in table.rows if row.baseline] == ["dinomaly"]
    assert "5 seeds" in table.caption and any("Split: report" in note for note in table.notes)


def test_numbers_are_mean_and_sd_over_seeds() -> None:
    made = results()
    rows = made.frame.query("metric == 'image_auroc' and variant == 'top-q' and stratum == 'all'")
    seeds = rows.groupby("seed")["value"].mean() * 100
    cell = column(tables.main_table(made), "I-AUROC")["top-q"]
    assert cell.text == f"{seeds.mean():.1f}"
    assert cell.spread == f"± {seeds.std():.1f}"


def test_only_what_is_not_noise_is_bold() -> None:
    noise = results({"dinomaly": 0.0, "a": 0.0, "b": 0.0}, noise=0.01, rng_seed=5)
    assert not any(c.bold or c.underline for c in column(tables.main_table(noise), "I-AUROC").values())
    real = column(tables.main_table(results({"dinomaly": 0.0, "a": 0.03, "b": -0.03})), "I-AUROC")
    assert {v for v, c in real.items() if c.bold} == {"a"}
    assert {v for v, c in real.items() if c.underline} == {"dinomaly"}


def test_ties_at_displayed_precision_are_marked_alike() -> None:
    made = results({"dinomaly": 0.0, "a": 0.03, "b": 0.0})
    twin = made.frame[made.frame["variant"] == "a"].assign(variant="c")
    twin["value"] -= 1e-5  # the same in every seed, so told apart by no test, and printed alike
    wide = replace(made, frame=pd.concat([made.frame, twin]), variants=(*made.variants, "c"))
    cells = column(tables.main_table(wide), "I-AUROC")
    assert cells["a"].text == cells["c"].text and cells["a"].bold and cells["c"].bold


def test_one_seed_prints_no_spread_and_marks_nothing() -> None:
    table = tables.main_table(results(seeds=1))
    cells = [c for row in table.rows for c in row.cells]
    assert not any(c.spread or c.bold or c.underline for c in cells)
    assert "one seed" in table.caption


def test_missing_cells_are_dashes_with_a_reason() -> None:
    made = results()
    frame = made.frame[~((made.frame["variant"] == "control") | (made.frame["metric"] == "aupro"))]
    nans = made.frame["metric"] == "aupro"
    frame = pd.concat([frame, made.frame[nans & (made.frame["variant"] != "control")].assign(value=np.nan)])
    runs = tuple(
        replace(r, state="failed", reason="out of memory") if r.variant == "control" else r
        for r in made.runs
    )
    reasons = {("top-q", "aupro", c): "no masks" for c in made.categories}
    table = tables.main_table(replace(made, frame=frame, runs=runs, nan_reasons=reasons))
    gone, undefined = column(table, "I-AUROC")["control"], column(table, "AUPRO")["top-q"]
    assert gone.text == undefined.text == "–"
    text = " ".join(table.notes)
    assert f"({gone.mark}) failed: out of memory" in text and f"({undefined.mark}) no masks" in text


def test_fewer_seeds_or_categories_are_said() -> None:
    made = results()
    f = made.frame
    late = (f["variant"] == "top-q") & (f["seed"] > 2)
    part = (f["variant"] == "control") & (f["category"] == "domain_b")
    table = tables.main_table(replace(made, frame=f[~(late | part)]))
    text = " ".join(table.notes)
    assert "3 of 5 seeds" in text and "mean over 2 of 3 categories" in text
    assert not column(table, "I-AUROC")["control"].bold


def test_warnings_stand_in_every_table() -> None:
    made = replace(
        results(),
        selects_on_report=True,
        encoder="texture (built-in)",
        claims=(Claim("top-q", "dinomaly", None, "image_auroc", ">"),),
    )
    for table in tables.all_tables(made):
        text = " ".join(table.notes)
        assert tables.SELECTION_WARNING in text
        assert "not a DINOv2-class encoder" in text


@pytest.mark.parametrize(
    ("encoder", "fine"),
    [
        ("vit_base_patch14_reg4_dinov2, published weights", True),
        ("vit_base_patch16_dinov3, published weights", True),
        ("vit_base_patch14_reg4_dinov2 with RANDOM weights (seed 0)", False),
        ("vit_tiny_patch16_224, published weights", False),
    ],
)
def test_encoder_note(encoder: str, fine: bool) -> None:
    assert (tables.encoder_note(encoder) == "") is fine


# ---------------------------------------------------------------------------------- components


def test_components_are_derived_from_overrides() -> None:
    found = dict(tables.components(results()))
    assert list(found) == ["q = 0.02", "alpha = 0.5", "direction = vertical"]
    assert found["q = 0.02"] == {"dinomaly": False, "top-q": True, "directional": True, "control": True}
    assert [v for v, on in found["direction = vertical"].items() if on] == ["control"]


def test_component_rows_of_a_paper_table() -> None:
    """Toggles NB, LA, LL against a plain baseline; a third value shows as a value."""
    base = {"bottleneck.dropout": 0.0, "decoder.attention": "softmax", "tail.q": 1.0}
    over: dict[str, dict[str, Any]] = {
        "plain": {},
        "NB": {"bottleneck.dropout": 0.2},
        "NB+LA": {"bottleneck.dropout": 0.2, "decoder.attention": "linear"},
        "full": {"bottleneck.dropout": 0.4, "decoder.attention": "linear", "tail.q": 0.1},
    }
    made = replace(
        results(dict.fromkeys(over, 0.0)),
        overrides=over,
        settings={v: {**base, **o} for v, o in over.items()},
    )
    found = dict(tables.components(made))
    assert found["attention = linear"] == {"plain": False, "NB": False, "NB+LA": True, "full": True}
    assert found["bottleneck.dropout"] == {"plain": "0", "NB": "0.2", "NB+LA": "0.2", "full": "0.4"}


def test_named_components_replace_derived_ones() -> None:
    """As in the paper's table: a label per component, checked where it is not as in the baseline."""
    made = replace(results(), components={"B": "tail.q", "B dir.": "tail.alpha"})
    found = dict(tables.components(made))
    assert list(found) == ["B", "B dir."]
    assert found["B"] == {"dinomaly": False, "top-q": True, "directional": True, "control": True}
    assert found["B dir."] == {"dinomaly": False, "top-q": False, "directional": True, "control": True}


def test_no_components_where_nothing_is_shared() -> None:
    assert tables.components(results({"dinomaly": 0.0, "top-q": 0.0})) == []
    assert tables.components(grid(seeds=2, strata=False)) == []


# ---------------------------------------------------------------------------------- other tables


def test_per_category_table_turns_with_many_categories() -> None:
    few = tables.category_table(results())
    assert [c.label for c in few.columns] == ["domain_a", "domain_b", "domain_c", "mean"]
    assert column(few, "mean")["directional"].delta.startswith("+")
    many = tables.category_table(results(categories=MVTEC, seeds=2))
    assert [row.label for row in many.rows] == [*MVTEC, "mean"]
    assert [c.label for c in many.columns if c.baseline] == ["dinomaly"]


def test_difference_table_says_what_five_seeds_cannot() -> None:
    table = tables.difference_table(results())
    assert [row.label for row in table.rows] == ["top-q", "directional", "control"]
    assert column(table, "verdict")["directional"].text == "better"
    assert column(table, "seeds needed")["directional"].text == ""
    assert any("0.0625 at 5 seeds" in note for note in table.notes)
    assert "Holm over 3 comparisons" in table.caption
    seven = tables.difference_table(results(seeds=7))
    assert column(seven, "p (sign flip)")["directional"].text == "0.016"
    assert not any("sign-flip" in note for note in seven.notes)


def test_same_configuration_is_said_and_not_counted() -> None:
    made = replace(results(), same_as={"control": "dinomaly"})
    table = tables.difference_table(made)
    assert "Holm over 2 comparisons" in table.caption
    assert any("control is dinomaly" in note for note in table.notes)


def test_strata_table_groups_and_counts() -> None:
    made = results()
    head = {"variant": "dinomaly", "stratum": "faintness=faint", "metric": "defects", "value": 4.0}
    counts = pd.DataFrame([{**head, "seed": s, "category": c} for s in range(5) for c in made.categories])
    table = tables.strata_table(replace(made, frame=pd.concat([made.frame, counts])), "pixel_ap")
    assert table is not None
    assert [c.group for c in table.columns][:4] == ["", "orientation", "orientation", "orientation"]
    assert any("faint 12" in note for note in table.notes)
    assert tables.strata_table(results(strata=False), "pixel_ap") is None


# ---------------------------------------------------------------------------------- renderings


@functools.cache
def every_table() -> list[Table]:
    """All tables of three very different studies, with names that need escaping."""
    nasty = {"dinomaly": 0.0, "a_b & 50% #1": 0.01, "x<y>|{z}~^$\\": -0.01}
    made = [
        replace(results(), claims=(Claim("top-q", "control", "domain_c", "pixel_ap", ">"),)),
        results(nasty, seeds=2, categories=["bottle_1"]),
        results(
            {**FOUR, **{f"variant_{i}": 0.001 * i for i in range(4)}},
            categories=MVTEC,
            seeds=2,
            strata=False,
        ),
        results({"dinomaly": 0.0}, seeds=1),
    ]
    return [table for m in made for table in tables.all_tables(m)]


def test_latex_is_balanced_and_escaped() -> None:
    for table in every_table():
        text = rendering.to_latex(table)
        assert text.isascii() or not set(text) & set("−±–✓Δ×")
        bare = re.sub(r"\\[{}\\%&#_$]", "", text)
        assert bare.count("{") == bare.count("}")
        assert sorted(re.findall(r"\\begin{(\w+\*?)}", text)) == sorted(
            re.findall(r"\\end{(\w+\*?)}", text)
        )
        body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
        for line in body.splitlines():
            if line.endswith(r" \\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns), line


def test_latex_has_booktabs_and_rules_under_groups() -> None:
    text = rendering.to_latex(tables.main_table(results()))
    assert r"\toprule" in text and r"\bottomrule" in text and r"\rowcolor{black!8}" in text
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-7}\cmidrule(lr){8-11}" in text
    assert r"\checkmark{}" in text and r"\textbf{" in text and r"$\pm$" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    inputs = []
    for i, table in enumerate(every_table()):
        (tmp_path / f"t{i}.tex").write_text(rendering.to_latex(table), encoding="utf-8")
        inputs.append(rf"\input{{t{i}.tex}}\clearpage")
    (tmp_path / "all.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}"
        r"\usepackage{booktabs,graphicx,amssymb}\usepackage[table]{xcolor}\begin{document}"
        + "".join(inputs)
        + r"\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_markdown_rows_have_one_width() -> None:
    for table in every_table():
        lines = [line for line in rendering.to_markdown(table).splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert widths == {len(table.columns) + 2}


def test_csv_has_full_precision() -> None:
    made = results()
    back = pd.read_csv(io.StringIO(rendering.to_csv(tables.main_table(made))))
    row = back[(back["variant"] == "dinomaly") & (back["metric"] == "aupro")].iloc[0]
    rows = made.frame.query("metric == 'aupro' and variant == 'dinomaly'")
    assert row["mean"] == pytest.approx(100 * rows["value"].mean(), abs=1e-9)
    assert row["seeds"] == 5


def test_terminal_table_shows_brackets_and_fits() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendering.to_rich(tables.summary_table(results())))
    text = console.export_text()
    assert "Δ [interval]" in text and "[" in text.split(" directional ")[1].splitlines()[0]
    assert "…" not in text


def test_a_study_without_any_result_still_has_a_table() -> None:
    made = results()
    empty = replace(
        made,
        frame=made.frame.iloc[:0],
        runs=tuple(RunState("k", v, 0, None, "waiting") for v in made.variants),
    )
    assert tables.main_table(empty).rows
