"""Behavioural: a study by its doors; what docs/python.md and docs/ablate.ipynb show does run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import ablate
from ablate.report.numbers import Style
from model.errors import ConfigError
from tests.ablate.report_inputs import write_study

ROOT = Path(__file__).parents[2]


def code_of_the_page() -> str:
    """The indented block of docs/python.md."""
    lines = (ROOT / "docs/python.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(line[4:] for line in lines if line.startswith("    "))


def code_of_the_notebook() -> str:
    cells = json.loads((ROOT / "docs/ablate.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Execute ``code`` where a reader would: in a folder that holds ``studies/``."""
    (folder / "studies").mkdir(exist_ok=True)
    study = (ROOT / "studies/quickstart.yaml").read_text(encoding="utf-8")
    (folder / "studies/quickstart.yaml").write_text(study, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ABLATE_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_page_and_the_notebook_run(tmp_path: Path) -> None:
    # The cache of drawn images and features: not the user's.
    page = code_of_the_page().replace("workers=1)", "workers=1, cache='cache')")
    checks = """
assert outcome.exit_code == 0, outcome.lines
assert set(results.frame["variant"]) == {"dinomaly", "top-q", "directional"}
assert [str(claim) for claim in results.claims] == ["directional > top-q on domain_c by image_auroc"]
assert len(judgement.claims) == 1
"""
    done = run(page + checks, tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "results").glob("*/report/*.html")
    assert made.stat().st_size > 10_000
    notebook = code_of_the_notebook().replace("workers=1)", "workers=1, cache='cache')")
    done = run(notebook, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"directional > top-q on domain_c by image_auroc -> \w+", done.stdout)
    assert not list((tmp_path / "results").glob("*/.attempts/*"))


def test_every_door_opens_and_no_other() -> None:
    assert {name for name in ablate.__all__ if not callable(getattr(ablate, name))} == {"__version__"}
    assert set(ablate.__all__) <= set(dir(ablate))
    with pytest.raises(AttributeError, match="has no attribute 'run_studies'"):
        ablate.run_studies  # noqa: B018 - the access is what is tested


def test_what_a_user_can_mend_is_one_line(tmp_path: Path) -> None:
    from model.errors import UserError

    for call in (
        lambda: ablate.load_spec(tmp_path / "none.yaml"),
        lambda: ablate.gather(tmp_path / "none"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert "\n" not in str(caught.value) and "none" in str(caught.value)


def test_a_report_for_a_venue_has_its_widths_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    study = "study: s\ndata: {dataset: stripes}\nvariants: {a: {}, b: {tail.q: 0.02}}\nseeds: 2\n"
    write_study(tmp_path / "s", study, pictures=False)
    ablate.make_report(tmp_path / "s", Style(venue="eccv2024"))
    with Image.open(tmp_path / "s/report/figures/mechanism.png") as picture:
        assert picture.width / picture.info["dpi"][0] == pytest.approx(4.8, abs=0.02)
    with pytest.raises(ConfigError, match="--venue: 'nips' is not known"):
        Style(venue="nips")
