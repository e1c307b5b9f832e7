"""``ablate export`` on a finished study: the graph gives the scores that the study recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablate.cli import commands as cli
from model.config import ImageConfig
from model.data.transforms import load_image
from model.export import PACKAGES, TOLERANCE
from tests.ablate.cli.test_output import valid

MISSING = [name for name in PACKAGES if find_spec(name) is None]

STUDY = """\
study: small
data: {dataset: stripes, categories: [domain_a], stripes: {size: 64, train: 6, test_good: 3, test_bad: 4}}
base:
  preset: pocket
  image: {resize: 64, crop: 64}
  train: {iterations: 12, warmup: 0}
  score: {map_size: 64}
variants: {biased: {bias.lambda: 0.5}}
seeds: [3]
keep: {weights: true}
"""


def ablate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ablate", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_people_are_told_where_the_graph_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ablate.cli.data_commands.find_study", lambda *_: Path())
    monkeypatch.setattr("ablate.running.exported.export_variant", lambda *_, **__: 2e-6)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["export", "s", "biased"])
    assert capsys.readouterr().out == "wrote biased.onnx: onnxruntime reproduces torch to 2.0e-06\n"


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"ONNX EXPORT IS UNTESTED: {', '.join(MISSING)} not installed")
def test_the_exported_graph_gives_the_recorded_scores(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(STUDY)
    done = ablate(tmp_path, "run", "s.yaml", "--cache", str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    done = ablate(tmp_path, "export", "s.yaml", "biased", "--onnx", "--out", "biased.onnx")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote biased.onnx: onnxruntime reproduces torch to ")
    done = ablate(tmp_path, "export", "s.yaml", "biased", "--onnx", "--out", "biased.onnx", "--json")
    assert done.returncode == 0, done.stderr
    printed = valid("export", json.loads(done.stdout))
    assert printed["path"] == "biased.onnx" and 0 <= printed["difference"] <= TOLERANCE

    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(tmp_path / "biased.onnx"), providers=["CPUExecutionProvider"]
    )
    image = ImageConfig(resize=(64, 64), crop=(64, 64))
    (path,) = (tmp_path / "results" / "small").glob("runs/*/scores.csv")
    recorded = pd.read_csv(path)
    inputs = np.stack([load_image(Path(name), image).numpy() for name in recorded.image])
    maps, scores = session.run(["maps", "scores"], {"images": inputs})
    assert maps.shape == (7, 64, 64)
    assert np.ptp(recorded.score) > 10 * TOLERANCE
    np.testing.assert_allclose(scores, recorded.score, rtol=0, atol=TOLERANCE)
