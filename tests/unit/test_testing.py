"""The renderer contract, the renderers that keep it, and renderers that break each promise."""

import math
import os
import random
import re
import sys
import threading
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import pytest

from metasim.errors import DataError, PluginError
from metasim.render import Label, Rendered, Renderer, load_renderer
from metasim.scene import Attributes, Node, Scene, SceneGrammar
from metasim.testing import CHECKS, AnalyticRenderer, RendererContract, check_renderer
from metasim.testing.subject import example_of

ROOT = Path(__file__).parents[2]
GRAMMAR = SceneGrammar.model_validate(AnalyticRenderer.example)


class TestAnalytic(RendererContract):
    renderer = AnalyticRenderer


def test_every_check_is_a_test_of_the_contract_class():
    tests = {name.removeprefix("test_") for name in vars(RendererContract) if "test_" in name}
    assert tests == {check.__name__ for check in CHECKS}


def failures(renderer, grammar=GRAMMAR):
    results = check_renderer(renderer, grammar)
    assert [r.name for r in results] == [check.__name__ for check in CHECKS]
    assert all((r.message == "") == r.passed for r in results)
    return {r.name: r.message for r in results if not r.passed}


class GivesLists(AnalyticRenderer):
    def render(self, scenes):
        done = super().render(scenes)
        return Rendered(done.images, done.instances, list(map(list, done.labels)))


@pytest.mark.parametrize("honest", [AnalyticRenderer, GivesLists])
def test_an_honest_renderer_passes_every_check(honest):
    assert failures(honest) == {}


# --- renderers that break one promise each ------------------------------------------------


class ForgetsAKind(AnalyticRenderer):
    kinds = MappingProxyType({"scene": frozenset(), "blob": frozenset({"x", "y"})})


class FloatImages(AnalyticRenderer):
    def render(self, scenes):
        done = super().render(scenes)
        return Rendered(done.images.astype(np.float32), done.instances, done.labels)


class NoEmptyBatch(AnalyticRenderer):
    def render(self, scenes):
        return super().render((scenes[0], *scenes[1:]))


class OwnGenerator(AnalyticRenderer):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def render(self, scenes):
        done = super().render(scenes)
        noisy = done.images ^ self.rng.integers(0, 2, done.images.shape, dtype=np.uint8)
        return Rendered(noisy, done.instances, done.labels)


class DiffersByInstance(AnalyticRenderer):
    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.shade = self.made

    def render(self, scenes):
        done = super().render(scenes)
        return Rendered(np.maximum(done.images, self.shade % 200), done.instances, done.labels)


class SeesTheBatch(AnalyticRenderer):
    def render(self, scenes):
        done = super().render(scenes)
        return Rendered(np.maximum(done.images, len(scenes)), done.instances, done.labels)


class DrawsIntoTheSameArrays(AnalyticRenderer):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def render(self, scenes):
        done = super().render(scenes)
        images, instances = self.kept.setdefault(len(scenes), (done.images, done.instances))
        images[:], instances[:] = done.images, done.instances
        return Rendered(images, instances, done.labels)


class TakesTurns(DrawsIntoTheSameArrays):
    def __init__(self):
        super().__init__()
        self.other = {}

    def render(self, scenes):
        self.kept, self.other = self.other, self.kept
        return super().render(scenes)


class KeepsItsLabels(AnalyticRenderer):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def render(self, scenes):
        done = super().render(scenes)
        labels = self.kept.setdefault(len(scenes), [])
        labels[:] = done.labels
        return Rendered(done.images, done.instances, labels)


def relabelled(change):
    class Relabelled(AnalyticRenderer):
        def render(self, scenes):
            done = super().render(scenes)
            labels = tuple(tuple(change(label) for label in one) for one in done.labels)
            return Rendered(done.images, done.instances, labels)

    return Relabelled


def changed(label, **changes):
    fields = {name: getattr(label, name) for name in Label.__slots__}
    return Label(**{**fields, **changes})


class IgnoresYaw(AnalyticRenderer):
    def _blobs(self, scene):
        return {index: (x, y, 0.0) for index, (x, y, _) in super()._blobs(scene).items()}


class WritesToScenes(AnalyticRenderer):
    def render(self, scenes):
        done = super().render(scenes)
        for scene in scenes:
            dict.__setitem__(scene.nodes[1].attributes, "drawn", 1.0)
        return done


class ClosesOnce(AnalyticRenderer):
    open = True

    def close(self):
        if not self.open:
            raise RuntimeError("already closed")
        self.open = False


class LeavesAThread(AnalyticRenderer):
    stop = threading.Event()

    def __init__(self):
        super().__init__()
        threading.Thread(target=self.stop.wait, name="left behind").start()


