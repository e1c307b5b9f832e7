"""Names of everything that is measured of a run, in the order in which papers print them.

The one owner of names and order: what computes, claims, tabulates or draws a metric takes them from
here. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from model.code_identity import check_source
from model.errors import ConfigError

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

METRIC_LABELS: Mapping[str, str] = {
    "image_auroc": "I-AUROC",
    "image_ap": "I-AP",
    "image_f1max": "I-F1",
    "pixel_auroc": "P-AUROC",
    "pixel_ap": "P-AP",
    "pixel_f1max": "P-F1",
    "aupro": "AUPRO",
    "aupro_05": "AUPRO-5 %",
    "aupimo": "AUPIMO",
    "token_distance_normal": "distance on normal tokens",
    "token_distance_defect": "distance on defect tokens",
    "token_distance_gap": "distance gap (defect − normal)",
    "completion_horizontal": "rows filled in",
    "completion_vertical": "columns filled in",
    "completion_difference": "rows − columns",
    "completion_defect_horizontal": "defects filled in along rows",
    "completion_defect_vertical": "defects filled in along columns",
    "completion_defect_difference": "defects: rows − columns",
}
"""What tables call them; a study file may, too."""


@dataclass(frozen=True)
class MetricEntry:
    """A metric that a plug-in brings."""

    name: str
    """What study files and result files call it; a Python name."""
    label: str
    """What tables call it."""
    measure: Callable[[Any, Any, Any, Any], float | str]
    """(maps [n, h, w], masks [n, h, w] of 0 and 1, labels [n] of 0 and 1, image scores [n]) of one
    category, NumPy arrays -> value in [0, 1], larger is better; or, as text, why it has none."""


_PLUGGED: dict[str, MetricEntry] = {}


def register_metric(entry: MetricEntry) -> None:
    """Make a plug-in's metric known to study files and tables, in this process.

    Raises ConfigError if the name or the label is taken.
    """
    if _PLUGGED.get(entry.name) == entry:
        return
    labels = {metric_label(name).casefold() for name in (*METRIC_LABELS, *_PLUGGED)}
    if entry.name in _PLUGGED or entry.name in METRIC_LABELS or entry.label.casefold() in labels:
        raise ConfigError(f"a metric named '{entry.name}' or '{entry.label}' is there already")
    if not entry.name.isidentifier():
        raise ConfigError(f"'{entry.name}' cannot name a metric: it must be a Python name")
    check_source(entry.measure, f"what measures '{entry.name}'")
    _PLUGGED[entry.name] = entry


def plugged_metric(name: str) -> MetricEntry:
    """The metric of that name that a plug-in has registered. Raises KeyError if there is none."""
    return _PLUGGED[name]


def all_metrics() -> tuple[str, ...]:
    """Every metric of a detector, those of plug-ins last; larger is better for all."""
    return (*METRICS, *_PLUGGED)


def metric_label(metric: str) -> str:
    """What tables call a metric."""
    return _PLUGGED[metric].label if metric in _PLUGGED else METRIC_LABELS.get(metric, metric)


def metric_of(name: object) -> object:
    """The metric that a table calls so, capitals aside (``I-AUROC``); anything else as it is."""
    by_label = {metric_label(metric).casefold(): metric for metric in all_metrics()}
    return by_label.get(name.casefold(), name) if isinstance(name, str) else name


STRATUM_CONJUNCTIONS: Mapping[frozenset[str], str] = {
    frozenset({"orientation=horizontal", "brokenness=broken"}): "broken+horizontal",
    frozenset(
        {"orientation=horizontal", "brokenness=broken", "faintness=faint"}
    ): "faint+broken+horizontal",
}
"""Strata that are several at once -> their name in result files."""

STRATUM_NAMES = (
    "orientation=horizontal",
    "orientation=vertical",
    "orientation=none",
    "faintness=faint",
    "faintness=clear",
    "brokenness=broken",
    "brokenness=solid",
    *STRATUM_CONJUNCTIONS.values(),
)
"""Strata of defects (defined in :mod:`model.strata`), in the order of result files."""
