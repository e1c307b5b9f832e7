"""Behavioural: a device torch lacks is refused, a precision that only costs time is warned of."""

from __future__ import annotations

import warnings

import pytest
import torch

from model import device as module
from model.device import check_device, warn_of_emulation
from model.errors import ConfigError


def test_a_device_that_torch_lacks_is_refused() -> None:
    assert check_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="torch cannot use 'nonsense'"):
        check_device("nonsense")


@pytest.mark.parametrize("native", [True, False])
def test_half_precision_without_instructions_is_warned_of(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_has_bfloat16", lambda: native)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_emulation("bfloat16", torch.device("cpu"))
        warn_of_emulation("float32", torch.device("cpu"))
        warn_of_emulation("bfloat16", torch.device("cuda"))
    assert [str(w.message) for w in caught] == (
        []
        if native
        else ["train.precision: bfloat16 on a CPU without bfloat16 instructions is slower than float32"]
    )
