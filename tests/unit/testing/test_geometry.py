"""What a renderer says of space is one thing: each of its parts is set wrong by itself."""

from dataclasses import replace

import numpy as np
import pytest

from metasim.render import Mesh
from metasim.scene import SceneGrammar
from metasim.testing import ContractBrokenError, RendererContract, SolidsRenderer, Subject, geometry
from metasim.testing.checks import batch_equals_singles
from metasim.testing.silhouette import covered, extent

GRAMMAR = SceneGrammar.model_validate(SolidsRenderer.example)
CHECKS = {name: getattr(geometry, name) for name in geometry.__all__}


def failures(renderer):
    """What the checks of space find; the others have nothing to do with it."""
    found, subject = {}, Subject(renderer, GRAMMAR)
    for name, check in CHECKS.items():
        try:
            check(subject)
        except Exception as broken:  # a mesh that is none makes the others raise
            found[name] = str(broken)
    return found


class TestSolids(RendererContract):
    renderer = SolidsRenderer


def wrong(change):
    """Solids of which something else is said."""

    class Wrong(SolidsRenderer):
        def render(self, scenes):
            return change(super().render(scenes))

    return Wrong


def relabelled(change):
    def relabel(done):
        return replace(done, labels=tuple(tuple(map(change, one)) for one in done.labels))

    return wrong(relabel)


def posed(change):
    return relabelled(lambda label: replace(label, pose=change(label.pose)))


def seen(change):
    return wrong(lambda done: replace(done, cameras=tuple(map(change, done.cameras))))


def flipped(axis):
    sign = np.array([-1 if place == axis else 1 for place in range(3)], np.float32)
    return wrong(lambda done: replace(done, normals=done.normals * sign))


def grown(label):
    x0, y0, x1, y1 = label.full_box
    return replace(label, full_box=(x0 - 2, y0, x1, y1)) if label.visible < 1 else label


