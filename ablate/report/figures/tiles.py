"""The page's gallery: every kept image and every shown variant's map as small pictures, to be compared.

The evidence says which images, maps and outcomes; here they only become pictures.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from ablate.evidence.gallery import Kept
from ablate.evidence.results import Results
from ablate.report.words import variant_label

SIDE = 160
"""Largest side of a picture, pixels: maps are smooth, and hundreds must fit a page."""


def gallery_tiles(kept: Kept, results: Results | None = None) -> dict[str, Any]:
    """What the page's script shows: variants, and per image its facts and pictures (data URIs)."""
    from matplotlib import colormaps

    table = (255 * colormaps["inferno"](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
    images = []
    for row in kept.rows:
        maps = []
        for variant in kept.variants:
            share = (np.nan_to_num(row.maps[variant]) - kept.low) / (kept.high - kept.low)
            maps.append(_uri(_outlined(table[(255 * share.clip(0, 1)).astype(np.uint8)], row.mask)))
        images.append(
            {
                "path": row.path,
                "category": row.category,
                "type": row.defect_type if row.label else "normal",
                "strata": list(kept.strata[row.path]),
                "outcomes": [kept.outcomes[row.path, v] for v in kept.variants],
                "wrong": [kept.wrong[row.path, v] for v in kept.variants],
                "scores": [float(np.nan_to_num(row.scores[v])) for v in kept.variants],
                "image": _uri(row.image),
                "mask": _uri(np.repeat((255 * (row.mask > 0)).astype(np.uint8)[..., None], 3, axis=2)),
                "maps": maps,
            }
        )
    return {"variants": [variant_label(results, v) for v in kept.variants], "images": images}


def _outlined(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture [s, s, 3] with the mask's outline [s, s] in light blue."""
    from scipy.ndimage import binary_dilation

    inside = mask > 0
    picture = picture.copy()
    picture[binary_dilation(inside) & ~inside] = (86, 208, 255)
    return picture


def _uri(picture: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=72, method=2)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
