"""A plug-in beside a study: through the real command line, without an edit of the package."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "plugin_example" / "streak_ideas.py"
DOCUMENT = ROOT / "docs" / "plugins.md"

STUDY = """\
study: own-ideas
plugins: [streak_ideas]
data: {dataset: listed, root: data}
base:
  encoder: {name: quarters, blocks: [0, 1]}
  image: {resize: 64, crop: 64}
  decoder: {depth: 2, heads: 4}
  train: {iterations: 4, batch_size: 4, warmup: 1}
  score: {map_size: 32}
variants:
  plain: {}
  rows: {plugins.row_noise.strength: 0.5}
  rising: {plugins.row_noise: {strength: {from: 0.0, to: 1.0}, pull: 2.0}}
  off: {plugins.row_noise.strength: 0.0}
seeds: 2
claims: [rows > plain by pointing]
report: {primary: Pointing}
"""

SEARCH = """\
study: own-search
plugins: [streak_ideas]
data: {dataset: stripes, stripes: {train: 4, test_good: 2, test_bad: 2, size: 64}}
base:
  encoder: {name: quarters, blocks: [0, 1]}
  image: {resize: 64, crop: 64}
  decoder: {depth: 2, heads: 4}
  train: {iterations: 2, batch_size: 4, warmup: 1}
  score: {map_size: 32}
search:
  space: {plugins.row_noise.strength: {low: 0.0, high: 1.0}}
  sampler: random
  trials: 2
  objective: pointing
  seeds: [0]
  fresh_seeds: [1, 2]
seeds: 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: the plug-in, the data and the studies side by side."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "streak_ideas.py").write_text(EXAMPLE.read_text())
    (folder / "own.yaml").write_text(STUDY)
    (folder / "search.yaml").write_text(SEARCH)
    data = folder / "data"
    data.mkdir()
    draw = np.random.default_rng(0)
    rows = []
    for i in range(12):
        pixels = draw.integers(90, 110, (64, 64, 3), dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        if bad := i >= 9:
            pixels[20:24, 10:50] = 250
            mask[20:24, 10:50] = 255
            Image.fromarray(mask).save(data / f"mask{i}.png")
        Image.fromarray(pixels).save(data / f"{i}.png")
        rows.append((f"{i}.png", "train" if i < 6 else "test", int(bad), f"mask{i}.png" if bad else ""))
    with (data / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "split", "label", "mask"), *rows])
    return folder


def ablate(place: Path, *arguments: str, code: int = 0) -> str:
    env = {**os.environ, "XDG_CACHE_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ablate", *arguments], cwd=place, env=env, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    """The study, run."""
    ablate(place, "run", "own.yaml", "--plain", "--workers", "1")
    return place / "results" / "own-ideas"


def test_a_study_of_own_ideas_runs_and_is_judged(finished: Path) -> None:
    frame = pd.read_csv(finished / "runs.csv", comment="#")
    own = frame[(frame.metric == "pointing") & (frame.stratum == "all")]
    assert set(own.variant) == {"plain", "rows", "rising", "off"}
    assert own.value.between(0, 1).all()
    by_key = own.groupby("variant")["key"].agg(set)
    # At its defaults the prior is the plain model: one run, not two that happen to agree.
    assert by_key["off"] == by_key["plain"]
    assert len({*by_key["plain"], *by_key["rows"], *by_key["rising"]}) == 6
    history = {
        v: pd.read_csv(finished / "runs" / sorted(by_key[v])[0] / "history.csv")
        for v in ("plain", "rows", "rising")
    }
    assert "plugins.row_noise.strength" not in history["plain"]
    assert history["rising"]["plugins.row_noise.strength"].is_monotonic_increasing
    assert history["rows"].loss.iloc[-1] != history["plain"].loss.iloc[-1]


def test_its_metric_and_knobs_stand_in_the_tables(place: Path, finished: Path) -> None:
    main = (finished / "report" / "main.md").read_text()
    assert "Pointing" in main
    assert "Pointing" in (finished / "report" / "claims.md").read_text()
    page = ablate(place, "report", "own.yaml")  # a process of its own knows the plug-in from the record
    assert "report.html" in page
    assert "plugins.row_noise.strength" in (finished / "report" / "report.html").read_text()


@pytest.mark.usefixtures("finished")
def test_plan_show_and_schema_know_the_knobs(place: Path) -> None:
    lines = json.loads(ablate(place, "plan", "own.yaml", "--json"))
    assert {row["state"] for row in lines["cells"]} <= {"cached", "duplicate"}
    assert "plugins.row_noise.strength" in ablate(place, "show", "own.yaml")
    schema = json.loads(ablate(place, "schema", "--plugin", "streak_ideas"))
    assert set(schema["definitions"]["RowNoiseConfig"]["properties"]) == {"strength", "share", "pull"}
    assert "listed" in json.dumps(schema["definitions"]["DataConfig"])
    assert "pointing" in json.dumps(schema)


