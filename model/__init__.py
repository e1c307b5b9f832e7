"""Dinomaly (Guo et al., CVPR 2025) with directional priors: build, train, score one model.

Knows nothing of studies; ``ablate`` imports ``model``, never the reverse. ``model.build`` is the door to
one model (docs/model.md). Importing this package does not import torch, so that the command line stays
quick.

Shape legend, used in every comment and docstring below this package:

====  =====================================================================
B     images in a batch
T     tokens of one image, prefix tokens included (T = P + N)
P     prefix tokens (class token + registers)
H, W  rows and columns of the patch grid;  N = H * W patch tokens, row-major
C     channels of a token;  D = C / heads, of one attention head
R, M  lines of the grid along a prior's direction, and tokens of a line: H, W or W, H
G     groups of layers that the loss and the score compare
S     side of the network's input image, in pixels
====  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.api import Model, build

__all__ = ["Model", "__version__", "build"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``Model`` and ``build`` when they are asked for: they need torch."""
    if name not in __all__:
        raise AttributeError(f"module 'model' has no attribute '{name}'")
    from model import api

    return getattr(api, name)
