"""The device setting: what there is is used, what there is not is refused with advice."""

from __future__ import annotations

import pytest
import torch

from metasim.errors import ConfigError
from metasim.learn.device import resolve_device


def test_auto_is_a_device_that_can_be_used():
    device = resolve_device("auto")
    assert torch.ones(2, device=device).sum().item() == 2


def test_cpu_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.device_count() > 90, reason="there really is such a device")
def test_a_missing_device_is_refused_with_advice():
    with pytest.raises(ConfigError, match="metasim doctor"):
        resolve_device("cuda:99")