@pytest.mark.usefixtures("finished")
def test_an_edited_plug_in_is_another_run(place: Path) -> None:
    """Its code is in the keys of what it computes."""
    source = place / "streak_ideas.py"
    text = source.read_text()
    source.write_text(text.replace("distances.mean(", "distances.amax("))
    try:
        lines = json.loads(ablate(place, "plan", "own.yaml", "--json"))
    finally:
        source.write_text(text)
    assert {row["state"] for row in lines["cells"] if row["variant"] == "rows"} == {"new"}


def test_a_search_proposes_its_knob(place: Path) -> None:
    ablate(place, "run", "search.yaml", "--plain", "--workers", "1")
    found = place / "results" / "own-search"
    configs = [json.loads(path.read_text())["config"] for path in found.glob("runs/*/config.json")]
    strengths = {config["plugins"].get("row_noise", {"strength": 0.0})["strength"] for config in configs}
    assert len(strengths) > 1
    assert all(0 <= strength <= 1 for strength in strengths)
    assert "plugins.row_noise.strength" in (found / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plugins: [streak_idea]", "own.yaml:2:11: there is no plug-in 'streak_idea'"),
        ("plugins: [broken]", "own.yaml:2:11: the plug-in 'broken' cannot be imported: ZeroDivisionError"),
        ("plugins: [empty]", "own.yaml:2:11: the module empty is no plug-in: it has no PLUGIN"),
        ("plugins: [streak_ideas, streak_ideas]", "own.yaml:2:25: plugins: 'streak_ideas' is given twice"),
        ("plugins: [taken]", "own.yaml:2:11: an encoder named 'texture' is registered already"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said_at_its_place(place: Path, line: str, said: str) -> None:
    (place / "broken.py").write_text("1 / 0\n")
    (place / "empty.py").write_text("")
    (place / "taken.py").write_text(
        "from model.plugins import Plugin\n"
        "from model.encoders.build import entry_of\n"
        "PLUGIN = Plugin(encoders={'texture': entry_of('any')})\n"
    )
    bad = place / "bad"
    bad.mkdir(exist_ok=True)
    for name in ("broken", "empty", "taken", "streak_ideas"):
        (bad / f"{name}.py").write_text((place / f"{name}.py").read_text())
    (bad / "own.yaml").write_text(STUDY.replace("plugins: [streak_ideas]", line))
    told = ablate(bad, "plan", "own.yaml", code=2)
    assert said in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1


def test_a_plug_in_that_has_the_name_of_another_module_is_refused(place: Path) -> None:
    folder = place / "named"
    folder.mkdir()
    (folder / "wave.py").write_text("")  # a name of the standard library
    (folder / "own.yaml").write_text(STUDY.replace("[streak_ideas]", "[wave]"))
    told = ablate(place, "plan", "named/own.yaml", code=2)
    assert f"own.yaml:2:11: the plug-in 'wave' is {folder.resolve() / 'wave.py'}, but" in told
    assert "rename" in told and "Traceback" not in told


def test_an_unknown_knob_is_told_with_the_plug_in_s_own(place: Path) -> None:
    (place / "typo.yaml").write_text(STUDY.replace("row_noise.strength: 0.5", "row_noise.strenght: 0.5"))
    told = ablate(place, "plan", "typo.yaml", code=2)
    assert "did you mean 'plugins.row_noise.strength'" in told


def test_what_the_documentation_shows_runs(place: Path) -> None:
    """The module and the study of docs/plugins.md, made small."""
    parts = re.findall(r"```(python|yaml)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    shown = place / "shown"
    shown.mkdir()
    (shown / "row_noise.py").write_text(next(text for kind, text in parts if kind == "python"))
    (shown / "study.yaml").write_text(next(text for kind, text in parts if kind == "yaml"))
    ablate(shown, "run", "study.yaml", "--smoke", "--plain", "--workers", "1")
    frame = pd.read_csv(shown / "results" / "row-noise-smoke" / "runs.csv", comment="#")
    assert set(frame.variant) == {"baseline", "rows", "late"}
    assert (frame.groupby("seed").key.nunique() == 3).all()


def test_every_touch_point_that_contributing_names_exists() -> None:
    """A document that names a file or a function that is gone sends a newcomer into the woods."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:model|ablate|tests|docs)/[\w/.]*)`", text))
    assert {"model/priors/", "model/student.py", "model/canonical.py"} <= named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "model").rglob("*.py"))
    for function in re.findall(r"`(register_\w+)`", text):
        assert f"def {function}(" in source
