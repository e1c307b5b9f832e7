"""Whether a study's runs come from one code and one kind of device, with room; what to say if not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ablate.running.earlier import accepted_runs
from ablate.running.folder import Workspace
from ablate.running.manifest import damage
from model.files import read_json


def origin_warnings(workspace: Workspace, keys: Iterable[str]) -> list[str]:
    """What the provenance of *all* these committed runs has to say against comparing them."""
    keys = tuple(dict.fromkeys(keys))
    here = [key for key in keys if workspace.committed(key)]
    damaged = {key: why for key in here if (why := damage(workspace.run_dir(key), key))}
    sound = [key for key in keys if key not in damaged]
    facts = [read_json(workspace.run_dir(key) / "provenance.json") or {} for key in sound]
    found = [*_damaged(workspace, damaged), *_devices(facts), *_memory(facts), *_codes(facts)]
    return [*found, *_accepted(workspace, set(keys))]


def _damaged(workspace: Workspace, damaged: Mapping[str, str]) -> list[str]:
    if not damaged:
        return []
    named = "; ".join(f"{key}: {why}" for key, why in list(damaged.items())[:3])
    return [
        f"{len(damaged)} finished runs are damaged and their folders are not read ({named}): "
        f"ablate repair {workspace.study_dir} sets them aside to be computed again."
    ]


def _devices(all_facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keys do not hold the device, but noise is drawn on it: pairs across devices differ by that, too."""
    devices: dict[str, None] = {}
    for facts in all_facts:
        device, hardware = str(facts.get("device", "")).partition(":")[0], facts.get("hardware")
        if device == "cuda" and isinstance(hardware, Mapping):
            device = str(hardware.get("gpu") or device)
        if device:
            devices[device] = None
    if len(devices) < 2:
        return []
    return [
        f"Runs were computed on different devices ({', '.join(devices)}): with the same seed these draw "
        "other noise, so pairs across devices differ by more than the variant."
    ]


def _memory(all_facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Micro-batches change no number but by rounding, which a reader of the last digits should know of."""
    smallest = [
        min(sizes.values())
        for facts in all_facts
        if isinstance(sizes := facts.get("micro_batches"), Mapping) and sizes
    ]
    if not smallest:
        return []
    return [
        f"Runs whose batch did not fit into the device's memory: {len(smallest)}. They were trained in "
        f"micro-batches (size {min(smallest)} at the least), by the gradients of whole ones up to rounding."
    ]


def _codes(all_facts: Iterable[Mapping[str, Any]]) -> list[str]:
    states: dict[tuple[str, str], int] = {}
    for facts in all_facts:
        code = facts.get("code")
        if isinstance(code, Mapping):
            state = (str(code.get("commit")), str(code.get("diff") or "") if code.get("dirty") else "")
            states[state] = states.get(state, 0) + 1
    found = []
    dirty = sum(count for (_, difference), count in states.items() if difference)
    if dirty:
        found.append(f"{dirty} of {sum(states.values())} runs were computed by code that is in no commit.")
    commits = {commit[:10]: None for commit, _ in states}
    if len(states) > 1:
        found.append(
            f"Runs come from {len(states)} states of the code (commits {', '.join(commits)}); by their "
            "keys, what they executed is the same but for comments."
        )
    return found


def _accepted(workspace: Workspace, keys: set[str]) -> list[str]:
    taken = [found for found in accepted_runs(workspace.study_dir).values() if found["run"] in keys]
    if not taken:
        return []
    files = ", ".join(sorted({str(file) for found in taken for file in found.get("changed", ())}))
    return [
        f"{len(taken)} of {len(keys)} runs were computed by earlier code and adopted with --accept-code; "
        f"changed since: {files or 'unknown'}."
    ]
