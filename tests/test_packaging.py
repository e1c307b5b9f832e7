"""Behavioural: what goes to an index, into a container and to a continuous-integration service is whole.

The image's recipe is checked as text, after hadolint's rules; where docker answers, docker checks it
too. Building it downloads gigabytes and is left to the workflow.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.shown_commands import mistake, shown_in_shell

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="LOUD: no tomllib, so the metadata is not checked")

ROOT = Path(__file__).parents[1]
WORKFLOWS = [ROOT / ".github/workflows/check.yml", ROOT / "docs/templates/claims-gate.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# ----------------------------------------------------------------------------------- image


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, its words) of a Dockerfile, comments gone and continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", lines)
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def faults(text: str) -> list[str]:
    """What hadolint would say of a Dockerfile, by its rules' numbers."""
    steps = instructions(text)
    said = []
    for name, words in steps:
        if name == "FROM" and (":" not in words or words.endswith(":latest")):
            said.append("DL3006: no version of the base image")
        if name == "ADD":
            said.append("DL3020: COPY, not ADD")
        if name == "WORKDIR" and not words.startswith("/"):
            said.append("DL3000: WORKDIR is not absolute")
        if name == "RUN" and re.search(r"\bsudo\b", words):
            said.append("DL3004: sudo")
        if name == "RUN" and re.search(r"\bcd /", words):
            said.append("DL3003: WORKDIR, not cd")
        if name == "RUN" and "pip install" in words and "--no-cache-dir" not in words:
            said.append("DL3042: pip keeps its cache")
        if name == "RUN" and "apt-get install" in words and "--no-install-recommends" not in words:
            said.append("DL3015: apt installs what is only recommended")
        if name in ("ENTRYPOINT", "CMD") and not words.startswith("["):
            said.append("DL3025: arguments are no JSON")
    users = [words for name, words in steps if name == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        said.append("DL3002: the last user is root")
    return said


def test_the_recipe_of_the_image_is_sound() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert faults(text) == []
    steps = instructions(text)
    assert ("ENTRYPOINT", '["ablate"]') in steps
    assert [name for name, _ in steps].index("USER") < [name for name, _ in steps].index("ENTRYPOINT")
    arguments = dict(words.split("=") for name, words in steps if name == "ARG")
    assert arguments["TORCH_INDEX"] == ""
    assert set(arguments["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    copied = [
        word for name, words in steps if name == "COPY"
        for word in words.split()[:-1] if not word.startswith("--")
    ]  # fmt: skip
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {"model", "ablate", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} <= set(
        copied
    )
    assert [word for word in copied if not (ROOT / word).exists() or f"!{word}" not in ignore] == []


def test_unsound_recipes_are_seen() -> None:
    """The tests above can fail."""
    text = (
        "FROM python\nADD . /x\n# ADD\nRUN cd /x && \\\n  sudo pip install x\nWORKDIR x\nCMD x\nUSER root\n"
    )
    assert [said.split(":")[0] for said in faults(text)] == [
        "DL3006", "DL3020", "DL3004", "DL3003", "DL3042", "DL3000", "DL3025", "DL3002",
    ]  # fmt: skip


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not docker_answers(), reason="LOUD: no docker, so the recipe is checked as text only")
def test_docker_takes_the_recipe() -> None:
    done = subprocess.run(
        ["docker", "build", "--check", "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------- workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_sound(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = YAML(typ="safe").load(text)
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 360
        for step in job["steps"]:
            assert len({"uses", "run"} & set(step)) == 1
            assert re.search(r"@v\d+$", step.get("uses", "@v0")), "an action without its version"
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    # What the image is told stands behind its name.
    shown = [line for run in runs for line in shown_in_shell(re.sub(r"docker run \S+ (?=ablate)", "", run))]
    assert len(shown) >= 2
    assert [said for said in map(mistake, shown) if said] == []


def test_the_projects_own_workflow_runs_what_the_readme_says() -> None:
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    assert "run: .ci/run" in text
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f'"{oldest}"' in text


def test_the_template_is_a_gate() -> None:
    steps = YAML(typ="safe").load(WORKFLOWS[1].read_text(encoding="utf-8"))["jobs"]["claims"]["steps"]
    assert any("claims" in step.get("run", "") and "--strict" in step["run"] for step in steps)
    assert not any("|| true" in step.get("run", "") or "continue-on-error" in step for step in steps)


# -------------------------------------------------------------------------------- metadata


def test_the_version_is_said_once() -> None:
    import model

    assert PROJECT["version"] == model.__version__
    assert f"version: {model.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert model.__version__ in titles


def test_the_metadata_name_every_version_of_python_they_allow() -> None:
    named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if ":: Python :: 3." in text]
    assert named[0] == PROJECT["requires-python"].removeprefix(">=")
    assert len(set(PROJECT["classifiers"])) == len(PROJECT["classifiers"])


def _setuptools() -> int:
    try:
        return int(version("setuptools").split(".")[0])
    except ModuleNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.skipif(_setuptools() < 77, reason="LOUD: no setuptools >= 77, so no wheel is built")
def test_the_wheel_holds_everything_that_the_program_reads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("ablate", "model"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]):
        shutil.copy(ROOT / name, source / name)
    code = f"from setuptools import build_meta; build_meta.build_wheel({json.dumps(str(tmp_path))})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {
        path.relative_to(source).as_posix()
        for name in ("ablate", "model")
        for path in (source / name).rglob("*")
        if path.is_file()
    }
    assert files - held == set()
    assert not any(name.startswith("tests") for name in held)
