"""Grammars: sampling, ranges that wrap or clip, correlations, counts, and what is refused."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from metasim.render import make_renderer
from metasim.scene import Attribute, Scene, SceneGrammar
from metasim_mnist import MnistRenderer

SHIPPED = sorted((Path(__file__).parents[3] / "assets" / "grammars").glob("*.yaml"))
DIGITS = [path for path in SHIPPED if path.stem.startswith("mnist_")]
TABLES = [path for path in SHIPPED if path.stem.startswith("tabletop_")]


def normal(mean, std):
    return {"normal": {"mean": mean, "std": std}}


def grammar(attributes=None, **fields):
    node = {"name": "digit", "kind": "digit", "attributes": attributes or {}, **fields}
    return SceneGrammar.model_validate(
        {"root": {"name": "scene", "kind": "scene", "children": [node]}}
    )


def drawn(one, count, *names, seed=0):
    """(count, names) attribute values of the first digit."""
    rng = np.random.default_rng(seed)
    scenes = [one.sample(rng) for _ in range(count)]
    return np.array([[scene.nodes[1].attributes[name] for name in names] for scene in scenes])


# --- ranges -------------------------------------------------------------------------------

spans = st.tuples(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4)).map(lambda p: (p[0], p[0] + p[1]))


@given(spans, st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_value_within_the_range_is_kept_bit_for_bit(span, share, periodic):
    attribute = Attribute(prior=0.0, range=span, periodic=periodic)
    value = min(span[0] + share * (span[1] - span[0]), math.nextafter(span[1], -math.inf))
    assert attribute.fit(value).hex() == value.hex()


@given(spans, st.floats(-1e6, 1e6))
def test_a_periodic_value_is_wrapped_by_whole_periods(span, value):
    low, high = span
    fitted = Attribute(prior=0.0, range=span, periodic=True).fit(value)
    assert low <= fitted < high
    turns = (value - fitted) / (high - low)
    assert turns == pytest.approx(round(turns), abs=1e-6 * max(1, abs(turns)))


@given(spans, st.floats(-1e6, 1e6))
def test_other_values_are_clipped(span, value):
    fitted = Attribute(prior=0.0, range=span).fit(value)
    assert fitted == min(max(value, span[0]), span[1])


def test_names_and_values_without_a_range_are_left_alone():
    assert Attribute(prior="mug").fit("mug") == "mug"
    assert Attribute(prior=0.0).fit(1e9) == 1e9


def test_the_smallest_step_below_zero_wraps_into_the_range():
    attribute = Attribute(prior=0.0, range=(0, 360), periodic=True)
    assert 0 <= attribute.fit(-5e-324) < 360
    assert attribute.fit(360.0) == 0.0
    assert attribute.fit(-10.0) == 350.0


def test_a_normal_prior_wraps_around_a_periodic_range():
    one = grammar({"yaw": {"prior": normal(0, 10), "range": [0, 360], "periodic": True}})
    values = drawn(one, 2000, "yaw")[:, 0]
    assert ((values > 300) | (values < 60)).all()
    assert 0.45 < (values > 300).mean() < 0.55
    centred = (values + 180) % 360 - 180
    assert stats.kstest(centred, stats.norm(0, 10).cdf).pvalue > 0.001


# --- sampling -----------------------------------------------------------------------------


def test_the_same_generator_gives_the_same_scenes_and_each_has_a_seed_of_its_own():
    one = grammar({"x": {"prior": normal(0, 1)}})
    a, b = np.random.default_rng(5), np.random.default_rng(5)
    first = [one.sample(a) for _ in range(20)]
    assert first == [one.sample(b) for _ in range(20)]
    assert len({scene.seed for scene in first}) == 20
    assert all(0 <= scene.seed < 2**63 for scene in first)


def test_scenes_have_the_grammars_tree_in_depth_first_order():
    leaf = {"name": "leaf", "kind": "leaf", "count": 2}
    one = grammar({}, count=2, children=[leaf, {"name": "tail", "kind": "leaf"}])
    scene = one.sample(np.random.default_rng(0))
    assert [node.name for node in scene.nodes] == [
        "scene", *["digit", "leaf", "leaf", "tail"] * 2,
    ]  # fmt: skip
    assert [node.parent for node in scene.nodes] == [-1, 0, 1, 1, 1, 0, 5, 5, 5]


def test_counts_follow_their_distribution():
    parts = [0, {"choice": {"values": [1, 3], "weights": [2, 1]}}]
    one = grammar({}, count={"mixture": {"components": parts, "weights": [1, 3]}})
    rng = np.random.default_rng(1)
    sizes = [len(one.sample(rng).nodes) - 1 for _ in range(2000)]
    shares = np.bincount(sizes, minlength=4) / 2000
    np.testing.assert_allclose(shares, [0.25, 0.5, 0, 0.25], atol=0.04)


def test_a_child_that_is_never_there_is_not_in_any_scene():
    assert len(grammar({}, count=0).sample(np.random.default_rng(0)).nodes) == 1


@pytest.mark.parametrize(
    "count",
    [
        -1,
        1.5,
        "many",
        {"uniform": {"low": 1.2, "high": 1.8}},
        {"choice": {"values": [1, 2.5], "weights": [0, 1]}},
        {"mixture": {"components": [-1, {"choice": {"values": [-2]}}]}},
    ],
)
def test_counts_that_are_no_whole_numbers_are_refused(count):
    with pytest.raises(ValidationError, match="must be a whole number >= 0"):
        grammar({}, count=count)


def test_a_grammar_whose_scenes_may_grow_too_large_is_refused():
    leaf = {"name": "c", "kind": "k", "count": {"choice": {"values": [1, 3], "weights": [9, 1]}}}
    branch = {"name": "b", "kind": "k", "count": 2, "children": [leaf]}
    root = {"name": "a", "kind": "k", "children": [branch]}
    with pytest.raises(ValidationError, match="may have 9 nodes, more than max_nodes = 8"):
        SceneGrammar.model_validate({"root": root, "max_nodes": 8})
    one = SceneGrammar.model_validate({"root": root, "max_nodes": 9})
    sizes = {len(one.sample(np.random.default_rng(seed)).nodes) for seed in range(40)}
    assert max(sizes) <= 9
    leaf["count"]["choice"]["weights"] = [1, 0]
    assert SceneGrammar.model_validate({"root": root, "max_nodes": 5})


@pytest.mark.parametrize("count", [0, 2, {"choice": {"values": [1, 2]}}])
def test_a_root_that_is_counted_is_refused(count):
    root = {"name": "a", "kind": "k", "count": count}
    with pytest.raises(ValidationError, match="there is one root in every scene"):
        SceneGrammar.model_validate({"root": root})


# --- correlations -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-0.9, -0.3, 0.0, 0.5, 0.8])
def test_correlated_normals_have_that_coefficient_and_keep_their_marginals(value):
    one = grammar(
        {"x": {"prior": normal(32, 8)}, "yaw": {"prior": normal(90, 20)}},
        correlations=[{"between": ["x", "yaw"], "value": value}],
    )
    x, yaw = drawn(one, 3000, "x", "yaw").T
    assert np.corrcoef(x, yaw)[0, 1] == pytest.approx(value, abs=0.05)
    assert stats.kstest(x, stats.norm(32, 8).cdf).pvalue > 0.001
    assert stats.kstest(yaw, stats.norm(90, 20).cdf).pvalue > 0.001


def test_other_marginals_keep_their_shape_and_others_stay_independent():
    one = grammar(
        {
            "a": {"prior": {"uniform": {"low": 0, "high": 1}}},
            "free": {"prior": normal(0, 1)},
            "b": {
                "prior": {"von_mises": {"mean": 0, "kappa": 5}},
                "range": [-180, 180],
                "periodic": True,
            },
            "c": {"prior": normal(0, 1)},
        },
        correlations=[
            {"between": ["a", "b"], "value": 0.7},
            {"between": ["b", "c"], "value": -0.6},
        ],
    )
    values = drawn(one, 4000, "a", "free", "b", "c")
    assert stats.kstest(values[:, 0], stats.uniform(0, 1).cdf).pvalue > 0.001
    rank = stats.spearmanr(values).statistic

    def expected(r):  # of the Gaussian copula
        return 6 / math.pi * math.asin(r / 2)

    assert rank[0, 2] == pytest.approx(expected(0.7), abs=0.05)
    assert rank[2, 3] == pytest.approx(expected(-0.6), abs=0.05)
    assert rank[0, 3] == pytest.approx(0, abs=0.05)
    assert np.abs(rank[1, [0, 2, 3]]).max() < 0.05


# --- learnable, categories, widened -------------------------------------------------------


def test_learnable_are_the_mutable_numbers():
    one = grammar(
        {
            "x": {"prior": 3, "range": [0, 9], "mutable": True},
            "y": {"prior": 3, "range": [0, 9]},
            "class": {"prior": {"choice": {"values": [3, 1, 2]}}},
            "kind": {"prior": "mug"},
        }
    )
    assert list(one.learnable) == ["digit.x"]
    attributes = one.nodes["digit"].attributes
    assert attributes["class"].categories == (1, 2, 3)
    assert attributes["kind"].categories == ("mug",)
    assert attributes["x"].categories is None


def test_named_values_of_a_mixture_are_all_its_components():
    parts = [{"choice": {"values": ["a", "b"]}}, {"constant": {"value": "c"}}]
    attribute = Attribute.model_validate({"prior": {"mixture": {"components": parts}}})
    assert attribute.categories == ("a", "b", "c")
    with pytest.raises(ValueError, match="either numbers or named values"):
        Attribute.model_validate({"prior": {"mixture": {"components": [*parts, normal(0, 1)]}}})


def test_a_choice_of_numbers_with_a_range_is_a_number_and_can_be_learned():
    yaw = {"prior": {"choice": {"values": [90, 200, 370]}}, "range": [0, 360], "periodic": True}
    one = grammar({"yaw": {**yaw, "mutable": True}})
    assert one.learnable["digit.yaw"].categories is None
    rng = np.random.default_rng(0)
    values = {one.sample(rng).nodes[1].attributes["yaw"] for _ in range(50)}
    assert values == {90, 200, 10}


def test_widened_makes_the_learnable_uniform_and_leaves_the_rest():
    one = grammar(
        {
            "yaw": {"prior": normal(0, 10), "range": [0, 360], "periodic": True, "mutable": True},
            "x": {"prior": normal(32, 1), "range": [10, 50], "mutable": True},
            "size": {"prior": normal(1, 0.1)},
            "level": {"prior": normal(1, 0.1)},
            "class": {"prior": {"choice": {"values": ["a"]}}},
        },
        correlations=[
            {"between": ["x", "yaw"], "value": 0.9},
            {"between": ["size", "level"], "value": 0.9},
        ],
    )
    before = one.model_dump()
    wide = one.widened()
    values = drawn(wide, 3000, "yaw", "x", "size", "level")
    assert stats.kstest(values[:, 0], stats.uniform(0, 360).cdf).pvalue > 0.001
    assert stats.kstest(values[:, 1], stats.uniform(10, 40).cdf).pvalue > 0.001
    assert stats.kstest(values[:, 2], stats.norm(1, 0.1).cdf).pvalue > 0.001
    assert abs(stats.spearmanr(values[:, 0], values[:, 1]).statistic) < 0.05
    assert stats.spearmanr(values[:, 2], values[:, 3]).statistic > 0.85
    assert list(wide.learnable) == list(one.learnable)
    assert one.model_dump() == before
    assert wide.widened() == wide


# --- what a grammar is as an object -------------------------------------------------------


def test_a_grammar_that_was_used_equals_and_pickles_like_a_fresh_one():
    def make():
        return grammar(
            {
                "x": {"prior": normal(0, 1)},
                "yaw": {
                    "prior": {"von_mises": {"mean": 0, "kappa": 2}},
                    "range": [0, 360],
                    "periodic": True,
                },
            },
            correlations=[{"between": ["x", "yaw"], "value": 0.5}],
        )

    used, fresh, other = make(), make(), make()
    used.sample(np.random.default_rng(0))
    other.sample(np.random.default_rng(1))
    assert used == fresh
    assert used == other
    back = pickle.loads(pickle.dumps(used))
    assert back == used
    assert back.sample(np.random.default_rng(2)) == fresh.sample(np.random.default_rng(2))


def test_the_written_form_gives_the_same_grammar_back():
    for path in SHIPPED:
        one = SceneGrammar.model_validate(yaml.safe_load(path.read_text()))
        assert SceneGrammar.model_validate_json(one.model_dump_json()) == one
        rng, again = np.random.default_rng(0), np.random.default_rng(0)
        scene = one.sample(rng)
        assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == one.sample(again)


def test_a_grammar_cannot_be_changed():
    with pytest.raises(ValidationError):
        grammar().root.name = "other"


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ({"prior": 0, "range": [5, 5]}, "low < high"),
        ({"prior": 0, "range": [0, math.inf]}, "finite"),
        ({"prior": 0, "mutable": True}, "a mutable attribute must have a range"),
        ({"prior": 0, "periodic": True}, "a periodic attribute must have a range"),
        ({"prior": "mug", "range": [0, 1]}, "text for values has no range"),
        ({"prior": {"choice": {"values": [1, "a"]}}, "range": [0, 3]}, "text for values"),
        ({"prior": {"choice": {"values": [1, 2]}}, "mutable": True}, "named values have none"),
        ({"prior": {"wrapped_normal": {"mean": 0, "std": 1}}, "range": [0, 9]}, "periodic: true"),
        (
            {
                "prior": {"mixture": {"components": [5, {"von_mises": {"mean": 0, "kappa": 1}}]}},
                "range": [0, 9],
                "periodic": True,
            },
            "add period: 9",
        ),
        ({"prior": 0, "units": "deg"}, "units"),
        ({}, "prior"),
    ],
)
def test_attributes_that_contradict_themselves_are_refused(attribute, said):
    with pytest.raises(ValidationError, match=said):
        grammar({"yaw": attribute})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"correlations": [{"between": ["x", "z"], "value": 0.5}]}, "names 'z'"),
        ({"correlations": [{"between": ["x", "x"], "value": 0.5}]}, "two different"),
        ({"correlations": [{"between": ["x", "y"], "value": 1.0}]}, "less than 1"),
        (
            {
                "correlations": [
                    {"between": ["x", "y"], "value": 0.9},
                    {"between": ["y", "w"], "value": 0.9},
                    {"between": ["x", "w"], "value": -0.9},
                ]
            },
            "contradict one another",
        ),
        (
            {
                "correlations": [
                    {"between": ["x", "y"], "value": 0.8},
                    {"between": ["y", "x"], "value": -0.8},
                ]
            },
            "two are given for one pair",
        ),
        ({"children": [{"name": "digit", "kind": "digit"}]}, "two nodes are called 'digit'"),
        ({"name": "7up"}, "pattern"),
        ({"kind": "a b"}, "pattern"),
        ({"childs": []}, "childs"),
    ],
)
def test_nodes_that_contradict_themselves_are_refused(fields, said):
    numbers = {name: {"prior": normal(0, 1)} for name in ("x", "y", "w")}
    with pytest.raises(ValidationError, match=said):
        grammar(numbers, **fields)


@pytest.mark.parametrize(
    "prior",
    [
        {"choice": {"values": [3, 1, 2]}},
        {"mixture": {"components": [normal(200, 5), normal(90, 5)]}},
        {"mixture": {"components": [normal(90, 30), normal(95, 30)]}},
    ],
)
def test_a_rank_correlation_of_what_has_no_order_is_refused(prior):
    """Its quantiles fall somewhere, so the correlation would come out weaker or reversed."""
    numbers = {"x": {"prior": normal(0, 1)}, "y": {"prior": prior}}
    grammar(numbers)
    with pytest.raises(ValidationError, match=r"'y' is correlated, so .* in rising order"):
        grammar(numbers, correlations=[{"between": ["x", "y"], "value": 0.5}])


@pytest.mark.parametrize(
    "prior",
    [
        {"choice": {"values": [1, 2, 3]}},
        {"choice": {"values": ["small", "large"]}},
        {"mixture": {"components": [normal(90, 5), normal(200, 5)]}},
        {"truncated_normal": {"mean": 90, "std": 30, "low": 80}},
    ],
)
def test_what_has_an_order_may_be_correlated(prior):
    numbers = {"x": {"prior": normal(0, 1)}, "y": {"prior": prior}}
    one = grammar(numbers, correlations=[{"between": ["x", "y"], "value": 0.9}])
    order = prior.get("choice", {}).get("values", [])
    rng = np.random.default_rng(0)
    pairs = [one.sample(rng).nodes[1].attributes for _ in range(500)]
    y = [order.index(p["y"]) if p["y"] in order else p["y"] for p in pairs]
    assert stats.spearmanr([p["x"] for p in pairs], y).statistic > 0.7


# --- the grammars that ship ---------------------------------------------------------------


def test_every_shipped_grammar_is_of_digits_or_of_a_table():
    assert set(DIGITS) | set(TABLES) == set(SHIPPED)


@pytest.mark.blender
def test_shipped_tables_can_be_drawn_and_show_all_of_their_objects():
    rng = np.random.default_rng(0)
    grammars = [SceneGrammar.model_validate(yaml.safe_load(p.read_text())) for p in TABLES]
    with make_renderer("blender", {"image_size": [64, 64]}) as renderer:
        drawn = [renderer.render([one.sample(rng) for _ in range(6)]) for one in grammars]
    for path, rendered in zip(TABLES, drawn, strict=True):
        shown = [label.visible for labels in rendered.labels for label in labels]
        assert len(shown) == 6 * (3 if "multi" in path.stem else 1)
        assert min(shown) > 0.7, path.stem


@pytest.mark.parametrize("path", DIGITS, ids=lambda p: p.stem)
def test_shipped_digits_can_be_drawn(path):
    one = SceneGrammar.model_validate(yaml.safe_load(path.read_text()))
    for node in one.nodes.values():
        assert set(node.attributes) <= MnistRenderer.kinds[node.kind]
    rng = np.random.default_rng(0)
    rendered = MnistRenderer(image_size=(64, 64)).render([one.sample(rng) for _ in range(20)])
    shown = [label.visible for labels in rendered.labels for label in labels]
    assert np.mean(shown) > 0.9


def test_shipped_targets_have_the_nodes_and_learnable_attributes_of_their_priors():
    by_name = {p.stem: SceneGrammar.model_validate(yaml.safe_load(p.read_text())) for p in SHIPPED}
    pairs = {name: name.removesuffix("_target") for name in by_name if name.endswith("_target")}
    pairs |= {"mnist_spread_target": "mnist_rot", "mnist_bimodal_target": "mnist_rot"}
    pairs |= {"tabletop_gap_target": "tabletop_3attr"}
    assert len(pairs) == 13
    for target, prior in pairs.items():
        learnable = by_name[target].learnable
        assert list(learnable) == list(by_name[prior].learnable)
        for name, attribute in by_name[prior].learnable.items():
            assert (attribute.unit, attribute.range, attribute.periodic) == (
                learnable[name].unit, learnable[name].range, learnable[name].periodic,
            )  # fmt: skip


def test_a_class_has_one_name_however_its_number_is_written() -> None:
    prior = {"choice": {"values": [3, 3.0, "3b", 0.5]}}
    node = {"name": "d", "kind": "digit", "attributes": {"class": {"prior": prior}}}
    grammar = SceneGrammar.model_validate(
        {"root": {"name": "scene", "kind": "scene", "children": [node]}}
    )
    assert grammar.classes == (("digit", "0.5"), ("digit", "3"), ("digit", "3b"))
