"""Behavioural: one model by its door, on drawn images; what docs/model.md shows does run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import model
from model.errors import ConfigError, DataError

DOCUMENT = Path(__file__).parents[2] / "docs/model.md"
SMALL = {
    "image": {"resize": 64, "crop": 64},
    "train": {"iterations": 30, "warmup": 3},
    "score": {"map_size": 32},
}


def draw(count: int, seed: int, defect: bool = False, side: int = 72) -> list[Image.Image]:
    """Grey noise; a defect is a bright bar in the upper left."""
    rng = np.random.default_rng(seed)
    values = rng.normal(120, 8, (count, side, side)).clip(0, 255).astype(np.uint8)
    if defect:
        values[:, 16:22, 10:40] = 255
    return [Image.fromarray(image) for image in values]


def written(folder: Path, images: list[Image.Image]) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        image.save(folder / f"{number:03d}.png")
    return folder


def test_a_defect_scores_higher_and_lies_where_it_is(tmp_path: Path) -> None:
    detector = model.build("pocket", **SMALL).fit(written(tmp_path / "normal", draw(8, 0)))
    good, bad = detector.score(draw(3, 1)), detector.score(draw(3, 2, defect=True))
    assert bad.maps.shape == (3, 32, 32)
    assert bad.scores.min() > good.scores.max()
    for heat in bad.maps:
        row, column = divmod(int(heat.argmax()), 32)
        assert row < 14
        assert column < 22
    assert len(detector.history) == 30


def test_a_folder_its_files_and_its_pictures_are_the_same_images(tmp_path: Path) -> None:
    pictures = draw(4, 3)
    folder = written(tmp_path / "images", pictures)
    scores = []
    for images in (folder, str(folder), sorted(folder.iterdir()), pictures):
        detector = model.build("pocket", **{**SMALL, "train": {"iterations": 4}})
        scores.append(detector.fit(images, seed=1).score(images).scores.tolist())
    assert scores == [scores[0]] * 4


def test_sixteen_bits_in_memory_are_scaled_as_from_a_file(tmp_path: Path) -> None:
    grey = np.asarray(draw(1, 4)[0]).astype(np.uint16) * 257
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "deep.png")
    detector = model.build("pocket", **{**SMALL, "train": {"iterations": 2}}).fit(draw(4, 0))
    found = detector.score(
        [picture, tmp_path / "deep.png", Image.fromarray((grey // 257).astype(np.uint8))]
    )
    assert found.scores.tolist() == [found.scores[0]] * 3


def test_changes_go_over_a_preset_or_a_configuration() -> None:
    config = model.build("pocket", bias={"lambda": 0.5}, groups="one").config
    assert (config.bias.lambda_, config.groups) == (0.5, "one")
    assert config.train.iterations == 100
    assert config.encoder.name == "texture"
    assert model.build(config, train={"batch_size": 2}).config.train.iterations == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "poket"}, r"unknown preset 'poket' \(did you mean 'pocket'"),
        ({"config": "pocket", "train": {"iteration": 3}}, r"train\.iteration"),
        ({"config": "pocket", "tail": {"q": 3.0}}, "outside the allowed range"),
        ({"config": "pocket", "encoder": {"name": "vit_huge_none"}}, "unknown encoder"),
    ],
)
def test_what_cannot_be_built_is_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        model.build(**arguments)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    detector = model.build("pocket", **SMALL)
    with pytest.raises(ConfigError, match="not trained"):
        detector.score(draw(1, 0))
    with pytest.raises(DataError, match="does not exist"):
        detector.fit(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        detector.fit(tmp_path / "empty")
    (tmp_path / "empty/broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        detector.fit(tmp_path / "empty")


def test_the_documented_lines_run(tmp_path: Path) -> None:
    written(tmp_path / "images/normal", draw(4, 0))
    written(tmp_path / "images/new", draw(2, 1, defect=True))
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(DOCUMENT.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("most anomalous at") == 2


def test_the_door_is_light() -> None:
    code = (
        "import sys, model; assert 'torch' not in sys.modules; model.build; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
