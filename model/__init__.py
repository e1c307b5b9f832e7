"""Dinomaly (Guo et al., CVPR 2025) with directional priors: build, train, score one model.

Knows nothing of studies; ``ablate`` imports ``model``, never the reverse. Importing this package
does not import torch, so that the command line stays quick.

Shape legend, used in every comment and docstring below this package:

====  =====================================================================
B     images in a batch
T     tokens of one image, prefix tokens included (T = P + N)
P     prefix tokens (class token + registers)
H, W  rows and columns of the patch grid;  N = H * W patch tokens, row-major
C     channels of a token
G     groups of layers that the loss and the score compare
S     side of the network's input image, in pixels
====  =====================================================================
"""

__version__ = "0.1.0"
