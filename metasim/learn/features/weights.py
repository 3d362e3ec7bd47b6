"""Weights of pretrained networks: read from files without running anything they hold."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from metasim.errors import DataError, MissingExtraError

__all__ = ["fingerprint", "load_into", "read_weights"]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, by name.

    Args:
        path: a file of :func:`torch.save` (only tensors are read, no code is run), or one
            that ends in ``.safetensors``.

    Raises:
        DataError: when the file is missing or holds no state dict.
        MissingExtraError: when safetensors is needed and not installed.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"weights must be a file with a state dict; {path} {what}")
    found = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DataError(
            f"weights must be a state dict (tensors by name); {path} holds something else: save "
            "the network's state_dict() alone"
        )
    return {str(name): tensor for name, tensor in found.items()}


def _torch_file(path: Path) -> object:
    try:
        found: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise DataError(
            f"weights must be a state dict written by torch.save; {path} is damaged, holds other "
            "objects than tensors, or is of another kind: save the network's state_dict() alone"
        ) from None
    return found


def _safetensors(path: Path) -> object:
    try:
        import safetensors
        from safetensors.torch import load_file
    except ImportError:
        raise MissingExtraError("safetensors", "vision", f"reading {path.name}") from None
    try:
        found: object = load_file(str(path))
    except safetensors.SafetensorError as error:
        raise DataError(f"{path} cannot be read as safetensors ({error})") from None
    return found


def load_into(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    model: str,
    source: str,
    unused: Sequence[str] = (),
) -> None:
    """Load a state dict, in which nothing may be missing, of another shape, or left over.

    Args:
        network: takes the weights.
        state: tensors by name.
        model: what the network is called.
        source: where the weights are from, for people.
        unused: what the names of tensors start with that are not needed.

    Raises:
        DataError: naming the first tensor that does not fit.
    """
    wanted = network.state_dict()
    counters = ("num_batches_tracked",)  # old files do not have them, and nothing reads them
    missing = [n for n in wanted if n not in state and not n.endswith(counters)]
    differ = [n for n in wanted if n in state and wanted[n].shape != state[n].shape]
    extra = [n for n in state if n not in wanted and not n.startswith(tuple(unused))]
    for names, what in ((missing, "missing"), (differ, "of another shape"), (extra, "left over")):
        if names:
            raise DataError(
                f"the weights must be those of {model!r}, but in {source} {len(names)} tensors are "
                f"{what}, for example {names[0]!r}; give weights of {model!r}, or name the model "
                "that these are of"
            )
    network.load_state_dict({n: state.get(n, wanted[n]) for n in wanted})


def fingerprint(network: nn.Module) -> str:
    """A short name for a network's weights: 16 hexadecimal digits; others differ."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in network.state_dict().items():
        flat = tensor.detach().cpu().flatten()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(flat[:: max(1, len(flat) // 64)].double().numpy().tobytes())
    return digest.hexdigest()
