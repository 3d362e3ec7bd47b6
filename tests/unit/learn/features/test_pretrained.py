"""Pretrained networks: weights are read safely, checked, and used as they were meant."""

from __future__ import annotations

import errno
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from metasim.errors import DataError, MissingExtraError, RunError
from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.features import (
    PretrainedFeatures,
    describe_features,
    pretrained,
    restore_features,
)
from metasim.learn.features.pretrained import load_pretrained
from metasim.learn.features.weights import fingerprint, load_into, read_weights
from metasim.learn.options.features import PretrainedModel

# The convolutions of torchvision's vgg19: place in `features`, input and output channels.
VGG19 = [
    (0, 3, 64), (2, 64, 64),
    (5, 64, 128), (7, 128, 128),
    (10, 128, 256), (12, 256, 256), (14, 256, 256), (16, 256, 256),
    (19, 256, 512), (21, 512, 512), (23, 512, 512), (25, 512, 512),
    (28, 512, 512), (30, 512, 512), (32, 512, 512), (34, 512, 512),
]  # fmt: skip


def vgg19_state() -> dict[str, Tensor]:
    """Random weights under the names that torchvision gives them, the classifier cut short."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for place, inputs, outputs in VGG19:
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{place}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        state[f"features.{place}.bias"] = torch.zeros(outputs)
    return {**state, "classifier.6.weight": torch.zeros(1, 1), "classifier.6.bias": torch.zeros(1)}


@pytest.fixture(scope="module")
def vgg19_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(vgg19_state(), path)
    return path


def torchvision_models() -> Any:
    try:
        from torchvision import models
    except (ImportError, RuntimeError):
        pytest.skip("torchvision is not installed (extra vision)")
    return models


def test_vgg19_is_torchvision_s(vgg19_file: Path) -> None:
    extractor = load_pretrained("vgg19", vgg19_file)
    state = vgg19_state()
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = extractor.raw(x)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        maps = (x - mean[:, None, None]) / deviation[:, None, None]
        last = 0
        for place, _, _ in VGG19:
            # A gap in the numbers is a pooling layer between two ReLUs.
            if place - last == 3:
                maps = nn.functional.max_pool2d(maps, 2)
            weight, bias = (state[f"features.{place}.{part}"] for part in ("weight", "bias"))
            maps = nn.functional.conv2d(maps, weight, bias, padding=1).relu()
            last = place
        maps = nn.functional.max_pool2d(maps, 2)
    assert maps.shape == (1, 512, 7, 7)
    torch.testing.assert_close(found, maps.mean(dim=(2, 3)), atol=1e-4, rtol=1e-3)


def test_restored_it_has_the_same_features_without_its_weights_in_the_checkpoint(
    vgg19_file: Path, make_grammar: Any
) -> None:
    option = options.PretrainedFeatures(model="vgg19", weights=vgg19_file)
    extractor = load_pretrained("vgg19", vgg19_file)
    extractor.spread.fill_(3.0)
    described = describe_features(extractor)
    assert sum(v.numel() for v in described["parts"][0]["state"].values()) == 2 * 512
    codec = SceneCodec(make_grammar())
    restored = restore_features(described, codec, option)
    assert isinstance(restored, PretrainedFeatures)
    assert torch.equal(restored.spread, extractor.spread)
    assert restored.fingerprint == extractor.fingerprint
    described["parts"][0]["fingerprint"] = "0" * 16
    with pytest.raises(RunError, match="have changed; bring the old file back"):
        restore_features(described, codec, option)


class Recorder(nn.Module):
    """Keeps what it was given."""

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return images.new_zeros(len(images), 2048)


@pytest.mark.parametrize(
    ("model", "size", "low", "high"),
    [("inception_v3", 299, -1.0, 1.0), ("resnet50", 224, -0.485 / 0.229, (1 - 0.485) / 0.229)],
)
def test_images_are_resized_and_scaled_as_the_network_was_trained(
    model: str, size: int, low: float, high: float
) -> None:
    network = Recorder()
    extractor = PretrainedFeatures(model, network)
    for value, wanted in ((0.0, low), (1.0, high)):
        extractor(torch.full((2, 3, 32, 20), value))
        assert network.seen.shape == (2, 3, size, size)
        assert float(network.seen[0, 0, 5, 5]) == pytest.approx(wanted, abs=1e-4)


# --- weights that do not fit ----------------------------------------------------------------


def save(path: Path, what: object) -> Path:
    torch.save(what, path)
    return path


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = vgg19_state()
    state["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    with pytest.raises(DataError, match=r"of another shape, for example 'features.0.weight'"):
        load_pretrained("vgg19", save(tmp_path / "a.pt", state))
    other = {"conv1.weight": torch.zeros(2, 2)}
    with pytest.raises(DataError, match="32 tensors are missing"):
        load_pretrained("vgg19", save(tmp_path / "b.pt", other))
    more = save(tmp_path / "c.pt", {**vgg19_state(), "features.36.weight": torch.zeros(1)})
    with pytest.raises(DataError, match=r"left over, for example 'features.36.weight'"):
        load_pretrained("vgg19", more)


def test_a_state_dict_within_a_checkpoint_is_found(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2, 3)}
    path = save(tmp_path / "a.pt", {"epoch": 3, "state_dict": state})
    assert torch.equal(read_weights(path)["weight"], state["weight"])


class Harmful:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return self.path.touch, ()


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    mark, plain, zipped = tmp_path / "ran", tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps(Harmful(mark), protocol=2))
    torch.save({"weight": Harmful(mark)}, zipped)
    for path in (plain, zipped):
        with pytest.raises(DataError, match="holds other objects than tensors"):
            read_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"PK\x03\x04 cut off"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.pt is damaged"):
        read_weights(path)


def test_a_file_without_a_state_dict_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tensors by name"):
        read_weights(save(tmp_path / "list.pt", [torch.zeros(2)]))
    with pytest.raises(DataError, match="does not exist"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(DataError, match="is a folder"):
        read_weights(tmp_path)


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors (vision)")
    path = tmp_path / "a.safetensors"
    safetensors.save_file({"weight": torch.ones(2)}, str(path))
    assert torch.equal(read_weights(path)["weight"], torch.ones(2))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        read_weights(path)


def test_counters_that_old_files_lack_may_be_missing() -> None:
    network = nn.BatchNorm2d(2)
    state = {n: v + 1.0 for n, v in network.state_dict().items() if n != "num_batches_tracked"}
    load_into(network, state, model="m", source="s")
    assert torch.equal(network.running_var, torch.full((2,), 2.0))


def test_other_weights_have_another_fingerprint() -> None:
    def network(seed: int, size: int = 40) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Linear(size, size)

    assert fingerprint(network(0)) == fingerprint(network(0))
    assert len({fingerprint(network(0)), fingerprint(network(1)), fingerprint(network(0, 41))}) == 3


# --- what is not there ----------------------------------------------------------------------


def unavailable(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unavailable(monkeypatch, "torchvision")
    unavailable(monkeypatch, "transformers")
    unavailable(monkeypatch, "safetensors")
    for model, package in (("resnet18", "torchvision"), ("vgg19", "torchvision")):
        with pytest.raises(MissingExtraError, match=rf"{model}.*{package}.*metasim\[vision\]"):
            load_pretrained(model)
    with pytest.raises(MissingExtraError, match=r"transformers.*metasim\[vision\]"):
        load_pretrained("dinov2_vits14", tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"safetensors.*metasim\[vision\]"):
        read_weights(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("package", "content", "model"),
    [
        ("torchvision", "raise RuntimeError('no such operator')", "resnet18"),
        (
            "transformers",
            "class AutoModel:\n"
            "    def from_pretrained(*given, **more):\n"
            "        raise ModuleNotFoundError('no such operator')",
            "dinov2_vits14",
        ),
    ],
)
def test_a_package_that_is_there_and_cannot_be_imported_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, content: str, model: str
) -> None:
    """As torchvision built for another torch, which parts of transformers import."""
    unavailable(monkeypatch, package)
    monkeypatch.delitem(sys.modules, package)
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=rf"{package}, which .*no such operator.*one kind"):
        load_pretrained(model, tmp_path if package == "transformers" else None)


def test_dinov2_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a model folder"):
        load_pretrained("dinov2_vits14", tmp_path / "weights.pt")


# --- with the real packages, where they are installed ---------------------------------------


def test_every_network_that_can_be_asked_for_is_known() -> None:
    assert set(get_args(PretrainedModel)) == set(pretrained._MODELS)


@pytest.mark.filterwarnings("default")  # the packages' own are not our business
@pytest.mark.parametrize("model", ["resnet18", "resnet101", "resnet152", "inception_v3"])
def test_torchvision_s_networks_give_what_goes_into_their_last_layer(
    model: str, tmp_path: Path
) -> None:
    models = torchvision_models()
    further: Mapping[str, Any] = {"init_weights": False} if model == "inception_v3" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.get_model(model, weights=None, **further).eval()
    extractor = load_pretrained(model, save(tmp_path / "a.pt", network.state_dict()))
    x = torch.rand(1, 3, extractor.size, extractor.size, generator=torch.Generator().manual_seed(0))
    given: list[Tensor] = []
    network.fc.register_forward_hook(lambda module, inputs, output: given.append(inputs[0]))
    with torch.no_grad():
        network((x - extractor.mean) / extractor.deviation)
        torch.testing.assert_close(extractor.raw(x), given[0], atol=1e-4, rtol=1e-3)


@pytest.mark.filterwarnings("default")  # the packages' own are not our business
def test_dinov2_is_read_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers (extra vision)")
    try:
        _ = transformers.Dinov2Model
    except ImportError:
        pytest.skip("transformers does not find a torchvision that fits (extra vision)")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.Dinov2Config(
            hidden_size=384, num_hidden_layers=1, num_attention_heads=6
        )
        transformers.Dinov2Model(config).save_pretrained(tmp_path)
    extractor = load_pretrained("dinov2_vits14", tmp_path)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert extractor(images).shape == (2, 384)
    with pytest.raises(DataError, match=r"dinov2 of width 768; .* of width 384"):
        load_pretrained("dinov2_vitb14", tmp_path)


def test_weights_that_may_not_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: Any, **more: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "weights.pt"
    torch.save({"w": torch.zeros(1)}, path)
    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(DataError, match=r"weights\.pt cannot be read: Permission denied"):
        read_weights(path)
