"""Behavioural: an edit that can change a result makes every run new, another one makes none new."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.study.code import run_modules
from model.baselines import METHODS
from model.code_identity import ROOT
from model.config import build_config

KEYS = """
from tests.ablate.runner_fakes import make_fake_plan
print(*(run.key for run in make_fake_plan(["a", "b"], 2).runs))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The project's packages, to be edited."""
    for name in ("ablate", "model", "tests"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "reference")
        )
    return tmp_path


def keys(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", KEYS], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_changed_loss_is_another_run_and_a_changed_docstring_is_not(copied: Path) -> None:
    before = keys(copied)
    losses = copied / "model" / "losses.py"
    text = losses.read_text()
    losses.write_text(text.replace('"""', '"""Reworded. ', 1))
    assert keys(copied) == before
    assert text.count("return 1 - F") == 1
    losses.write_text(text.replace("return 1 - F", "return 3 * 1 - F"))
    assert set(keys(copied)) & set(before) == set()


def test_another_encoders_module_does_not_count() -> None:
    texture = run_modules(build_config({"encoder": {"name": "texture"}}))
    timm = run_modules(build_config({}))
    assert set(texture) - set(timm) == {"model.encoders.texture"}
    assert set(timm) - set(texture) == {"model.encoders.timm_vit"}


def test_what_computes_a_number_counts() -> None:
    modules = run_modules(build_config({}))
    parts = ("losses", "training", "metrics", "attention", "priors.tail", "data.transforms", "features")
    assert {f"model.{part}" for part in parts} <= set(modules)


def test_only_the_methods_own_module_counts() -> None:
    plain = run_modules(build_config({}))
    for method in METHODS.values():
        row = run_modules(build_config({"method": method.name}))
        assert set(row) - set(plain) - {"model.baselines.coreset"} == {f"model.baselines.{method.module}"}
        assert f"model.baselines.{method.module}" in row
        assert f"model.baselines.{method.module}" not in plain