class SeedsEverything(AnalyticRenderer):
    def render(self, scenes):
        random.seed(0)
        np.random.seed(0)
        return super().render(scenes)


class SetsEnvironment(AnalyticRenderer):
    def __init__(self):
        super().__init__()
        os.environ["METASIM_TEST_LEAK"] = "1"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (DrawsIntoTheSameArrays, "return images that later calls do not write to"),
        (TakesTurns, "return images that later calls do not write to"),
        (KeepsItsLabels, "must not change labels"),
    ],
)
def test_writing_to_what_was_returned_is_found(broken, said):
    found = failures(broken)
    assert found.keys() == {"drawn_stays_as_it_is"}
    assert said in found["drawn_stays_as_it_is"]


@pytest.mark.parametrize(
    ("broken", "check", "said"),
    [
        (ForgetsAKind, "kinds_cover_grammar", "'yaw'"),
        (FloatImages, "shapes_and_dtypes", "float32"),
        (NoEmptyBatch, "empty_batch", "IndexError"),
        (OwnGenerator, "equal_scenes_equal_pixels", "two calls"),
        (DiffersByInstance, "equal_scenes_equal_pixels", "two instances"),
        (SeesTheBatch, "batch_equals_singles", "alone"),
        (relabelled(lambda n: changed(n, box=(0, 0, 16, 16))), "labels_agree_with_masks", "box"),
        (relabelled(lambda n: changed(n, visible=1.5)), "labels_agree_with_masks", "visible"),
        (relabelled(lambda n: changed(n, visible=0.0)), "labels_agree_with_masks", "visible"),
        (relabelled(lambda n: changed(n, node=0)), "labels_agree_with_masks", "name and kind"),
        (relabelled(lambda n: changed(n, node=7)), "labels_agree_with_masks", "one of the scene's"),
        (relabelled(lambda n: changed(n, category=3)), "labels_agree_with_masks", "category"),
        (relabelled(lambda n: changed(n, instance=5)), "labels_agree_with_masks", "labelled"),
        (relabelled(lambda n: changed(n, instance=0)), "labels_agree_with_masks", "at least 1"),
        (IgnoresYaw, "attributes_act", "blob.yaw"),
        (WritesToScenes, "scenes_not_mutated", "must not change the scenes"),
        (ClosesOnce, "clean_close", "already closed"),
    ],
)
def test_a_broken_promise_is_found(broken, check, said):
    found = failures(broken)
    assert said in found[check]


def test_a_moved_global_generator_is_found():
    python, numpy = random.getstate(), np.random.get_state()
    try:
        said = failures(SeedsEverything)["no_global_state"]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    assert "random module" in said
    assert "numpy's global random state" in said


def test_a_changed_environment_is_found(monkeypatch):
    monkeypatch.setenv("METASIM_TEST_LEAK", "0")
    assert "environment" in failures(SetsEnvironment)["no_global_state"]


def test_a_thread_left_running_is_found():
    try:
        assert "left behind" in failures(LeavesAThread)["clean_close"]
    finally:
        LeavesAThread.stop.set()


def test_the_renderer_is_closed_after_the_checks_even_when_it_raises():
    class Raises(AnalyticRenderer):
        alive = 0

        def __init__(self):
            super().__init__()
            type(self).alive += 1
            self.open = True

        def render(self, scenes):
            raise RuntimeError("no device")

        def close(self):
            type(self).alive -= self.open
            self.open = False

    found = failures(Raises)
    assert "no device" in found["shapes_and_dtypes"]
    # Only the instances that the checks of close itself made, and could not close, are left.
    assert Raises.alive <= 1


# --- the analytic renderer ----------------------------------------------------------------


def blob(**attributes):
    return Scene(
        (Node("scene", "scene", Attributes()), Node("b", "blob", Attributes(attributes), 0))
    )


def test_the_analytic_image_is_its_formula():
    drawn = AnalyticRenderer().render([blob(x=7.0, y=9.0, yaw=90.0)]).images[0, :, :, 0]
    for row, column in [(8, 6), (5, 7), (9, 3), (0, 15)]:
        dx, dy = column + 0.5 - 7.0, row + 0.5 - 9.0
        along, across = -dy, dx  # heading up
        value = 0.6 * math.exp(-(along**2) / 12.5 - across**2 / 2.88)
        value += 0.35 * math.exp(-((along - 3) ** 2 + across**2) / 2.42)
        assert drawn[row, column] == round(255 * value)


