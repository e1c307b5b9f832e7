"""Notes: warnings under every table, letters that are shared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.tables.every import all_tables
from ablate.report.tables.notes import SELECTION_WARNING, Notes, encoder_note
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results


def test_warnings_stand_in_every_table() -> None:
    made = replace(
        results(),
        selects_on_report=True,
        encoder="texture (built-in)",
        claims=(Claim("top-q", "dinomaly", None, "image_auroc", ">"),),
    )
    for table in all_tables(Judgement(made)):
        text = " ".join(table.notes)
        assert SELECTION_WARNING in text
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
    assert (encoder_note(encoder) == "") is fine


def test_the_same_note_keeps_its_letter() -> None:
    notes = Notes()
    assert [notes.mark(t) for t in ("late", "", "failed", "late")] == ["a", "", "b", "a"]
    assert notes.lines() == ("(a) late.", "(b) failed.")
