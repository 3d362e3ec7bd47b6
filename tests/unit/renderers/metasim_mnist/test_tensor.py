"""The differentiable path: the same pictures, and gradients that match finite differences."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from metasim.errors import DataError  # noqa: E402
from metasim.scene import Attributes, Node, Scene, SceneGrammar  # noqa: E402
from metasim_mnist import MnistRenderer  # noqa: E402

GRAMMAR = SceneGrammar.model_validate(MnistRenderer.example)


@pytest.fixture(scope="module")
def renderer():
    return MnistRenderer()


def samples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [GRAMMAR.sample(rng) for _ in range(count)]


def flat(scenes, kind):
    """(row, node) of the nodes of a kind, rows counted over all scenes."""
    nodes = [node for scene in scenes for node in scene.nodes]
    return [(row, node) for row, node in enumerate(nodes) if node.kind == kind]


def overrides_of(scenes, name, dtype=torch.float64):
    kind = "scene" if name in ("level", "noise") else "digit"
    rows, nodes = zip(*flat(scenes, kind), strict=True)
    values = torch.tensor([float(n.attributes[name]) for n in nodes], dtype=dtype)
    return torch.tensor(rows), values


def assert_agree(tensor, rendered):
    drawn = torch.from_numpy(rendered.images).permute(0, 3, 1, 2)
    # Half a level of rounding, and what single precision makes of steep strokes.
    assert (tensor.detach() * 255 - drawn).abs().max() <= 0.5 + 0.05


def test_it_draws_what_render_draws(renderer):
    scenes = samples(40)
    tensor = renderer.render_tensor(scenes, {})
    assert tensor.shape == (40, 3, 32, 32)
    assert tensor.dtype == torch.float32
    assert tensor.min() >= 0
    assert tensor.max() <= 1
    assert_agree(tensor, renderer.render(scenes))


@pytest.mark.parametrize("size", [(20, 45), (64, 64)])
def test_it_draws_digits_at_the_edge_and_beyond(size):
    renderer = MnistRenderer(image_size=size)
    places = [(0.0, 0.0), (-10.0, 5.0), (300.0, 10.0), (size[1] - 0.5, size[0] + 3.0), (1e7, 0.0)]
    scenes = [
        Scene(
            (
                Node("s", "scene", Attributes({"level": 0.2})),
                *(
                    Node(
                        "d",
                        "digit",
                        Attributes({"x": x + d, "y": y, "scale": 1.2, "shear": 0.3}),
                        0,
                    )
                    for d in (0.0, 6.0)
                ),
            ),
            seed,
        )
        for seed, (x, y) in enumerate(places)
    ]
    assert_agree(renderer.render_tensor(scenes, {}), renderer.render(scenes))


def test_overrides_are_what_the_scene_would_have_said(renderer):
    scenes = samples(12)
    nodes = flat(scenes, "digit")[::2]
    rows = torch.tensor([row for row, _ in nodes])
    yaw = torch.linspace(0, 350, len(rows))
    x = torch.linspace(4, 28, len(rows))
    told = dict(zip(rows.tolist(), zip(yaw.tolist(), x.tolist(), strict=True), strict=True))
    row, moved = 0, []
    for scene in scenes:
        changes = []
        for _ in scene.nodes:
            changes.append(dict(zip(("yaw", "x"), told[row], strict=True)) if row in told else None)
            row += 1
        moved.append(scene.with_attributes(changes))
    drawn = renderer.render_tensor(scenes, {"yaw": (rows, yaw), "x": (rows, x)})
    assert_agree(drawn, renderer.render(moved))
    assert (drawn - renderer.render_tensor(scenes, {})).abs().max() > 0.5


@pytest.mark.parametrize("name", sorted(MnistRenderer.differentiable))
def test_gradients_match_finite_differences(renderer, name):
    scenes = samples(4, seed=3)
    rows, values = overrides_of(scenes, name)
    if name == "intensity":
        values = values * 0.8  # away from white, where clipping has a kink
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 32, 32)))

    def loss(given):
        return (renderer.render_tensor(scenes, {name: (rows, given)}) * weight).sum()

    given = values.clone().requires_grad_()
    (exact,) = torch.autograd.grad(loss(given), given)
    assert exact.abs().min() > 0
    # The drawing is smooth but for kinks at the table's cells: so small a step meets few.
    step = 1e-6
    for index in range(len(values)):
        shift = torch.zeros_like(values)
        shift[index] = step
        difference = (loss(values + shift) - loss(values - shift)) / (2 * step)
        assert difference.item() == pytest.approx(exact[index].item(), rel=1e-3, abs=1e-3)


def test_a_digit_gets_gradient_only_as_far_as_it_shows_through(renderer):
    digit = {"class": 0, "glyph": 0.1}
    scene = Scene(
        (
            Node("s", "scene", Attributes()),
            Node("a", "digit", Attributes(digit), 0),
            Node("b", "digit", Attributes(digit), 0),
        )
    )
    intensity = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    image = renderer.render_tensor([scene], {"intensity": (torch.tensor([1, 2]), intensity)})
    image.sum().backward()
    alone = Scene(scene.nodes[:2])
    cover = renderer.render_tensor([alone], {}).double()
    assert intensity.grad[1] == pytest.approx(cover.sum().item(), rel=1e-5)
    assert intensity.grad[0] == pytest.approx((cover * (1 - cover)).sum().item(), rel=1e-5)


def test_gradients_of_one_scene_do_not_reach_another(renderer):
    scenes = samples(3)
    rows, values = overrides_of(scenes, "x")
    values.requires_grad_()
    renderer.render_tensor(scenes, {"x": (rows, values)})[1].sum().backward()
    inside = [
        len(scenes[0].nodes) <= row < len(scenes[0].nodes) + len(scenes[1].nodes)
        for row in rows.tolist()
    ]
    assert all((g == 0) != mine for g, mine in zip(values.grad, inside, strict=True))


def test_an_empty_batch_and_scenes_without_digits(renderer):
    assert renderer.render_tensor([], {}).shape == (0, 3, 32, 32)
    bare = Scene((Node("s", "scene", Attributes({"level": 0.4})),))
    image = renderer.render_tensor([bare], {})
    assert image.numpy() == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"glyph": ([1], [0.5])}, "not differentiable in 'glyph'"),
        ({"yow": ([1], [0.5])}, "did you mean 'yaw'"),
        ({"x": ([0], [5.0])}, "every row of 'x'"),
        ({"level": ([1], [0.5])}, "every row of 'level'"),
        ({"x": ([99], [5.0])}, "every row of 'x'"),
        ({"x": ([-1], [5.0])}, "every row of 'x'"),
        ({"x": ([1, 1], [5.0])}, "one length"),
        ({"x": ([1], [float("nan")])}, "finite"),
        ({"scale": ([1], [-0.5])}, "'scale' must lie"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(renderer, overrides, said):
    scene = Scene((Node("s", "scene", Attributes()), Node("d", "digit", Attributes(), 0)))
    given = {
        k: (torch.tensor(rows), torch.tensor(values)) for k, (rows, values) in overrides.items()
    }
    with pytest.raises(DataError, match=said):
        renderer.render_tensor([scene], given)


def test_a_row_of_a_scene_without_a_ground_node_is_refused(renderer):
    scene = Scene((Node("d", "digit", Attributes()),))
    with pytest.raises(DataError, match="'level'"):
        renderer.render_tensor([scene, scene], {"level": (torch.tensor([0]), torch.tensor([0.5]))})
