"""Scenes: they do not change, and come back from JSON and from pickles as they were."""

import json
import math
import pickle
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasim.errors import DataError
from metasim.scene import Attributes, Node, Scene

names = st.text(min_size=1, max_size=8)
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60),
    st.text(max_size=8),
)


@st.composite
def scenes(draw):
    count = draw(st.integers(1, 6))
    nodes = tuple(
        Node(
            draw(names),
            draw(names),
            Attributes(draw(st.dictionaries(names, values, max_size=4))),
            draw(st.integers(0, index - 1)) if index else -1,
        )
        for index in range(count)
    )
    return Scene(nodes, draw(st.integers(0, 2**63 - 1)))


@given(scenes())
def test_json_gives_the_same_scene_back(scene):
    back = Scene.from_json(json.loads(json.dumps(scene.to_json())))
    assert back == scene
    assert hash(back) == hash(scene)
    for one, two in zip(scene.nodes, back.nodes, strict=True):
        assert [(k, repr(v)) for k, v in one.attributes.items()] == [
            (k, repr(v)) for k, v in two.attributes.items()
        ]


@given(scenes())
def test_a_pickle_gives_the_same_scene_back(scene):
    back = pickle.loads(pickle.dumps(scene))
    assert back == scene
    assert type(back.nodes[0].attributes) is Attributes


@given(scenes())
def test_edges_make_a_tree_over_all_nodes(scene):
    edges = scene.edges()
    assert [child for _, child in edges] == list(range(1, len(scene.nodes)))
    assert all(parent < child for parent, child in edges)
    assert all(scene.nodes[child].parent == parent for parent, child in edges)


SCENE = Scene(
    (
        Node("scene", "scene", Attributes({"level": 0.1})),
        Node("digit", "digit", Attributes({"yaw": 1.5, "class": 3}), 0),
    ),
    42,
)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.__setitem__("yaw", 2.0),
        lambda a: a.__delitem__("yaw"),
        lambda a: a.update(yaw=2.0),
        lambda a: a.pop("yaw"),
        lambda a: a.popitem(),
        lambda a: a.clear(),
        lambda a: a.setdefault("x", 1.0),
        lambda a: a.__ior__({"x": 1.0}),
    ],
)
def test_attributes_refuse_to_change(change):
    attributes = Attributes({"yaw": 1.5})
    with pytest.raises(TypeError, match="with_attributes"):
        change(attributes)
    assert attributes == {"yaw": 1.5}


def test_nodes_and_scenes_refuse_to_change():
    with pytest.raises(FrozenInstanceError):
        SCENE.seed = 1
    with pytest.raises(FrozenInstanceError):
        SCENE.nodes[0].name = "other"


def test_new_attributes_make_a_new_scene_and_keep_what_is_not_named():
    changed = SCENE.with_attributes([None, {"yaw": 9.0, "x": 4.0}])
    assert changed.nodes[1].attributes == {"yaw": 9.0, "class": 3, "x": 4.0}
    assert SCENE.nodes[1].attributes == {"yaw": 1.5, "class": 3}
    assert changed.nodes[0] is SCENE.nodes[0]
    assert changed.seed == 42
    assert (changed.nodes[1].parent, changed.nodes[1].name) == (0, "digit")


def test_too_few_or_too_many_changes_are_refused():
    for changes in ([None], [None] * 3):
        with pytest.raises(ValueError, match="zip"):
            SCENE.with_attributes(changes)


def test_another_seed_is_another_scene():
    other = SCENE.with_seed(7)
    assert other.seed == 7
    assert other.nodes is SCENE.nodes
    assert other != SCENE


def test_equality_does_not_depend_on_the_order_of_attributes():
    assert hash(Attributes({"a": 1, "b": 2})) == hash(Attributes({"b": 2, "a": 1}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: d.pop("seed"), "seed"),
        (lambda d: d.pop("nodes"), "nodes"),
        (lambda d: d.update(nodes=[]), "root"),
        (lambda d: d.update(seed="x"), "a seed must be a whole number of at least 0, got 'x'"),
        (lambda d: d.update(seed=-1), "a seed must be .* got -1"),
        (lambda d: d.update(seed=1.7), "a seed must be .* got 1.7"),
        (lambda d: d.update(seed=True), "a seed must be .* got True"),
        (lambda d: d["nodes"][0].pop("kind"), "kind"),
        (lambda d: d["nodes"][0].update(parent=0), "root"),
        (lambda d: d["nodes"][1].update(parent=1), "after its parent"),
        (lambda d: d["nodes"][1].update(parent=-1), "after its parent"),
        (lambda d: d["nodes"][1].update(parent="up"), "a parent must be a whole number"),
        (lambda d: d["nodes"][0].update(parent=-1.5), "a parent must be a whole number"),
        (lambda d: d["nodes"][1]["attributes"].update(yaw=math.nan), "'yaw' must be finite"),
        (lambda d: d["nodes"][1]["attributes"].update(yaw=[1]), "'yaw' must be a number"),
        (lambda d: d["nodes"][1]["attributes"].update(yaw=True), "'yaw' must be a number"),
        (lambda d: d["nodes"][1].update(attributes=None), "description of a scene"),
    ],
)
def test_what_does_not_describe_a_scene_is_refused(spoil, said):
    data = SCENE.to_json()
    spoil(data)
    with pytest.raises(DataError, match=said):
        Scene.from_json(data)
