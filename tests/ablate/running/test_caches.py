"""Behavioural: what of the cache nobody reads is named with its size, and only that is deleted."""

from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from ablate.running.caches import Unused, unused_caches
from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.search_definition import Definition, dump_definition
from ablate.running.session import RunOptions, new_session, open_session
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import parse_spec
from model.data.stripes.write import stripes_name
from model.features import encoder_id

SPEC = "study: s\ndata: {dataset: stripes}\nbase: {preset: pocket}\nvariants: {a: {}}\nseeds: 1\n"
SEARCH = "search: {space: {tail.q: {low: 0.1, high: 0.9}}, trials: 2, seeds: 1, fresh_seeds: 2}"


@pytest.fixture
def cache(tmp_path: Path) -> tuple[Path, Path, dict[str, Path]]:
    spec = parse_spec(SPEC, tmp_path / "s.yaml")
    sources = Sources(lambda _data: ("domain_a",), lambda _data, _held: "", lambda _encoder: "")
    plan = make_plan(spec, cache_dir=tmp_path, sources=sources)
    study = tmp_path / "results" / "s"
    study.mkdir(parents=True)
    write_plan(Workspace(study), StoredPlan.of(plan))
    root = tmp_path / "cache"
    folders = {
        "read": root / "features" / encoder_id(plan.runs[0].config),
        "other": root / "features" / "0123456789abcdef0123",
        "drawn": root / stripes_name(spec.data.stripes),
        "drawn before": root / "stripes-0000",
        "somebody's": root / "truth",
    }
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / "part.bin").write_bytes(bytes(1000))
    return root, study, folders


def test_only_what_no_study_reads_is_listed_then_deleted(cache: tuple[Path, Path, dict[str, Path]]) -> None:
    root, study, folders = cache
    unused = {folders["other"], folders["drawn before"]}
    listed = unused_caches(root, [study]).litter
    assert {item.path for item in listed} == unused and {item.size for item in listed} == {1000}
    assert all(folder.is_dir() for folder in folders.values())
    unused_caches(root, [study], dry=False)
    assert {folder for folder in folders.values() if not folder.is_dir()} == unused


def test_what_is_being_filled_stays(cache: tuple[Path, Path, dict[str, Path]]) -> None:
    root, study, folders = cache
    with filelock.FileLock(folders["other"] / "part.lock"):
        assert [item.path for item in unused_caches(root, [study]).litter] == [folders["drawn before"]]


@pytest.mark.parametrize("searching", [True, False])
def test_a_search_reads_its_base_before_its_winner_is_known(
    cache: tuple[Path, Path, dict[str, Path]], searching: bool
) -> None:
    root, study, folders = cache
    workspace = Workspace(study)
    spec = parse_spec(SPEC.replace("variants: {a: {}}", SEARCH), study / "s.yaml")
    write_plan(workspace, StoredPlan("s", "image_auroc", (), (), search="0123" if searching else None))
    workspace.search.write_bytes(dump_definition(Definition.of(spec)))
    unused = {folders["other"], folders["drawn before"]}
    if not searching:  # search.json is of a study that was a search once
        unused |= {folders["read"], folders["drawn"]}
    assert {item.path for item in unused_caches(root, [study]).litter} == unused


@pytest.mark.parametrize("file", ["plan", "search"])
def test_where_a_study_cannot_be_read_nothing_is_deleted(
    cache: tuple[Path, Path, dict[str, Path]], file: str
) -> None:
    root, study, folders = cache
    workspace = Workspace(study)
    write_plan(workspace, StoredPlan("s", "image_auroc", (), (), search="0123"))
    (workspace.plan if file == "plan" else workspace.search).write_text("{")
    found = unused_caches(root, [study], dry=False)
    assert not found.litter and str(study) in found.left_alone and "another version" in found.left_alone
    assert all(folder.is_dir() for folder in folders.values())


def test_while_a_study_runs_nothing_is_deleted(cache: tuple[Path, Path, dict[str, Path]]) -> None:
    root, study, folders = cache
    workspace = Workspace(study)
    workspace.create()
    with open_session(workspace, new_session("digest", RunOptions())):
        found = unused_caches(root, [study], dry=False)
    assert found == Unused(left_alone=f"{study} is running")
    assert all(folder.is_dir() for folder in folders.values())


def test_a_published_study_reads_nothing(cache: tuple[Path, Path, dict[str, Path]], tmp_path: Path) -> None:
    root, study, _ = cache
    assert len(unused_caches(root, [study, tmp_path / "published"]).litter) == 2


def test_no_cache_is_nothing_to_clean(tmp_path: Path) -> None:
    assert unused_caches(tmp_path / "none", []) == Unused()
