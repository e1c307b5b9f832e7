"""Behavioural: which code a result came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ablate.running import provenance


def test_code_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    assert provenance.code_state(tmp_path) is None


def test_a_checkout_is_identified_by_commit_and_difference(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    module = tmp_path / "__init__.py"
    module.write_text("a = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
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
