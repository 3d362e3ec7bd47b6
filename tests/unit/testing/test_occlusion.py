"""What is behind something else is not visible, and what only seems so is left alone."""

import dataclasses
from copy import deepcopy
from typing import ClassVar

import numpy as np
import pytest

from metasim.errors import DataError
from metasim.render import Label, Rendered, Renderer
from metasim.scene import Scene
from metasim.testing import AnalyticRenderer
from metasim_mnist import MnistRenderer

CHECK = "hidden_is_not_visible"


def alone(renderer, scene, label):
    """How much is visible of a label's node with no other node of its kind in the scene."""
    kept = [node for i, node in enumerate(scene.nodes) if node.parent < 0 or i == label.node]
    return renderer.render([Scene(tuple(kept), scene.seed)]).labels[0][0].visible


def seeing_through(renderer):
    """The renderer, with ``visible`` as if nothing hid anything."""

    class SeesThrough(renderer):
        def render(self, scenes):
            done = super().render(scenes)
            labels = tuple(
                tuple(
                    dataclasses.replace(
                        label, visible=alone(super(SeesThrough, self), scene, label)
                    )
                    if label.visible
                    else label
                    for label in one
                )
                for scene, one in zip(scenes, done.labels, strict=True)
            )
            return Rendered(done.images, done.instances, labels)

    return SeesThrough


def several(renderer, count):
    example = deepcopy(dict(renderer.example))
    example["root"]["children"][0]["count"] = count
    return example


@pytest.mark.parametrize("renderer", [AnalyticRenderer, MnistRenderer])
def test_what_is_behind_others_and_called_visible_is_found(failures, renderer):
    found = failures(seeing_through(renderer), several(renderer, 2))
    assert found.keys() == {CHECK}
    assert "must count the pixels behind another instance as unseen" in found[CHECK]
    assert "moving " in found[CHECK]


@pytest.mark.parametrize("renderer", [AnalyticRenderer, MnistRenderer])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_honest_renderers_pass_with_any_number_of_instances(failures, renderer, count):
    assert failures(renderer, several(renderer, count)) == {}


def test_two_things_at_one_place_may_be_refused(failures):
    class Solid(AnalyticRenderer):
        def render(self, scenes):
            for scene in scenes:
                places = [(n.attributes["x"], n.attributes["y"]) for n in scene.nodes[1:]]
                if len(set(places)) < len(places) or len({y for _, y in places}) < len(places):
                    raise DataError("no two blobs may touch")
            return super().render(scenes)

    assert CHECK not in failures(Solid, several(AnalyticRenderer, 2))


class Plate(Renderer):
    """A disc in the middle with a smaller one on it, in perspective: both shrink as they recede."""

    far: ClassVar = {"prior": {"uniform": {"low": 2, "high": 4}}, "range": [2, 4], "mutable": True}
    kinds: ClassVar = {"plate": frozenset({"z"}), "sticker": frozenset({"z"})}
    sticker: ClassVar = {"name": "sticker", "kind": "sticker", "attributes": {"z": far}}
    example: ClassVar = {
        "root": {"name": "plate", "kind": "plate", "attributes": {"z": far}, "children": [sticker]}
    }

    def __init__(self):
        self.image_size = (32, 32)

    def render(self, scenes):
        images = np.zeros((len(scenes), 32, 32, 3), np.uint8)
        instances = np.zeros((len(scenes), 32, 32), np.int32)
        down, along = np.mgrid[-16:16, -16:16] + 0.5
        for image, plane, scene in zip(images, instances, scenes, strict=True):
            plate, sticker = (node.attributes["z"] for node in scene.nodes)
            for instance, size in ((1, 30), (2, 20)):
                plane[np.hypot(down, along) < size / plate] = instance
            image[plane == 1], image[plane == 2] = 100, round(60 * sticker)
        labels = tuple(
            tuple(self.label(plane, scene, instance) for instance in (1, 2))
            for plane, scene in zip(instances, scenes, strict=True)
        )
        return Rendered(images, instances, labels)

    def label(self, plane, scene, instance):
        rows, columns = np.nonzero(plane == instance)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        node, own = scene.nodes[instance - 1], np.count_nonzero(plane >= instance)
        box = tuple(int(side) for side in box)
        return Label(instance, instance - 1, node.name, node.kind, "x", box, rows.size / own)


def test_what_recedes_with_its_parent_is_not_taken_for_hidden(failures):
    assert CHECK not in failures(Plate)
