"""Which device the feature networks run on."""

from __future__ import annotations

import torch

from metasim.errors import ConfigError, Mistake

__all__ = ["arithmetic", "resolve_device"]


def arithmetic(device: torch.device) -> str:
    """What sums depend on: other threads or devices add in another order, and round otherwise."""
    return f"{torch.get_num_threads()} threads, {device}"


def resolve_device(name: str) -> torch.device:
    """The device that a setting asks for; "auto" is CUDA, then MPS, then the CPU.

    Features, where nearly all arithmetic is, run there. The editor, which has a few
    thousand weights, stays on the CPU: moving its small batches would cost more than it saves.

    Raises:
        ConfigError: when the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        told = f"must be auto, cpu, mps, cuda or cuda:N, got {name!r}"
        raise ConfigError([Mistake(told, key="device")]) from None
    there = {
        "cpu": True,
        "mps": torch.backends.mps.is_available(),
        "cuda": (device.index or 0) < torch.cuda.device_count(),
    }
    if not there.get(device.type, False):
        told = (
            f"device must be there, but PyTorch finds no {name!r} on this machine; set device: "
            "auto, or see what there is with: metasim doctor"
        )
        raise ConfigError([Mistake(told, key="device")])
    return device
