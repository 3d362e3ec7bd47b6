"""Whether every attribute acts is checked of all that a renderer says it understands."""

from copy import deepcopy
from types import MappingProxyType

import pytest

from metasim.testing import AnalyticRenderer


def showing(**attributes):
    """The example of blobs, with more attributes."""
    example = deepcopy(AnalyticRenderer.example)
    example["root"]["children"][0]["attributes"] |= attributes
    return example


class Says(AnalyticRenderer):
    """Blobs that are said to have a look, which is not drawn."""

    kinds = MappingProxyType(
        {**AnalyticRenderer.kinds, "blob": frozenset({"x", "y", "yaw", "look"})}
    )


class Draws(Says):
    """Blobs whose look is drawn."""

    def render(self, scenes):
        done = super().render(scenes)
        for image, scene in zip(done.images, scenes, strict=True):
            for node in scene.nodes:
                image[0, 0] = len(str(node.attributes.get("look", "")))
        return done


LOOKS = {"prior": {"choice": {"values": ["bare", "hairy"]}}}


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (LOOKS, "2 values from bare to hairy"),
        ({"prior": 0.5, "range": [0, 1]}, "5 values from 0.0 to 0.8"),
        ({"prior": {"uniform": {"low": 0, "high": 1}}}, "5 values from 0.1 to 0.9"),
    ],
)
def test_an_attribute_that_is_not_learned_must_act_too(failures, look, said):
    class Ignores(Says):
        example = showing(look=look)

    found = failures(Ignores)
    assert found.keys() == {"attributes_act"}
    assert "blob.look must act" in found["attributes_act"]
    assert said in found["attributes_act"]


def test_named_values_that_act_pass(failures):
    class Honest(Draws):
        example = showing(look=LOOKS)

    assert failures(Honest) == {}


@pytest.mark.parametrize("shown", [{}, {"look": {"prior": "hairy"}}, {"look": {"prior": 0.5}}])
def test_what_the_example_gives_no_values_to_try_of_is_told(failures, shown):
    class Hides(Draws):
        example = showing(**shown)

    found = failures(Hides)
    assert found.keys() == {"example_covers_kinds"}
    assert "add blob.look (" in found["example_covers_kinds"]


def test_a_kind_that_the_example_lacks_is_told(failures):
    class Moons(AnalyticRenderer):
        kinds = MappingProxyType({**AnalyticRenderer.kinds, "moon": frozenset({"phase"})})

    assert "add moon, moon.phase (" in failures(Moons)["example_covers_kinds"]


def test_another_grammar_need_not_show_what_the_example_does(failures):
    some = deepcopy(AnalyticRenderer.example)
    del some["root"]["children"][0]["attributes"]["yaw"]
    assert failures(AnalyticRenderer, some) == {}

    class NoExample(AnalyticRenderer):
        example = None

    assert failures(NoExample, AnalyticRenderer.example) == {}
    assert "blob.yaw" in failures(NoExample, some)["example_covers_kinds"]


def test_a_node_that_is_rare_is_sought_and_one_that_never_occurs_is_told(failures):
    class Rare(Says):
        example = showing(look=LOOKS)

    (blob,) = Rare.example["root"]["children"]
    blob["count"] = {"choice": {"values": [0, 1], "weights": [0.95, 0.05]}}
    assert "blob.look must act" in failures(Rare)["attributes_act"]
    blob["count"] = 0
    assert "'blob' must occur" in failures(Rare)["attributes_act"]
