"""The network's view of an image: from files to its input, and to maps' and masks' size.

Bit-equal to torchvision's Resize (PIL, bilinear), ToTensor, CenterCrop and Normalize, which the
reference uses; written out because only the image needs torch, and the mask must not go through it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from model.config import ImageConfig, ScoreConfig
from model.data.images import open_image, open_mask
from model.data.samples import Sample

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_IS_DEFECT: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.bool_]]] = {
    "reference": lambda mask: mask > 0,
    "half": lambda mask: mask > 127,  # 127.5 is 0.5 of 255
}
"""``ScoreConfig.mask_threshold`` -> which resampled mask values [0, 255] are defect."""


def _resize_and_crop(image: Image.Image, config: ImageConfig) -> NDArray[np.uint8]:
    """[resized and cropped h, w] of a grey image, [..., 3] of an RGB one; PIL, bilinear.

    Odd margins are split half to even, as torchvision does.
    """
    (height, width), (crop_h, crop_w) = config.resize, config.crop
    resized = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - crop_h) / 2), round((width - crop_w) / 2)
    return resized[top : top + crop_h, left : left + crop_w]


def network_view(image: Image.Image, config: ImageConfig) -> Tensor:
    """What the network sees of an RGB image, before normalisation: float32 [3, crop_h, crop_w] in [0, 1].

    The one definition of it: the network's input, and everything that is shown or measured beside the
    network's maps, start from here.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(_resize_and_crop(image, config)))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)  # [h, w, 3] -> [3, h, w]


def view_at_map_size(image: Image.Image, config: ImageConfig, side: int) -> NDArray[np.float32]:
    """The network's view at the size of maps and masks: float32 [side, side, 3] in [0, 1].

    Resampled as anomaly maps are (bilinear, align_corners=False, no antialias), so that a pixel here
    lies under the same pixel of the map.
    """
    view = network_view(image, config)[None]
    scaled = functional.interpolate(view, size=(side, side), mode="bilinear", align_corners=False)
    return scaled[0].permute(1, 2, 0).numpy()  # [3, side, side] -> [side, side, 3]


def normalised(view: Tensor) -> Tensor:
    """ImageNet normalisation of a view [3, h, w] in [0, 1], in place."""
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return view.sub_(mean).div_(std)


def to_input(image: Image.Image, config: ImageConfig) -> Tensor:
    """An RGB image as network input, float32 [3, crop_h, crop_w], ImageNet-normalised."""
    return normalised(network_view(image, config))


def load_image(path: Path, config: ImageConfig) -> Tensor:
    """A file as network input, float32 [3, crop_h, crop_w]; :class:`DataError` if it is unreadable."""
    return to_input(open_image(path), config)


def _nearest(length: int, target: int) -> NDArray[np.int64]:
    """Source index of each of ``target`` positions, as torch's ``interpolate(mode="nearest")``."""
    scale = np.float32(length / target)
    return np.minimum((np.arange(target, dtype=np.float32) * scale).astype(np.int64), length - 1)


def to_map_size(values: NDArray[np.uint8], image: ImageConfig, score: ScoreConfig) -> NDArray[np.uint8]:
    """Mask values [h, w] in 0..255 as 0/1 [map_size, map_size]: resize, crop, nearest, threshold."""
    cropped = _resize_and_crop(Image.fromarray(values), image)
    rows, columns = (_nearest(side, score.map_size) for side in cropped.shape)
    return _IS_DEFECT[score.mask_threshold](cropped[np.ix_(rows, columns)]).astype(np.uint8)


def load_mask(
    sample: Sample, image: ImageConfig, score: ScoreConfig, image_size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """A sample's mask as the metrics see it: uint8 0/1 [map_size, map_size]; zeros if it is normal.

    ``image_size`` is the image's (width, height), read from its header if not given.
    Raises :class:`DataError` where the mask is unreadable, of another size than its image, or missing
    on an anomalous image (see ``Sample.has_truth``).
    """
    if sample.label == 0:
        return np.zeros((score.map_size, score.map_size), np.uint8)
    return to_map_size(open_mask(sample, image_size), image, score)
