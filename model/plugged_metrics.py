"""Metrics that plug-ins bring, measured with care: they are not our code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import DataError
from model.metric_names import plugged_metric
from model.strata import ALL
from model.stratum_scores import Row


def plugged_rows(
    names: Sequence[str],
    maps: npt.NDArray[Any],
    masks: npt.NDArray[Any],
    labels: npt.ArrayLike,
    image_scores: npt.ArrayLike,
) -> list[Row]:
    """Plug-ins' metrics of n images, one row each.

    Parameters
    ----------
    names: of registered metrics.
    maps: [n, h, w]; masks: [n, h, w], nonzero = defect; labels, image_scores: [n].

    Raises
    ------
    DataError: a metric raises an error, or gives something else than a number in [0, 1] or a text. The
        arrays are given to it as copies, so that it cannot change what others see.
    """
    rows = []
    for name in names:
        given = (maps.copy(), (masks != 0).astype(np.uint8), np.array(labels), np.array(image_scores))
        try:
            value = plugged_metric(name).measure(*given)
        except Exception as error:  # whatever a user's code may raise
            raise DataError(f"the metric '{name}' failed: {type(error).__name__}: {error}") from error
        if isinstance(value, str):
            rows.append(Row(ALL, name, math.nan, value))
            continue
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"the metric '{name}' gave {value!r}: no number, no text") from error
        if not 0 <= number <= 1:
            raise DataError(f"the metric '{name}' gave {number:g}: outside [0, 1]")
        rows.append(Row(ALL, name, number))
    return rows
