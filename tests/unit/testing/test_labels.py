"""Labels are checked where instances leave the image, too."""

import dataclasses

import pytest

from metasim.errors import DataError
from metasim.render import Rendered
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
