"""The package ``model`` beside this one, whatever else goes by that name in the working directory.

``python -m ablate``, the workers and people's scripts have their folder first on the module path, and
``model.py`` is what many of them call their own code. Imports nothing of the project.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_OWN = Path(__file__).parents[1] / "model" / "__init__.py"


def claim_name() -> None:
    """Let ``import model`` mean the package that belongs to this one.

    Raises
    ------
    ImportError: another module called ``model`` has been imported before.
    """
    there = sys.modules.get("model")
    if there is None:
        spec = importlib.util.spec_from_file_location(
            "model", _OWN, submodule_search_locations=[str(_OWN.parent)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["model"] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules["model"]
            raise
        return
    place = getattr(there, "__file__", None)
    if place is None or not _OWN.samefile(place):
        raise ImportError(
            f"another module called 'model' is in use already: {place or 'a folder'} "
            "(import ablate before it, or give it another name)"
        )
