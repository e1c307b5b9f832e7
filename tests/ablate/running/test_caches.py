"""Behavioural: what of the cache nobody reads is named with its size, and only that is deleted."""

from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from ablate.running.caches import unused_caches
from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, write_plan
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import parse_spec
from model.data.stripes.write import stripes_name
from model.features import encoder_id

SPEC = "study: s\ndata: {dataset: stripes}\nbase: {preset: pocket}\nvariants: {a: {}}\nseeds: 1\n"


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
    listed = unused_caches(root, [study])
    assert {item.path for item in listed} == unused and {item.size for item in listed} == {1000}
    assert all(folder.is_dir() for folder in folders.values())
    unused_caches(root, [study], dry=False)
    assert {folder for folder in folders.values() if not folder.is_dir()} == unused


def test_what_is_being_filled_stays(cache: tuple[Path, Path, dict[str, Path]]) -> None:
    root, study, folders = cache
    with filelock.FileLock(folders["other"] / "part.lock"):
        assert [item.path for item in unused_caches(root, [study])] == [folders["drawn before"]]


def test_no_cache_is_nothing_to_clean(tmp_path: Path) -> None:
    assert unused_caches(tmp_path / "none", []) == []
