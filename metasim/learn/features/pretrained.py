"""Features of networks that were taught on photographs by others."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.errors import DataError, MissingExtraError, UserError
from metasim.learn.features.base import Standardised
from metasim.learn.features.vgg import IMAGENET, VGG19
from metasim.learn.features.weights import fingerprint, load_into, read_weights
from metasim.learn.initial import initial_weights

__all__ = ["PretrainedFeatures", "hub_weights", "load_pretrained"]

_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class _Model:
    """What a network expects and gives.

    Attributes:
        width: D.
        size: side of its input in pixels.
        scaling: mean and deviation of each channel that its input is standardised by.
        hub: its name at the Hugging Face hub; torchvision's networks have none.
    """

    width: int
    size: int = 224
    scaling: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    hub: str = ""


_MODELS = {
    "inception_v3": _Model(2048, 299, _HALF),
    "vgg19": _Model(512),
    "resnet18": _Model(512),
    "resnet34": _Model(512),
    "resnet50": _Model(2048),
    "resnet101": _Model(2048),
    "resnet152": _Model(2048),
    "dinov2_vits14": _Model(384, hub="facebook/dinov2-small"),
    "dinov2_vitb14": _Model(768, hub="facebook/dinov2-base"),
    "dinov2_vitl14": _Model(1024, hub="facebook/dinov2-large"),
    "dinov2_vitg14": _Model(1536, hub="facebook/dinov2-giant"),
}


class PretrainedFeatures(Standardised):
    """A frozen network behind the resizing and the scaling that it was trained with.

    Args:
        model: one of :data:`metasim.learn.options.features.PretrainedModel`.
        network: scaled images (B, 3, size, size) to features (B, D).
    """

    chunk = 64  # at 224 pixels a layer of VGG19 takes 13 MB of each image

    def __init__(self, model: str, network: nn.Module) -> None:
        known = _MODELS[model]
        super().__init__(known.width)
        self.model, self.width, self.size = model, known.width, known.size
        self.network = network
        self.mean: Tensor
        self.deviation: Tensor
        mean, deviation = (torch.tensor(part).view(3, 1, 1) for part in known.scaling)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.requires_grad_(False)
        self.eval()

    @property
    def blocks(self) -> dict[str, slice]:
        """One block, called as the model."""
        return {self.model: slice(0, self.width)}

    @property
    def fingerprint(self) -> str:
        """A short name for the network's weights."""
        return fingerprint(self.network)

    def raw(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D)."""
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(
                images, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        out: Tensor = self.network((images - self.mean) / self.deviation)
        return out


def load_pretrained(model: str, weights: Path | None = None) -> PretrainedFeatures:
    """The features of a network by name.

    Args:
        model: one of :data:`metasim.learn.options.features.PretrainedModel`.
        weights: a local state dict, or for DINOv2 a local model folder; without it the usual
            hub is asked.

    Raises:
        MissingExtraError: when torchvision or transformers is needed and not installed.
        DataError: when the weights cannot be had, or are another network's.
    """
    with initial_weights():
        if _MODELS[model].hub:
            return PretrainedFeatures(model, _Dino(_dino(model, weights)))
        network = VGG19() if model == "vgg19" else _bare(model)
    state = read_weights(weights) if weights else hub_weights(model)
    load_into(
        network,
        state,
        model=model,
        source=str(weights or "torchvision"),
        unused=("classifier.", "fc.", "AuxLogits."),
    )
    return PretrainedFeatures(model, network)


def hub_weights(model: str) -> dict[str, Tensor]:
    """The weights of one of torchvision's networks, as torchvision downloads or has kept them.

    Args:
        model: its name there.

    Raises:
        MissingExtraError: when torchvision is not installed.
        DataError: when it cannot be imported, or the weights cannot be downloaded.
    """
    models = _torchvision(model)
    try:
        with initial_weights():
            found: nn.Module = models.get_model(model, weights="DEFAULT")
    except (OSError, RuntimeError) as error:  # no network, or a broken download
        raise DataError(
            f"the weights of {model!r} could not be downloaded ({error}); give a local file: "
            "weights: PATH"
        ) from None
    return found.state_dict()


class _Dino(nn.Module):
    """The pooled output of a model of transformers."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(pixel_values=images).pooler_output
        return out


def _torchvision(model: str) -> ModuleType:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # built for another torch, it raises RuntimeError
        raise _without("torchvision", model, error) from None
    found: ModuleType = models
    return found


def _without(package: str, model: str, error: Exception) -> UserError:
    """What to do where a package cannot be imported: it is missing, or does not fit."""
    if find_spec(package) is None:
        return MissingExtraError(package, "vision", f"the pretrained network {model!r}")
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"the pretrained network {model!r} needs {package}, which is installed and cannot be "
        f"imported ({first}); reinstall torch and torchvision as builds of one kind, both for the "
        f"CPU or both for one CUDA (torch is {torch.__version__})"
    )


def _bare(model: str) -> nn.Module:
    """A network of torchvision without its last layer."""
    models = _torchvision(model)
    further = {"aux_logits": False, "init_weights": False} if model == "inception_v3" else {}
    network: nn.Module = models.get_model(model, weights=None, **further)
    network.fc = nn.Identity()
    return network


def _dino(model: str, weights: Path | None) -> nn.Module:
    """A DINOv2 network (Oquab et al., 2023) from a local folder or the hub."""
    if weights is not None and not weights.is_dir():
        raise DataError(
            f"the weights of {model!r} must be a model folder, with config.json, as transformers "
            f"saves it; {weights} is none"
        )
    source = str(weights or _MODELS[model].hub)
    try:
        from transformers import AutoModel

        network, info = AutoModel.from_pretrained(
            source, local_files_only=weights is not None, output_loading_info=True
        )
    except ImportError as error:  # of a part of it too, which is imported when it is needed
        raise _without("transformers", model, error) from None
    except (OSError, ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the weights of {model!r} cannot be read from {source} ({first}); give a local model "
            "folder: weights: FOLDER"
        ) from None
    kind, width = network.config.model_type, getattr(network.config, "hidden_size", None)
    if kind != "dinov2" or width != _MODELS[model].width or info["missing_keys"]:
        raise DataError(
            f"the weights must be those of {model!r}, a dinov2 of width {_MODELS[model].width}; "
            f"{source} holds a {kind} of width {width} with {len(info['missing_keys'])} tensors "
            "missing: give the right folder, or name the model that it is of"
        )
    found: nn.Module = network
    return found
