"""Writing the built-in dataset in MVTec AD's layout, once, by one process."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from model.data.config import GENERATOR_VERSION, StripesConfig
from model.data.stripes.domains import DOMAINS, Domain, Drawing, draw
from model.errors import StorageError


def _save(drawing: Drawing, image: Path, mask: Path | None = None) -> None:
    # Level 1: noise hardly compresses, and the default level takes four times as long.
    Image.fromarray(drawing.pixels).save(image, compress_level=1)
    if mask is not None and drawing.mask is not None:
        Image.fromarray(drawing.mask.astype(np.uint8) * 255).save(mask, compress_level=1)


def _write_domain(folder: Path, domain: Domain, config: StripesConfig) -> None:
    for part, count, name in ((0, config.train, "train/good"), (1, config.test_good, "test/good")):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            _save(draw(domain, config, part, index, None), folder / name / f"{index:03d}.png")
    for name in domain.defects:
        (folder / "test" / name).mkdir(parents=True)
        (folder / "ground_truth" / name).mkdir(parents=True)
    for index, name in zip(range(config.test_bad), itertools.cycle(domain.defects), strict=False):
        _save(
            draw(domain, config, 2, index, name),
            folder / "test" / name / f"{index:03d}.png",
            folder / "ground_truth" / name / f"{index:03d}_mask.png",
        )


def write_stripes(out: Path, config: StripesConfig, categories: Sequence[str] | None = None) -> None:
    """Draw the wanted domains (all if not given) below ``out``: <domain>/train/good/000.png ...

    A domain's folder appears complete or not at all; one that is there already is left as it is.
    Raises :class:`StorageError` where ``out`` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in categories or DOMAINS:
            if (out / name).exists():
                continue
            scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=out))
            try:
                _write_domain(scratch / name, DOMAINS[name], config)
                (scratch / name).rename(out / name)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write the stripes dataset to {out}: {error}") from None


def stripes_name(config: StripesConfig) -> str:
    """Folder name of a drawn dataset: the same for the same parameters and generator, else another."""
    values = {"generator": GENERATOR_VERSION, **dataclasses.asdict(config)}
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6)
    return f"stripes-{digest.hexdigest()}"


def ensure_stripes(config: StripesConfig, cache_dir: Path, categories: Sequence[str]) -> Path:
    """Root of the drawn dataset in ``cache_dir``, drawing what is missing while others wait."""
    root = cache_dir / stripes_name(config)
    if not all((root / name).is_dir() for name in categories):
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(cache_dir / f"{root.name}.lock")
        except OSError as error:
            raise StorageError(f"cannot write to the cache folder {cache_dir}: {error}") from None
        with lock:
            write_stripes(root, config, categories)
    return root
