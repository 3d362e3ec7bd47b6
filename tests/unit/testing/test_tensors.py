"""What a renderer offers for gradients is compared with what it draws."""

from copy import deepcopy
from types import MappingProxyType

import pytest

from metasim.testing import AnalyticRenderer

torch = pytest.importorskip("torch")

AGREES, SLOPES = "tensor_agrees_with_render", "tensor_has_gradients"


def changed(change):
    """Blobs whose tensors are changed."""

    class Changed(AnalyticRenderer):
        def render_tensor(self, scenes, overrides):
            return change(super().render_tensor(scenes, overrides))

    return Changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t * 255, "in [0, 1] and up to rounding"),
        (lambda t: t.flip(-1), "image 0 is"),
        (lambda t: t + 0.01, "2.57 levels"),
        (lambda t: t[:, :1], "shape (6, 3, 16, 16), got torch.float32 (6, 1, 16, 16)"),
        (lambda t: (t * 255).to(torch.uint8), "got torch.uint8 (6, 3, 16, 16)"),
        (lambda t: t.detach().numpy(), "got ndarray"),
    ],
)
def test_tensors_that_are_not_what_render_draws_are_found(failures, change, said):
    assert said in failures(changed(change))[AGREES]


def test_rounding_is_no_difference(failures):
    assert failures(changed(lambda t: (t * 255).floor() / 255 + (t - t.detach()))) == {}


def test_tensors_without_a_gradient_are_found(failures):
    found = failures(changed(lambda t: t.detach()))
    assert found.keys() == {SLOPES}
    assert "a gradient in x, y, yaw, got one that is 0" in found[SLOPES]


def straight(overrides):
    """The given headings, through which no gradient flows."""
    return {
        name: (rows, values.detach() if name == "yaw" else values)
        for name, (rows, values) in overrides.items()
    }


class NoSlopeInYaw(AnalyticRenderer):
    def render_tensor(self, scenes, overrides):
        return super().render_tensor(scenes, straight(overrides))


def test_an_attribute_without_a_gradient_is_found(failures):
    found = failures(NoSlopeInYaw)
    assert found.keys() == {SLOPES}
    assert "a gradient in yaw, got" in found[SLOPES]


def test_what_is_not_said_to_be_differentiable_needs_no_gradient(failures):
    class Says(NoSlopeInYaw):
        differentiable = frozenset({"x", "y"})

    assert failures(Says) == {}


def test_a_gradient_at_some_values_will_do(failures):
    class AtTheRight(AnalyticRenderer):
        def render_tensor(self, scenes, overrides):
            if "x" in overrides:
                rows, x = overrides["x"]
                overrides = {**overrides, "x": (rows, torch.where(x < 12, x.detach(), x))}
            return super().render_tensor(scenes, overrides)

    assert failures(AtTheRight) == {}


def test_what_is_not_seen_needs_no_gradient(failures):
    outside = deepcopy(AnalyticRenderer.example)
    del outside["root"]["children"][0]["attributes"]["x"]
    outside["root"]["children"][0]["attributes"]["y"]["prior"] = 80
    outside["root"]["children"][0]["attributes"]["y"]["range"] = [60, 90]
    found = failures(AnalyticRenderer, outside)
    assert found.keys() == {"attributes_act"}


def test_an_attribute_of_the_same_name_that_is_not_learned_is_not_given(failures):
    class Named(AnalyticRenderer):
        kinds = MappingProxyType({**AnalyticRenderer.kinds, "scene": frozenset({"yaw"})})
        example = deepcopy(AnalyticRenderer.example)

        def render(self, scenes):
            done = super().render(scenes)
            for image, scene in zip(done.images, scenes, strict=True):
                image[0, 0] = len(scene.nodes[0].attributes["yaw"])
            return done

    looks = {"yaw": {"prior": {"choice": {"values": ["none", "somewhat"]}}}}
    Named.example["root"]["attributes"] = looks
    assert failures(Named) == {}


def test_a_renderer_without_the_method_is_not_asked(failures):
    class Opaque(AnalyticRenderer):
        render_tensor = None

    assert failures(Opaque) == {}
