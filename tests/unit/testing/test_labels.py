"""Labels are checked where instances leave the image, too."""

import dataclasses
from types import MappingProxyType

import numpy as np
import pytest

from metasim.errors import DataError
from metasim.render import Label, Rendered, Renderer
from metasim.testing import AnalyticRenderer

CHECK = "instances_keep_labels"


def relabelled(change):
    """Blobs with other labels; those for which ``change`` gives None are left out."""

    class Relabelled(AnalyticRenderer):
        def render(self, scenes):
            done = super().render(scenes)
            labels = tuple(
                tuple(new for label in one if (new := change(label))) for one in done.labels
            )
            return Rendered(done.images, done.instances, labels)

    return Relabelled


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: n if n.visible > 0 else None, "every 'blob' must have a label"),
        (lambda n: dataclasses.replace(n, visible=float(n.visible > 0)), "from 1 to 1"),
        (lambda n: dataclasses.replace(n, visible=0.9 * (n.visible > 0)), "from 0.9 to 0.9"),
        (lambda n: dataclasses.replace(n, visible=1.0), "above 0 exactly where it has pixels"),
        (lambda n: n if n.visible else dataclasses.replace(n, box=(0, 0, 1, 1)), "box must be"),
    ],
)
def test_labels_that_are_wrong_outside_the_image_are_found(failures, change, said):
    found = failures(relabelled(change))
    # Nothing is amiss within the ranges of the example, where blobs stay in the image.
    assert found.keys() == {CHECK}
    assert said in found[CHECK]
    assert "moving blob.x" in found[CHECK]


def test_what_is_drawn_beyond_a_range_must_be_right_where_it_is_not_refused(failures):
    """A share of nothing is no number; that must not pass for a refusal."""
    found = failures(
        relabelled(lambda n: n if n.visible else dataclasses.replace(n, visible=float("nan")))
    )
    assert "visible must be a share from 0 to 1, got nan" in found[CHECK]


def test_a_label_that_is_missing_in_some_scenes_is_found(failures):
    class Forgets(AnalyticRenderer):
        def render(self, scenes):
            done = super().render(scenes)
            done.instances[:] = 0
            unseen = tuple(
                tuple(
                    dataclasses.replace(label, box=(0, 0, 0, 0), visible=0.0)
                    for label in labels
                    if scene.seed % 2
                )
                for scene, labels in zip(scenes, done.labels, strict=True)
            )
            return Rendered(done.images, done.instances, unseen)

    assert "as drawn: every 'blob' must have a label" in failures(Forgets)[CHECK]


def test_values_beyond_the_range_may_be_refused(failures):
    class Strict(AnalyticRenderer):
        def render(self, scenes):
            for scene in scenes:
                for node in scene.nodes[1:]:
                    if not 0 <= node.attributes["x"] <= 16:
                        raise DataError("x must lie between 0 and 16")
            return super().render(scenes)

    assert failures(Strict) == {}


class Receding(Renderer):
    """Discs on a plane in perspective: smaller and higher up the farther away."""

    kinds = MappingProxyType({"scene": frozenset(), "disc": frozenset({"z"})})
    example = MappingProxyType(
        {
            "root": {
                "name": "scene",
                "kind": "scene",
                "children": [
                    {
                        "name": "disc",
                        "kind": "disc",
                        "attributes": {
                            "z": {
                                "prior": {"uniform": {"low": 2, "high": 8}},
                                "range": [2, 8],
                                "mutable": True,
                            }
                        },
                    }
                ],
            }
        }
    )

    def __init__(self):
        self.image_size = (32, 32)

    def render(self, scenes):
        down, along = np.mgrid[-64:96, -64:96]
        images = np.zeros((len(scenes), 32, 32, 3), np.uint8)
        instances = np.zeros((len(scenes), 32, 32), np.int32)
        labels = []
        for row, scene in enumerate(scenes):
            z = max(scene.nodes[1].attributes["z"], 1.0)
            whole = (down + 2 - 40 / z) ** 2 + (along - 16) ** 2 <= (20 / z) ** 2
            seen = whole[64:96, 64:96]
            images[row][seen], instances[row][seen] = 255, 1
            rows, columns = np.nonzero(seen)
            box = (0, 0, 0, 0)
            if rows.size:
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            box = tuple(int(side) for side in box)
            share = float(seen.sum() / whole.sum()) if whole.any() else 0.0
            labels.append((Label(1, 1, "disc", "disc", "disc", box, share),))
        return Rendered(images, instances, tuple(labels))


def test_what_shrinks_in_perspective_as_it_nears_the_edge_is_not_taken_for_cut(failures):
    assert CHECK not in failures(Receding)
