"""What scenes may say."""

from __future__ import annotations

import pytest

from metasim.errors import DataError
from metasim.scene import SceneGrammar
from metasim_blender.example import EXAMPLE
from metasim_blender.vocabulary import KINDS, PLAIN, mixed, read_scene

MODELS, TEXTURES = ("duck", "mug"), ("checks", "wood")


@pytest.fixture
def read(scene):
    def read(*nodes, seed=0, **ground):
        return read_scene(scene(*nodes, seed=seed, **ground), MODELS, TEXTURES)

    return read


def test_what_a_scene_does_not_say_has_defaults(read):
    bare = read()
    said = read(
        ("table", {"width": 1.0, "depth": 1, "texture": "plain"}),
        ("light", {"azimuth": 315.0, "strength": 1.0}),
        ("camera", {"fov": 40.0, "distance": 1.6}),
        ambient=0.35,
    )
    assert bare == said
    assert len(bare.lights) == 1
    assert bare.objects == ()


def test_positions_do_not_depend_on_the_order_of_nodes(read):
    nodes = [("object", {"class": "mug", "x": 0.1}), ("light", {"size": 5.0}), ("table", {})]
    one, other = read(*nodes), read(*nodes[::-1])
    assert one.lights == other.lights
    assert [p.x for p in one.objects] == [p.x for p in other.objects]
    assert [p.node for p in one.objects] == [1]
    assert [p.node for p in other.objects] == [3]


def test_a_colour_multiplies_a_texture_and_is_white_unless_given(read):
    plain, textured, tinted = (
        read(("table", said)).table.colour
        for said in ({}, {"texture": "wood"}, {"texture": "wood", "green": 0.5})
    )
    assert plain != (1, 1, 1)
    assert textured == (1, 1, 1)
    assert tinted == (1, 0.5, 1)


def test_an_object_without_a_class_gets_one_from_the_seed(read):
    found = {read(("object", {}), seed=seed).objects[0].model for seed in range(20)}
    assert found == set(MODELS)
    again = [read(("object", {}), ("object", {}), seed=7).objects for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("kind", "said", "told"),
    [
        ("object", {"class": "mugg"}, "did you mean 'mug'"),
        ("object", {"class": 3}, "'models'"),
        ("object", {"x": "left"}, "object.x must be a finite number, got 'left'"),
        ("object", {"scale": 0.0}, "object.scale must lie between 0.001 and 1000, got 0"),
        ("table", {"texture": "wod"}, "did you mean 'wood'"),
        ("table", {"red": 1.5}, "table.red must lie between 0 and 1"),
        ("camera", {"fov": 180.0}, "camera.fov must lie between 1 and 170"),
        ("light", {"strength": float("nan")}, "light.strength must be a finite number"),
        ("tree", {}, "nodes of kind scene, table, object, light, camera, got 'tree'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(read, kind, said, told):
    with pytest.raises(DataError, match=told):
        read((kind, said))


@pytest.mark.parametrize("kind", ["table", "camera", "scene"])
def test_there_is_one_of_some_kinds(read, kind):
    with pytest.raises(DataError, match=f"at most one {kind}"):
        read((kind, {}), (kind, {}))


def test_the_example_names_models_and_textures_that_are_there():
    from metasim_blender.assets import model_names
    from metasim_blender.textures import TEXTURES

    for node in SceneGrammar.model_validate(EXAMPLE).nodes.values():
        for key, attribute in node.attributes.items():
            names = set(attribute.categories or ())
            assert key in KINDS[node.kind]
            if key == "class":
                assert names <= set(model_names())
            elif names:
                assert names <= {PLAIN, *TEXTURES}


def test_seeds_of_any_size_give_31_bits_that_differ():
    seeds = [0, 1, 2**31, 2**32, 2**63, 2**64, 2**64 + 1, 2**128, 2**200]
    drawn = [mixed(seed, number) for seed in seeds for number in range(3)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= bits < 2**31 for bits in drawn)
