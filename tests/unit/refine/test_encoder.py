"""VGG19 and what stands in its place: shapes, widths, weights, and what is told without them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from metasim.errors import DataError, MissingExtraError
from metasim.learn.features.vgg import VGG19
from metasim.learn.initial import initial_weights
from metasim.refine import encoder as module
from metasim.refine.encoder import load_encoder
from metasim.refine.options import DTP, NST

# Input and output channels of each rectified convolution, by its name.
LAYERS = {
    "r11": (3, 64), "r12": (64, 64),
    "r21": (64, 128), "r22": (128, 128),
    "r31": (128, 256), "r32": (256, 256), "r33": (256, 256), "r34": (256, 256),
    "r41": (256, 512), "r42": (512, 512), "r43": (512, 512), "r44": (512, 512),
    "r51": (512, 512), "r52": (512, 512), "r53": (512, 512), "r54": (512, 512),
}  # fmt: skip
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(size: int, count: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def parameters(network: torch.nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def test_it_has_as_many_parameters_as_its_convolutions_add_up_to() -> None:
    with torch.device("meta"):
        network = VGG19()
    by_hand = sum(3 * 3 * inputs * outputs + outputs for inputs, outputs in LAYERS.values())
    assert parameters(network) == by_hand == 20_024_384
    assert network.widths == {name: outputs for name, (_, outputs) in LAYERS.items()}


def test_tensors_are_called_as_torchvision_calls_them() -> None:
    with torch.device("meta"):
        names = set(VGG19().state_dict())
    places = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    assert names == {f"features.{i}.{part}" for i in places for part in ("weight", "bias")}


def test_a_scale_is_of_all_widths() -> None:
    with torch.device("meta"):
        eighth, least = VGG19(1 / 8), VGG19(1e-3)
    assert eighth.widths == {name: outputs // 8 for name, (_, outputs) in LAYERS.items()}
    assert set(least.widths.values()) == {1}


def test_each_block_sees_half_the_size_of_the_one_before() -> None:
    encoder = load_encoder(stand_in="random", scale=1 / 8)
    maps = encoder.maps(images(48, count=2), LAYERS)
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        name: (2, outputs // 8, *[48 // 2 ** (int(name[1]) - 1)] * 2)
        for name, (_, outputs) in LAYERS.items()
    }


def test_activations_are_those_of_a_plain_loop() -> None:
    with initial_weights(1):
        network = VGG19(1 / 16)
    state, maps, wanted = network.state_dict(), images(32), {}
    place = 0
    for name in LAYERS:
        if name.endswith("1") and name != "r11":
            maps, place = functional.max_pool2d(maps, 2), place + 1
        weight, bias = (state[f"features.{place}.{part}"] for part in ("weight", "bias"))
        maps = functional.conv2d(maps, weight, bias, padding=1).clamp(min=0)
        wanted[name], place = maps, place + 2
    for name, found in network.maps(images(32), LAYERS).items():
        assert torch.equal(found, wanted[name])
    torch.testing.assert_close(network(images(32)), functional.max_pool2d(maps, 2).mean(dim=(2, 3)))


def test_activations_come_as_they_are_asked_for_and_no_more_than_needed_are_made() -> None:
    encoder = load_encoder(stand_in="random", scale=1 / 16)
    assert list(encoder.maps(images(16), ("r31", "r11", "r22"))) == ["r31", "r11", "r22"]
    assert encoder.maps(images(2), ("r22",))["r22"].shape[2:] == (1, 1)  # r31 would have no pixel


def test_images_are_standardised_as_imagenet_s() -> None:
    encoder = load_encoder(stand_in="random", scale=1 / 8)
    colours = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert encoder.maps(2 * colours - 1, ("r54",))["r54"].abs().max() < 1e-5  # there are no biases
    away = colours + torch.tensor(DEVIATION).view(1, 3, 1, 1)
    torch.testing.assert_close(
        encoder.maps(2 * away - 1, ("r11",)), encoder.network.maps(torch.ones_like(away), ("r11",))
    )


def test_no_weight_of_it_is_trained() -> None:
    x = images(16).requires_grad_()
    encoder = load_encoder(stand_in="random", scale=1 / 8)
    encoder.maps(x, ("r54",))["r54"].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(one.grad is None for one in encoder.parameters())
    assert not encoder.training


# --- the stand-in ---------------------------------------------------------------------------


def test_the_stand_in_is_always_the_same() -> None:
    first, second = (load_encoder(stand_in="random", scale=1 / 8) for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_the_stand_in_keeps_activations_as_large_as_they_are() -> None:
    maps = load_encoder(stand_in="random", scale=1 / 4).maps(images(64), LAYERS)
    sizes = {name: float(one.square().mean().sqrt()) for name, one in maps.items()}
    assert all(0.4 < size < 4 for size in sizes.values()), sizes


# --- weights --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    with initial_weights(2):
        return {**VGG19().state_dict(), "classifier.6.bias": torch.zeros(1)}


def test_local_weights_are_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "vgg19.pth")
    encoder = load_encoder(tmp_path / "vgg19.pth", scale=1 / 4)  # a scale is of stand-ins alone
    for name, tensor in encoder.network.state_dict().items():
        assert torch.equal(tensor, state[name])
    assert not any(one.requires_grad for one in encoder.parameters())


def test_weights_of_another_architecture_are_refused(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "other.pth"
    torch.save({**state, "features.36.weight": torch.zeros(1)}, path)
    with pytest.raises(DataError, match=r"'vgg19', but in .*other\.pth 1 tensors are left over"):
        load_encoder(path)
    torch.save(VGG16, path)
    with pytest.raises(DataError, match=r"tensors are missing.*give weights of 'vgg19'"):
        load_encoder(path)


VGG16 = {
    f"features.{i}.{part}": torch.zeros(1)
    for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    for part in ("weight", "bias")
}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.pth does not exist"):
        load_encoder(tmp_path / "none.pth")


def test_without_weights_all_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    told = r"weights: PATH.*stand_in: random.*'torchvision'.*metasim\[vision\]"
    with pytest.raises(MissingExtraError, match=told):
        load_encoder()


def test_a_download_that_fails_tells_all_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(model: str) -> dict[str, Tensor]:
        raise DataError(f"the weights of {model!r} cannot be had; give a file: weights: PATH")

    monkeypatch.setattr(module, "hub_weights", unreachable)
    with pytest.raises(DataError, match=r"'vgg19' cannot.*weights: PATH.*stand_in: random"):
        load_encoder()


def test_without_local_weights_the_hub_is_asked(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]
) -> None:
    monkeypatch.setattr(module, "hub_weights", {"vgg19": state}.__getitem__)
    encoder = load_encoder()
    assert torch.equal(
        encoder.network.state_dict()["features.0.weight"], state["features.0.weight"]
    )


def test_weights_and_a_stand_in_are_not_both_asked_for() -> None:
    for options in (NST, DTP):
        assert options(stand_in="random").weights is None
        assert options().stand_in is None
        with pytest.raises(ValidationError, match=r"exclude each other.*leave one out"):
            options(stand_in="random", weights=Path("vgg19.pth"))
