"""What torch computes on: a device, and threads of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from metasim.errors import ConfigError, Mistake

__all__ = ["arithmetic", "computing_on", "resolve_device"]


@contextmanager
def computing_on(threads: int | None) -> Iterator[None]:
    """Within the block, torch has so many threads of the processor; None leaves them as they are.

    Small layers are done sooner on one thread than on several, which have to wait for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
