"""The seal: what was declared first counts, whatever is written later; the chain shows any change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate import doors
from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.seal import note_look, read_sealed, seal
from ablate.study.plan import Plan, Sources, make_plan
from ablate.study.reading import load_spec
from model.errors import StorageError
from tests.ablate.report_inputs import SPEC, write_study


def plan_of(workspace: Workspace, text: str = SPEC) -> Plan:
    """The study's plan, its study file replaced by ``text``."""
    workspace.study_dir.mkdir(parents=True, exist_ok=True)
    workspace.spec.write_text(text)
    sources = Sources(
        categories=lambda _: ("domain_a", "domain_b", "domain_c"),
        data=lambda _data, _categories: "0",
        encoder=lambda _encoder: "0",
    )
    plan = make_plan(load_spec(workspace.spec), cache_dir=workspace.study_dir, sources=sources)
    write_plan(workspace, StoredPlan.of(plan))
    return plan


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "directional-tail")


def test_before_the_first_run_a_study_may_change(workspace: Workspace) -> None:
    first = seal(workspace, plan_of(workspace))
    assert seal(workspace, plan_of(workspace)) == first  # nothing new, nothing noted
    again = seal(workspace, plan_of(workspace, SPEC.replace("by aupro", "by pixel_ap")))
    assert [entry.kind for entry in again.entries] == ["seal", "seal"]
    assert again.first is not None and again.first.previous == again.entries[0].digest
    assert {claim.metric for claim in again.claims} == {"image_auroc", "pixel_ap"}


def test_claims_deleted_after_the_runs_still_count_and_new_ones_are_exploratory(
    workspace: Workspace,
) -> None:
    seal(workspace, plan_of(workspace))
    write_study(workspace.study_dir, pictures=False)
    before = Judgement(gather(workspace.study_dir)).claims
    changed = SPEC.replace("  - top-q < control by aupro\n", "  - top-q > dinomaly by aupro\n")
    sealed = seal(workspace, plan_of(workspace, changed))
    assert [entry.kind for entry in sealed.entries] == ["seal", "change"]
    made = gather(workspace.study_dir)
    after = Judgement(made).claims
    assert {j.family for j in before} == {3}
    declared = {str(j.claim): (j.verdict, j.p_holm) for j in after if not j.exploratory}
    assert declared == {str(j.claim): (j.verdict, j.p_holm) for j in before}
    assert [str(j.claim) for j in after if j.withdrawn] == ["top-q < control by aupro"]
    assert [str(j.claim) for j in after if j.exploratory] == ["top-q > dinomaly by aupro"]
    assert any("after the first runs: claims" in warning for warning in made.warnings)


def test_looks_are_counted_once_each(workspace: Workspace) -> None:
    seal(workspace, plan_of(workspace))
    note_look(workspace, {"a > b by aupro": (3, "undecided")})
    note_look(workspace, {"a > b by aupro": (3, "undecided")})
    found = note_look(workspace, {"a > b by aupro": (5, "supported"), "c > b by aupro": (0, "incomplete")})
    assert [entry.kind for entry in found.entries] == ["seal", "look", "look"]
    assert read_sealed(workspace).looks == {"a > b by aupro": (3, 5)}


def test_a_report_in_the_middle_is_a_look_and_seeds_raised_later_pay_for_it(workspace: Workspace) -> None:
    seal(workspace, plan_of(workspace))
    write_study(workspace.study_dir, pictures=False)
    plain = doors.judge(workspace.study_dir).claims
    assert all(j.sequential is None for j in plain)  # as declared: all seeds at once
    assert set(read_sealed(workspace).looks.values()) == {(5,)}
    raised = SPEC.replace("seeds: 5", "seeds: 7")
    seal(workspace, plan_of(workspace, raised))
    write_study(workspace.study_dir, raised, pictures=False)
    later = doors.judge(workspace.study_dir).claims
    assert all(j.sequential is not None and len(j.sequential.looks) == 2 for j in later)


@pytest.mark.parametrize("damage", ["altered", "left out", "moved"])
def test_an_altered_ledger_is_refused(workspace: Workspace, damage: str) -> None:
    seal(workspace, plan_of(workspace))
    for n in (2, 3, 4):
        note_look(workspace, {"a > b by aupro": (n, "undecided")})
    lines = workspace.claims.read_text().splitlines()
    if damage == "altered":
        entry = json.loads(lines[0])
        entry["content"]["alpha"] = 0.1
        lines[0] = json.dumps(entry)
    elif damage == "left out":
        del lines[2]
    else:
        lines[1], lines[2] = lines[2], lines[1]
    workspace.claims.write_text("\n".join(lines) + "\n")
    with pytest.raises(StorageError, match="was altered"):
        read_sealed(workspace)


def test_a_study_without_a_seal_is_judged_by_its_file(workspace: Workspace) -> None:
    made = write_study(workspace.study_dir, pictures=False)
    assert made.seal == "" and len(made.claims) == 3 and made.exploratory == ()
    doors.judge(workspace.study_dir)
    assert not workspace.claims.exists()