def test_analytic_yaw_turns_counter_clockwise_and_only_a_full_turn_looks_the_same():
    images = AnalyticRenderer().render([blob(yaw=a) for a in (0.0, 90.0, 180.0, 360.0)]).images
    np.testing.assert_array_equal(np.rot90(images[0]), images[1])
    assert (images[2] != images[0]).any()
    np.testing.assert_array_equal(images[3], images[0])


def test_analytic_tensor_agrees_with_render_and_its_gradient_with_differences():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    scenes = [GRAMMAR.sample(rng) for _ in range(3)]
    renderer = AnalyticRenderer()
    exact = renderer.render_tensor(scenes, {})
    assert exact.shape == (3, 3, 16, 16)
    assert exact.dtype == torch.float32
    rendered = torch.from_numpy(renderer.render(scenes).images).permute(0, 3, 1, 2)
    assert (exact * 255 - rendered).abs().max() <= 0.5 + 1e-3

    rows = torch.tensor([1, 5])
    weight = torch.from_numpy(rng.standard_normal((3, 3, 16, 16)))

    def loss(x, y, yaw):
        overrides = {"x": (rows, x), "y": (rows, y), "yaw": (rows, yaw)}
        return (renderer.render_tensor(scenes, overrides) * weight).sum()

    values = [
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in ([8.2, 6.0], [7.1, 9.0], [40.0, 300.0])
    ]
    assert torch.autograd.gradcheck(loss, values)


@pytest.mark.parametrize("overrides", [{"size": [1]}, {"x": [0]}, {"x": [9]}])
def test_analytic_overrides_of_what_is_not_there_are_refused(overrides):
    torch = pytest.importorskip("torch")
    given = {k: (torch.tensor(rows), torch.ones(1)) for k, rows in overrides.items()}
    with pytest.raises(DataError):
        AnalyticRenderer().render_tensor([blob()], given)


def test_analytic_labels_count_what_is_beyond_the_edge():
    def visible(x):
        (label,) = AnalyticRenderer().render([blob(x=x)]).labels[0]
        return label.visible

    assert visible(8.0) == 1.0
    assert 0.2 < visible(0.0) < 0.8
    assert visible(-50.0) == 0.0


# --- the guide ----------------------------------------------------------------------------


def guide_blocks():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Write a renderer in 40 lines", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_renderer_of_the_guide_keeps_the_contract(tmp_path, monkeypatch):
    source = guide_blocks()[0]
    assert len(source.splitlines()) <= 40
    (tmp_path / "discs.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr("sys.path", [*sys.path])
    renderer = load_renderer("discs:DiscRenderer", tmp_path)
    monkeypatch.delitem(sys.modules, "discs")
    assert failures(renderer, SceneGrammar.model_validate(renderer.example)) == {}


def test_the_pytest_example_of_the_guide_names_what_there_is(tmp_path, monkeypatch):
    renderer_source, test_source = guide_blocks()[:2]
    (tmp_path / "discs.py").write_text(renderer_source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    exec(test_source, names)
    monkeypatch.delitem(sys.modules, "discs")
    suite = names["TestDiscs"]
    suite.setup_class()
    suite().test_labels_agree_with_masks()
    suite.teardown_class()


def test_an_example_that_is_no_grammar_is_told_with_its_place():
    class Half(Renderer):
        kinds: ClassVar = {}
        example: ClassVar = {"root": {"name": "a", "kind": "b", "count": 1.5}}

        def render(self, scenes):
            raise NotImplementedError

    with pytest.raises(PluginError, match=r"example of Half .* root\.count: .* got 1\.5"):
        example_of(Half)


class Exits(AnalyticRenderer):
    def render(self, scenes):
        sys.exit(0)


class RaisesAlways(AnalyticRenderer):
    def render(self, scenes):
        raise RuntimeError("no")

    def close(self):
        raise RuntimeError("nor this")


class Crash(BaseException):
    """What is no Exception, as some engines raise."""


class Crashes(AnalyticRenderer):
    def render(self, scenes):
        raise Crash

    def close(self):
        raise Crash


@pytest.mark.parametrize("renderer", [Exits, RaisesAlways, Crashes])
def test_whatever_a_renderer_raises_all_checks_answer(renderer):
    assert "shapes_and_dtypes" in failures(renderer)


def test_the_users_wish_to_stop_ends_the_checks():
    class Waits(AnalyticRenderer):
        def render(self, scenes):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failures(Waits)


def test_a_category_that_known_categories_leaves_out_is_found():
    class Other(AnalyticRenderer):
        known_categories = MappingProxyType({"blob": ("square",)})

    assert "known_categories['blob'] must name" in failures(Other)["labels_agree_with_masks"]
