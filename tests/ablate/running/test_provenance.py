"""Behavioural: which code a result came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ablate.running import provenance


def test_code_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    assert provenance.code_state(tmp_path) is None


def commit_all(folder: Path) -> None:
    """Make a folder a checkout with one commit of all that is in it."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for arguments in (("init",), ("add", "."), ("commit", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_a_checkout_is_identified_by_commit_and_difference(tmp_path: Path) -> None:
    module = tmp_path / "__init__.py"
    module.write_text("a = 1\n")
    commit_all(tmp_path)
    clean = provenance.code_state(tmp_path)
    assert clean is not None
    assert (clean["dirty"], clean["diff"]) == (False, None)
    assert len(clean["commit"]) == 40
    module.write_text("a = 2\n")
    dirty = provenance.code_state(tmp_path)
    module.write_text("a = 3\n")
    other = provenance.code_state(tmp_path)
    assert dirty is not None and other is not None
    assert dirty["dirty"] and dirty["commit"] == clean["commit"]
    assert dirty["diff"] != other["diff"]


def test_only_the_folders_of_code_count(tmp_path: Path) -> None:
    code = (tmp_path / "ablate", tmp_path / "model")
    for folder in (*code, tmp_path / "studies"):
        folder.mkdir()
        (folder / "__init__.py").write_text("a = 1\n")
    commit_all(tmp_path)
    (tmp_path / "studies" / "__init__.py").write_text("a = 2\n")
    (tmp_path / "studies" / "plug_in.py").touch()
    clean = provenance.code_state(*code)
    assert clean is not None and (clean["dirty"], clean["diff"]) == (False, None)

    (tmp_path / "model" / "parts").mkdir()
    for added in (tmp_path / "model" / "new.py", tmp_path / "model" / "parts" / "new.py"):
        added.touch()
        state = provenance.code_state(*code)
        assert state is not None and state["dirty"]
        added.unlink()
    (tmp_path / "model" / "__init__.py").write_text("a = 2\n")
    changed = provenance.code_state(*code)
    assert changed is not None and changed["dirty"]


def test_a_result_comes_from_both_packages() -> None:
    assert all((folder / "__init__.py").is_file() for folder in provenance.CODE)
    assert [folder.name for folder in provenance.CODE] == ["ablate", "model"]
