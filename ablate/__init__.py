"""Ablation studies of one model: variants x seeds x categories in, paper-ready evidence out.

``ablate`` imports ``model``, never the reverse. Reading a spec and planning a study import no torch.
"""

from model import __version__

__all__ = ["__version__"]
