"""One model in a few lines: build it, fit it to normal images, score others.

    import model

    detector = model.build("pocket")
    detector.fit("images/normal")
    found = detector.score("images/new")  # found.scores [n], found.maps [n, s, s]

No dataset layout, no cache, no study. Features of the training images are held in memory (the base model
needs about 5 MB an image); for more than fits, and for anything that is to be compared, run a study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from model.config import ModelConfig, build_config, dump_config
from model.data.files import existing_folder, images_below
from model.data.images import as_rgb, open_image
from model.data.samples import Sample
from model.data.transforms import to_input
from model.detector import Detector, fit_detector
from model.errors import ConfigError, DataError
from model.evaluation import Predictions
from model.features import CachedFeatures, encode_batch
from model.presets import PRESETS
from model.suggest import suggestion
from model.teacher import build_teacher
from model.training import Step

Picture = str | Path | Image.Image
"""An image file, or an image in memory."""
Images = str | Path | Sequence[Picture]
"""A folder (all images in and below it, by path), or pictures in the order of the results."""


class Model:
    """A frozen teacher and what :meth:`fit` makes of its features: a trained student or a reference row.

    Parameters
    ----------
    config: everything about it.
    device: where to compute, in torch's words: ``cpu``, ``cuda``.

    Raises ConfigError or CheckpointError as :func:`model.encoders.build.build_encoder` does.
    """

    def __init__(self, config: ModelConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.teacher = build_teacher(config).to(self.device)
        self.detector: Detector | None = None
        """What :meth:`fit` made; None until then."""

    @property
    def history(self) -> list[Step]:
        """Loss, learning rate, gradient norm and knobs of every step; empty until it is trained."""
        return self.detector.history if self.detector else []

    def fit(
        self,
        images: Images,
        *,
        seed: int = 0,
        on_step: Callable[[int, int, float], None] = lambda *_: None,
    ) -> Model:
        """Fit to normal images, from new initial weights, and return this model.

        Parameters
        ----------
        seed: drives initial weights, order of images and noise; repeats are equal bit for bit on a CPU.
        on_step: told (iteration, iterations, loss) every few steps.

        Raises
        ------
        DataError: there is no image, or one cannot be read (named).
        DivergedError: the loss or the gradient became NaN or infinite.
        """
        encoded = _Encoded(self, _pictures(images))
        everything = torch.arange(len(encoded.pictures))
        parts = [
            encoded[chunk] for chunk in everything.split(encode_batch(self.device))
        ]  # each [b, G, T, C]
        features = CachedFeatures((), self.teacher.shape, parts)
        self.detector = fit_detector(
            self.config,
            self.teacher.shape,
            features,
            everything,
            seed,
            device=self.device,
            on_step=on_step,
        )
        return self

    def score(self, images: Images) -> Predictions:
        """Image scores [n] and anomaly maps [n, s, s] of n images; higher is more anomalous.

        Raises
        ------
        ConfigError: the model is not trained yet.
        DataError: there is no image, or one cannot be read (named).
        DivergedError: a score is not finite.
        """
        if self.detector is None:
            raise ConfigError("the model is not trained", hint="call fit with normal images first")
        encoded = _Encoded(self, _pictures(images))
        return self.detector.predict(encoded, torch.arange(len(encoded.pictures)))


def build(config: ModelConfig | str = "dinomaly-base", *, device: str = "cpu", **changes: Any) -> Model:
    """A model that is ready to be fitted.

    Parameters
    ----------
    config: a configuration, or a preset's name (``model.presets``; ``pocket`` needs no download).
    device: where to compute, in torch's words: ``cpu``, ``cuda``.
    changes: sections of the configuration in YAML names, over ``config``:
        ``train={"iterations": 500}, bias={"lambda": 0.5}, groups="one"``.

    Raises
    ------
    ConfigError: an unknown preset, an unknown setting or a value outside its range (named).
    CheckpointError: the encoder's weights are missing or do not fit.
    """
    values = dump_config(config) if isinstance(config, ModelConfig) else dict(_preset(config))
    for section, change in changes.items():
        inside = isinstance(change, Mapping)
        values[section] = {**values.get(section, {}), **change} if inside else change
    try:
        return Model(build_config(values), device)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {first['msg']}" if path else first["msg"]) from None


def _preset(name: str) -> Mapping[str, Any]:
    if name not in PRESETS:
        raise ConfigError(f"unknown preset '{name}'", hint=suggestion(name, PRESETS))
    return PRESETS[name].values


def _pictures(images: Images) -> Sequence[Picture]:
    if isinstance(images, str | Path):
        folder = existing_folder(Path(images), "image folder")
        images = images_below(folder)
        if not images:
            raise DataError(f"no images in {folder}")
    if not images:
        raise DataError("there are no images")
    return images


class _Encoded:
    """Group means of pictures, encoded when asked for; see :class:`model.features.Features`."""

    samples: tuple[Sample, ...] = ()

    def __init__(self, model: Model, pictures: Sequence[Picture]) -> None:
        self.pictures = pictures
        self.shape = model.teacher.shape
        self._model = model

    def __getitem__(self, indices: Tensor) -> Tensor:
        """[b] -> [b, G, T, C], float32 on the CPU."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            inputs = torch.stack(list(pool.map(self._input, indices.tolist())))  # [b, 3, S, S]
        return self._model.teacher(inputs.to(self._model.device)).float().cpu()

    def _input(self, index: int) -> Tensor:
        picture = self.pictures[index]
        if isinstance(picture, Image.Image):
            rgb = as_rgb(picture, f"image {index}")
        else:
            rgb = open_image(Path(picture))
        return to_input(rgb, self._model.config.image)
