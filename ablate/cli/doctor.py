"""``ablate doctor``: is everything there that a study needs? Nothing is downloaded or changed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ablate.running.file_systems import Mounts, against_sharing, file_system, mounted
from ablate.running.files import file_stats
from ablate.running.probe import Found
from ablate.running.provenance import PACKAGES
from model import __version__
from model.config import EncoderConfig
from model.encoders.build import describe, entry_of
from model.errors import CheckpointError
from model.machine import available_cores

Level = Literal["ok", "note", "problem"]

_LOW_DISK_GB = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    subject: str
    text: str
    level: Level = "ok"


def examine(cache_dir: Path, results_dir: Path, encoder: EncoderConfig) -> list[Finding]:
    """Look at versions, devices, disk, optional parts and the encoder that a study would use."""
    return [
        *_versions(),
        *_devices(),
        *_disk(cache_dir, results_dir),
        journal(results_dir),
        *_optional(),
        *_encoder(encoder),
    ]


def _versions() -> Iterator[Finding]:
    yield Finding("ablate", __version__)
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in PACKAGES[1:]:
        try:
            yield Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing: pip install -e . again", "problem")


def _devices() -> Iterator[Finding]:
    yield Finding("CPU", f"{available_cores()} cores usable")
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "none that torch can use; runs go to the CPU", "note")
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(i)
        yield Finding(f"GPU {i}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")


def _disk(cache_dir: Path, results_dir: Path) -> Iterator[Finding]:
    held = sum(file.st_size for file in file_stats(cache_dir))
    yield Finding("cache", f"{cache_dir} ({held / 1e9:.2f} GB; safe to delete)")
    for name, folder in (("cache", cache_dir), ("results", results_dir)):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            yield Finding(f"free for {name}", f"{existing} is not a folder", "problem")
            continue
        free = shutil.disk_usage(existing).free / 1e9
        level: Level = "problem" if free < _LOW_DISK_GB else "ok"
        advice = f" (under {_LOW_DISK_GB:g} GB: features may be streamed instead)" if level != "ok" else ""
        yield Finding(f"free for {name}", f"{free:.1f} GB at {existing}{advice}", level)
        if not os.access(existing, os.W_OK):
            yield Finding(f"free for {name}", f"{existing} cannot be written to", "problem")


def journal(results_dir: Path, mounts: Mounts = mounted) -> Finding:
    """What the results lie on, and whether their journals may be shared between hosts."""
    here = file_system(results_dir, mounts)
    against = against_sharing(results_dir, mounts)
    if against is None:
        text = "a probe has shown that locks hold between hosts: their workers may share a journal"
    elif here.loses_locks:
        text = "locks between hosts can be lost unnoticed: several hosts need --storage postgresql://..."
    elif here.shared:
        text = f"several hosts need --storage postgresql://..., or a probe: {against}"
    else:
        text = "one host's own: several need --storage postgresql://..."
    level: Level = "note" if here.shared and against else "ok"
    return Finding("journal", f"{results_dir} lies on {here}; {text}", level)


def probed(found: Found) -> Finding:
    """What a probe between two hosts has found, in one line."""
    between = f"between {found.hosts[0]} and {found.hosts[1]} on {found.kind}"
    if found.holds:
        return Finding("probe", f"locks hold {between}: their workers may share a journal here")
    failed = [
        f"the lock of {host} did not keep the other out"
        for host, held in zip(found.hosts, found.excluded, strict=True)
        if not held
    ]
    failed += [
        f"what {host} wrote was not read by the other"
        for host, read in zip(found.hosts, found.read, strict=True)
        if not read
    ]
    text = (
        f"locks do not hold {between} ({'; '.join(failed)}): several hosts need --storage postgresql://..."
    )
    return Finding("probe", text, "problem")


def _optional() -> Iterator[Finding]:
    parts = {"optuna_dashboard": ("dashboard", "ablate[dashboard]")}
    for module, (name, extra) in parts.items():
        if importlib.util.find_spec(module):
            yield Finding(name, "installed")
        else:
            yield Finding(name, f"not installed (optional): pip install '{extra}'", "note")
    if shutil.which("git") is None:
        yield Finding("git", "not found: runs cannot record the code's revision", "note")


def _published_weights(encoder: EncoderConfig) -> Finding:
    try:
        lacking = entry_of(encoder.name).missing_weights(encoder)
    except CheckpointError as error:
        return Finding("weights", str(error), "problem")
    return (
        Finding("weights", f"{lacking} (reachability not tested here)", "note")
        if lacking
        else Finding("weights", "published by timm, downloaded already")
    )


def _encoder(encoder: EncoderConfig) -> Iterator[Finding]:
    yield Finding("encoder", describe(encoder))
    if encoder.weights:
        path = Path(encoder.weights).expanduser()
        found = path.is_file()
        text = str(path) if found else f"{path} does not exist"
        yield Finding("weights", text, "ok" if found else "problem")
    elif encoder.pretrained:
        yield _published_weights(encoder)
    if "dinov2" not in encoder.name and "dinov3" not in encoder.name:
        yield Finding(
            "conclusions",
            "this encoder is for trying things out: conclusions need DINOv2-class weights",
            "note",
        )