def turned(pose):
    rotation = np.reshape(pose.rotation, (3, 3)) @ [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    return replace(pose, rotation=tuple(rotation.ravel().tolist()))


def upside_down(pose):
    flip = np.diag([1.0, -1.0, -1.0])  # what other engines call a camera's frame
    rotation = flip @ np.reshape(pose.rotation, (3, 3))
    x, y, z = pose.translation
    return replace(pose, rotation=tuple(rotation.ravel().tolist()), translation=(x, -y, z))


def in_centimetres(pose):
    return replace(pose, translation=tuple(100 * value for value in pose.translation))


def stretched(pose):
    """Twice as large and as far away looks the same."""
    return replace(pose, translation=tuple(2 * v for v in pose.translation), scale=2 * pose.scale)


class ForgetsInEmptyBatches(SolidsRenderer):
    def render(self, scenes):
        done = super().render(scenes)
        return done if scenes else replace(done, depth=None, cameras=None)


class OtherModels(SolidsRenderer):
    models = SolidsRenderer().meshes()

    def meshes(self):
        return self.models


def modelled(**changes):
    class Changed(OtherModels):
        models = OtherModels.models | changes

    return Changed


BOX = OtherModels.models["box"]


@pytest.mark.parametrize(
    ("renderer", "check", "said"),
    [
        (posed(stretched), "depth_agrees_with_poses", "in metres"),
        (posed(turned), "depth_agrees_with_poses", "must lie within its posed model"),
        (ForgetsInEmptyBatches, "planes_are_offered_alike", "got normals with no scenes"),
        (posed(lambda _: None), "models_fit_poses", "must have a pose exactly where"),
        (
            modelled(box=Mesh(BOX.vertices * np.nan, BOX.faces)),
            "models_fit_poses",
            "finite",
        ),
        (modelled(box=Mesh(BOX.vertices, BOX.faces + 1)), "models_fit_poses", "8 vertices, got 1"),
        (
            modelled(box=Mesh(BOX.vertices[0], BOX.faces)),
            "models_fit_poses",
            "(N, 3)",
        ),
        (
            modelled(box=Mesh(BOX.vertices, BOX.faces / 1)),
            "models_fit_poses",
            "faces int32",
        ),
        (relabelled(grown), "boxes_agree_with_poses", "full_box must lie within the posed model"),
        (
            relabelled(lambda n: replace(n, full_box=n.box)),
            "boxes_agree_with_poses",
            "full_box must hold all pixels that the posed model covers",
        ),
        (
            relabelled(lambda n: replace(n, full_box=(n.box[0] - 1, *n.full_box[1:]))),
            "boxes_agree_with_poses",
            "where all is visible",
        ),
        (posed(upside_down), "boxes_agree_with_poses", "x right, y down, z ahead"),
        (posed(lambda p: replace(p, scale=1.0)), "boxes_agree_with_poses", "full_box must"),
        (posed(turned), "boxes_agree_with_poses", "full_box must"),
        (seen(lambda c: replace(c, cx=c.cx - 2)), "boxes_agree_with_poses", "full_box must"),
        (seen(lambda c: replace(c, fx=c.fx / 2)), "boxes_agree_with_poses", "full_box must"),
        (posed(in_centimetres), "depth_agrees_with_poses", "the z of the camera's frame in metres"),
        (
            wrong(lambda done: replace(done, depth=done.depth * 1000)),
            "depth_agrees_with_poses",
            "in metres",
        ),
        (
            posed(lambda p: replace(p, translation=(*p.translation[:2], p.translation[2] + 0.08))),
            "depth_agrees_with_poses",
            "posed model",
        ),
        (
            wrong(lambda done: replace(done, depth=done.depth * 0)),
            "normals_agree_with_depth",
            "depth must be above 0 where an instance is",
        ),
        (
            wrong(lambda done: replace(done, depth=np.maximum(done.depth, 0.5))),
            "normals_agree_with_depth",
            "both be 0 where there is no surface",
        ),
        (wrong(lambda d: replace(d, normals=-d.normals)), "normals_agree_with_depth", "away"),
        (flipped(0), "normals_agree_with_depth", "the x of normals"),
        (flipped(1), "normals_agree_with_depth", "the y of normals"),
    ],
)
def test_what_contradicts_the_rest_is_found(renderer, check, said):
    assert said in failures(renderer)[check]


def test_a_box_that_is_wrong_by_a_pixel_may_be_another_way_to_look_at_pixels():
    def shifted(label):
        x0, y0, x1, y1 = label.full_box
        some = label.visible < 1
        return replace(label, full_box=(x0 - 1, y0, x1, y1 + 1)) if some else label

    assert failures(relabelled(shifted)) == {}


@pytest.mark.parametrize(
    "less",
    [
        {"depth": None},
        {"normals": None},
        {"depth": None, "normals": None},
        {"cameras": None},
    ],
)
def test_a_renderer_may_offer_less(less):
    assert failures(wrong(lambda done: replace(done, **less))) == {}


def test_full_boxes_may_be_unknown():
    assert failures(relabelled(lambda label: replace(label, full_box=None))) == {}


def test_cameras_that_follow_from_the_batch_are_found():
    def last(done):
        return replace(done, cameras=done.cameras[-1:] * len(done.cameras))

    with pytest.raises(ContractBrokenError, match="must have equal cameras"):
        batch_equals_singles(Subject(wrong(last), GRAMMAR))


def test_covered_is_what_is_drawn():
    """Boxes of triangles against a count of the pixels whose centres lie within."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    for _ in range(300):
        seen = rng.uniform(5, 35, (3, 2))
        if rng.random() < 0.5:  # thin ones, which pass between the centres
            seen[2] = seen[:2].mean(0) + rng.normal(0, 0.4, 2)
        sides = [
            (b[0] - a[0]) * (down - a[1]) - (b[1] - a[1]) * (across - a[0])
            for a, b in zip(seen, np.roll(seen, -1, 0), strict=True)
        ]
        inside = np.all(np.array(sides) >= 0, 0) | np.all(np.array(sides) <= 0, 0)
        rows, columns = np.nonzero(inside)
        expected = None
        if rows.size:
            expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert covered(seen, np.array([[0, 1, 2]])) == expected
        outer = extent(seen)
        assert expected is None or (outer[0] <= expected[0] and outer[3] >= expected[3])


def test_a_solid_is_drawn_where_its_faces_are():
    """The renderer's rays against its projected corners, to the pixel."""
    rng = np.random.default_rng(3)
    renderer = SolidsRenderer((60, 90))
    drawn = renderer.render([GRAMMAR.sample(rng) for _ in range(20)])
    for labels, camera in zip(drawn.labels, drawn.cameras, strict=True):
        for label in labels:
            mesh = renderer.meshes()[label.category]
            seen = camera.project(label.pose.apply(mesh.vertices))
            assert covered(seen, mesh.faces) == label.full_box
            back = label.pose.undo(label.pose.apply(mesh.vertices))
            np.testing.assert_allclose(back, mesh.vertices, atol=1e-12)
