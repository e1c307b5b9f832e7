"""What trained variants attend to: a real tiny study, and what is said where there is nothing to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablate.cli import commands as cli
from ablate.doors import run_study
from ablate.report.figures.attention import attention_png, draw_attention
from ablate.report.figures.style import style
from ablate.running.attended import attended, parse_token
from ablate.study.reading import parse_spec
from model.errors import CheckpointError, ConfigError

STUDY = """\
study: small
data: {dataset: stripes, categories: [domain_c], stripes: {size: 64, train: 4, test_good: 2, test_bad: 2}}
base:
  preset: pocket
  image: {resize: 64, crop: 64}
  train: {iterations: 3, warmup: 0}
  score: {map_size: 32}
variants: {plain: {}, biased: {bias.lambda: 0.9}, row: {method: subspace}}
seeds: 1
keep: {weights: true}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("attended")
    spec = parse_spec(STUDY, root / "s.yaml")
    run_study(spec, results=root / "results", cache=root / "cache")
    return root / "results" / "small", root / "cache"


@pytest.mark.slow
def test_two_variants_are_set_side_by_side_on_the_first_defect(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, cache = study
    made = attended(folder, ["plain", "biased"], cache=cache)
    assert list(made.rows) == ["plain", "biased"] and made.name.endswith(".png")
    for name, weights in made.rows.items():
        assert float(weights.sum()) + made.prefix[name] == pytest.approx(1.0, abs=1e-4)
    assert made.along("biased")[0] < 0.5 * made.along("plain")[0]  # its row is weakened, its column is not
    assert made.along("biased")[1] > 0.9 * made.along("plain")[1]
    with style():
        axes = draw_attention(made).axes
    assert [ax.get_title() for ax in axes[1:3]] == ["plain", "biased"]
    assert attention_png(made).startswith(b"\x89PNG")
    out = tmp_path / "a.png"
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["show", str(folder), "--attention", "plain,biased", "--out", str(out), "--cache", str(cache)]
        )
    assert ended.value.code == 0 and out.read_bytes() == attention_png(made)


@pytest.mark.slow
def test_image_and_token_can_be_named(study: tuple[Path, Path]) -> None:
    folder, cache = study
    image = next(cache.rglob("*/test/good/*.png"))
    made = attended(folder, ["plain"], cache=cache, image=image, token=(1, 0))
    assert (made.token, made.name) == ((1, 0), image.name)
    assert np.isfinite(made.rows["plain"]).all()


@pytest.mark.slow
def test_what_cannot_be_shown_says_why(study: tuple[Path, Path]) -> None:
    folder, cache = study
    with pytest.raises(ConfigError, match="lies outside the grid"):
        attended(folder, ["plain"], cache=cache, token=(99, 0))
    with pytest.raises(ConfigError, match="method subspace, which has no network"):
        attended(folder, ["row"], cache=cache)
    with pytest.raises(ConfigError, match=r"no variant 'plane'.*plain"):
        attended(folder, ["plane"], cache=cache)
    weights = sorted(folder.glob("runs/*/weights.safetensors"))
    kept = {path: path.read_bytes() for path in weights}
    for path in weights:
        path.unlink()
    with pytest.raises(CheckpointError, match=r"keep: \{weights: true\}"):
        attended(folder, ["plain"], cache=cache)
    for path, content in kept.items():
        path.write_bytes(content)


def test_a_token_is_a_row_and_a_column() -> None:
    assert parse_token("12, 7") == (12, 7) and parse_token(None) is None
    with pytest.raises(ConfigError, match="ROW,COLUMN"):
        parse_token("12")
