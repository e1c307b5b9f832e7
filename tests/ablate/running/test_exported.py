"""A finished run as an ONNX graph, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.doors import run_study
from ablate.running.exported import export_variant
from ablate.study.reading import parse_spec
from model.errors import CheckpointError, ConfigError

pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

STUDY = """\
study: small
data: {dataset: stripes, categories: [domain_a], stripes: {size: 64, train: 4, test_good: 2, test_bad: 2}}
base:
  preset: pocket
  image: {resize: 64, crop: 64}
  train: {iterations: 3, warmup: 0}
  score: {map_size: 32}
variants: {dinomaly: {}, row: {method: subspace}}
seeds: 1
keep: {weights: true}
"""


@pytest.mark.slow
def test_a_trained_variant_is_exported_and_a_reference_row_is_not(tmp_path: Path):
    spec = parse_spec(STUDY, tmp_path / "s.yaml")
    run_study(spec, results=tmp_path / "results", cache=tmp_path / "cache")
    folder, out = tmp_path / "results" / "small", tmp_path / "model.onnx"
    assert export_variant(folder, "dinomaly", out) < 1e-4
    session = ort.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["maps", "scores"]
    with pytest.raises(ConfigError, match="method subspace, which has no network"):
        export_variant(folder, "row", out)
    with pytest.raises(ConfigError, match=r"no variant 'dinomoly'.*dinomaly"):
        export_variant(folder, "dinomoly", out)
    (weights,) = folder.glob("runs/*/weights.safetensors")
    weights.unlink()
    with pytest.raises(CheckpointError, match="did not keep its weights"):
        export_variant(folder, "dinomaly", out)
