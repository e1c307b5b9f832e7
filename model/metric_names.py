"""Names of everything that is measured of a run, in the order in which papers print them.

The one owner of names and order: what computes, claims, tabulates or draws a metric takes them from
here. No torch here.
"""

from __future__ import annotations

from typing import Literal, get_args

ImageMetric = Literal["image_auroc", "image_ap", "image_f1max"]
PixelMetric = Literal["pixel_auroc", "pixel_ap", "pixel_f1max", "aupro", "aupro_05"]
Metric = Literal[ImageMetric, PixelMetric]

IMAGE_METRICS: tuple[str, ...] = get_args(ImageMetric)
PIXEL_METRICS: tuple[str, ...] = get_args(PixelMetric)
METRICS: tuple[str, ...] = get_args(Metric)
"""Every metric of a detector; larger is better for all."""

AUPIMO = "aupimo"
"""Mean of the recall per anomalous image at very low false-positive rates; in the frame only."""

STRATUM_METRICS = ("image_auroc", "pixel_ap", "aupro")
"""Those that are also measured for each stratum of defects."""

DISTANCES = ("token_distance_normal", "token_distance_defect", "token_distance_gap")
"""Mean token distances (1 - cosine); of the gap more is better."""

COMPLETIONS = ("completion_horizontal", "completion_vertical", "completion_difference")
"""How much of cut rows and columns is filled in on held-out normal images, and horizontal - vertical."""

DEFECT_COMPLETIONS = (
    "completion_defect_horizontal",
    "completion_defect_vertical",
    "completion_defect_difference",
)
"""The same at the tokens of defects, against the defects' own features."""

MECHANISM_METRICS = (*DISTANCES, *COMPLETIONS, *DEFECT_COMPLETIONS)
"""What the model does to tokens: it has no better or worse, except for the gap (larger is better)."""
