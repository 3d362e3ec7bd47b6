from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.config import load_experiment, load_grammar
from metasim.errors import ConfigError
from metasim.render import load_renderer
from metasim.rng import stream
from metasim.scene.importer import DRAWN, RENDERER, Imported, import_generator

DIGIT: dict[str, Any] = {
    "class": ["Random", [0, 1, 2, 3]],
    "attributes": {
        "immutable": False,
        "texture": "Random",
        "size_x": ["Deterministic", 14, 0, 64],
        "size_y": ["Deterministic", 14, 0, 64],
        "loc_x": ["Uniform", 10, 40, 48],
        "loc_y": ["Gaussian", 32, 5, 64],
        "yaw": ["Gaussian", 0, 10, 360],
    },
    "num_child": ["Deterministic", 0],
    "child": [],
}


def config(
    *children: dict[str, Any], count: int | None = None, **attributes: Any
) -> dict[str, Any]:
    return {
        "class": ["Deterministic", "Scene"],
        "attributes": {
            "features": ["class", "loc_x", "loc_y", "yaw"],
            "mutable": ["loc_x", "yaw"],
            "immutable": True,
            "size": [64, 48],
            **attributes,
        },
        "num_child": ["Deterministic", len(children) if count is None else count],
        "child": list(children),
    }


def background(**attributes: Any) -> dict[str, Any]:
    return {
        "class": ["Deterministic", "Background"],
        "attributes": {"immutable": True, **attributes},
        "num_child": ["Deterministic", 0],
        "child": [],
    }


def run(tmp_path: Path, data: Any) -> Imported:
    path = tmp_path / "generator.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return import_generator(path)


def mistakes(tmp_path: Path, data: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, data)
    return {mistake.key: mistake.message for mistake in caught.value.mistakes}


def test_a_digit_becomes_a_digit_with_our_names_units_and_ranges(tmp_path: Path) -> None:
    found = run(tmp_path, config(DIGIT))
    assert found.image_size == (64, 48)
    grammar = found.grammar
    assert {name: node.kind for name, node in grammar.nodes.items()} == {
        "scene": "scene",
        "digit": "digit",
    }
    attributes = grammar.nodes["digit"].attributes
    assert list(attributes) == ["class", "x", "y", "yaw", "scale"]
    assert attributes["class"].categories == (0, 1, 2, 3)
    assert attributes["x"].model_dump(exclude_defaults=True) == {
        "prior": {"uniform": {"low": 10.0, "high": 40.0}},
        "unit": "px",
        "range": (0.0, 48.0),
        "mutable": True,
    }
    assert attributes["y"].model_dump(exclude_defaults=True) == {
        "prior": {"normal": {"mean": 32.0, "std": 5.0}},
        "unit": "px",
        "range": (0.0, 64.0),
    }
    assert attributes["yaw"].model_dump(exclude_defaults=True) == {
        "prior": {"normal": {"mean": 0.0, "std": 10.0}},
        "unit": "deg",
        "range": (0.0, 360.0),
        "periodic": True,
        "mutable": True,
    }
    assert list(grammar.learnable) == ["digit.x", "digit.yaw"]


def test_samples_follow_the_distributions_in_their_units(tmp_path: Path) -> None:
    grammar = run(tmp_path, config(DIGIT)).grammar
    rng = stream(0, "import")
    drawn = [grammar.sample(rng).nodes[1].attributes for _ in range(2000)]
    x = np.array([d["x"] for d in drawn], float)
    y = np.array([d["y"] for d in drawn], float)
    yaw = np.array([d["yaw"] for d in drawn], float)
    assert 10 <= x.min() < 11
    assert 39 < x.max() <= 40
    assert abs(y.mean() - 32) < 0.6
    assert abs(y.std() - 5) < 0.4
    centred = (yaw + 180) % 360 - 180  # around 0 it falls on both ends of the range
    assert abs(centred.mean()) < 1.2
    assert abs(centred.std() - 10) < 0.8
    assert yaw.min() >= 0
    assert yaw.max() < 360
    assert {d["scale"] for d in drawn} == {0.5}


def test_the_yaml_is_a_valid_grammar_for_the_digit_renderer(tmp_path: Path) -> None:
    imported = run(tmp_path, config(DIGIT, num_samples=10))
    path = tmp_path / "grammar.yaml"
    path.write_text(imported.to_yaml("generator.json"))
    read = load_grammar(path)  # refuses kinds and attributes the renderer does not know
    assert read.grammar == imported.grammar
    assert read.renderer is not None
    assert (read.renderer.use, read.renderer.options) == ("mnist", {"image_size": [64, 48]})
    assert path.read_text().startswith("# Imported from generator.json.\n# - dropped features")
    experiment = tmp_path / "e.yaml"
    experiment.write_text(
        "grammar: grammar.yaml\nrenderer: {use: mnist}\ntarget: {grammar: grammar.yaml}\n"
    )
    assert list(load_experiment(experiment).grammar.learnable) == ["digit.x", "digit.yaw"]


def test_what_is_dropped_is_told_with_its_place(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        config(
            DIGIT,
            num_samples=10,
            asset_dir="a",
            output_dir="b",
            dataset="mnist",
            directed=True,
            texture="Deterministic",
            yaw=["Deterministic", 0, 0, 360],
        ),
    )
    told = "\n".join(found.notes)
    for name in ("features", "num_samples", "asset_dir", "output_dir", "dataset", "directed"):
        assert f"dropped {name}: " in told
    assert "dropped texture: " in told
    assert "dropped yaw: the picture as a whole has no place of its own ($.attributes)" in told
    assert found.grammar.root.attributes == {}


def test_nodes_for_the_whole_picture_are_part_of_the_root(tmp_path: Path) -> None:
    inner = {**config(DIGIT, DIGIT, DIGIT), "attributes": {"immutable": True}}
    outer = {**config(background(), inner), "class": ["Deterministic", "Image"]}
    grammar = run(tmp_path, outer).grammar
    assert list(grammar.nodes) == ["scene", "digit_1", "digit_2", "digit_3"]
    assert list(grammar.learnable)[:2] == ["digit_1.x", "digit_1.yaw"]  # named at the top


def test_the_grey_level_of_a_background_is_the_scenes(tmp_path: Path) -> None:
    ground = background(texture=["Gaussian", 0, 5, 255])
    found = run(tmp_path, config(ground, DIGIT, texture=["Deterministic", 90, 0, 255]))
    (level,) = found.grammar.root.attributes.values()
    assert level == found.grammar.root.attributes["level"]
    assert level.model_dump(exclude_defaults=True) == {
        "prior": {"normal": {"mean": 0.0, "std": 5 / 255}},
        "range": (0.0, 1.0),
    }
    why = "only a digit's texture and a background's grey level are drawn"
    assert f"dropped texture: {why} ($.attributes)" in found.notes


@pytest.mark.parametrize(
    ("texture", "level"),
    [
        (["Deterministic", 51, 0, 255], 0.2),
        (["Uniform", 51, 51, 255], 0.2),
        (["Deterministic", -3, 0, 255], 0),
    ],
)
def test_a_background_may_be_of_one_grey(tmp_path: Path, texture: Any, level: float) -> None:
    grammar = run(tmp_path, config(background(texture=texture), mutable=[])).grammar
    assert grammar.sample(stream(0)).nodes[0].attributes == {"level": level}


def test_a_background_may_be_learned(tmp_path: Path) -> None:
    ground = background(immutable=False, texture=["Uniform", 0, 255, 255])
    grammar = run(tmp_path, config(ground, DIGIT, mutable=["texture"])).grammar
    assert list(grammar.learnable) == ["scene.level"]


def test_what_parts_of_the_scene_have_is_the_scenes_or_is_told(tmp_path: Path) -> None:
    ground = background(
        noise=["Deterministic", 0.1, 0, 1], fog=["Deterministic", 1, 0, 2], size=[8, 8]
    )
    inner = {**config(DIGIT), "attributes": {"noise": ["Deterministic", 0.2, 0, 1]}}
    found = run(tmp_path, config(ground, inner, level=["Deterministic", 0.3, 0, 1]))
    assert found.grammar.sample(stream(0)).nodes[0].attributes == {"level": 0.3, "noise": 0.1}
    told = "\n".join(found.notes)
    assert "dropped fog: a part of the scene adds only level and noise to it ($.child[0]" in told
    assert "dropped noise: the scene has one already ($.child[1].attributes)" in told
    assert "dropped size: the picture's stands at the top ($.child[0].attributes)" in told


@pytest.mark.parametrize(("texture", "glyph"), [("Deterministic", {"glyph": 0}), ("Random", {})])
def test_the_texture_of_a_digit_is_its_exemplar(
    tmp_path: Path, texture: str, glyph: dict[str, int]
) -> None:
    digit = {**DIGIT, "class": ["Deterministic", 3], "attributes": {"texture": texture}}
    found = run(tmp_path, config(digit, mutable=[]))
    assert found.grammar.sample(stream(0)).nodes[1].attributes == {"class": 3, **glyph}
    assert "texture" not in "\n".join(found.notes)


def test_a_texture_that_a_digit_cannot_have(tmp_path: Path) -> None:
    digit = {**DIGIT, "attributes": {"texture": "Randm"}}
    found = mistakes(tmp_path, config(digit, mutable=[]))
    assert found == {
        "$.child[0].attributes.texture": 'must be "Random" or "Deterministic", got "Randm"'
    }


def test_the_texture_of_anything_else_is_kept_where_it_is_a_number(tmp_path: Path) -> None:
    cars = [
        {"class": ["Deterministic", "Car"], "attributes": {"texture": texture}}
        for texture in (["Deterministic", 3, 0, 9], "Random")
    ]
    found = run(tmp_path, config(*cars, mutable=[]))
    assert [node.attributes for node in found.grammar.sample(stream(0)).nodes[1:]] == [
        {"texture": 3},
        {},
    ]
    assert any("dropped texture" in n and "($.child[1].attributes)" in n for n in found.notes)


def test_several_digits_are_numbered(tmp_path: Path) -> None:
    other = {**DIGIT, "class": ["Deterministic", "7"], "attributes": {"immutable": True}}
    grammar = run(tmp_path, config(DIGIT, other)).grammar
    assert list(grammar.nodes) == ["scene", "digit_1", "digit_2"]
    assert grammar.sample(stream(0)).nodes[2].attributes == {"class": 7}


def test_immutable_wins_over_mutable(tmp_path: Path) -> None:
    still = {**DIGIT, "attributes": {**DIGIT["attributes"], "immutable": True}}
    found = run(tmp_path, config(still))
    assert not found.grammar.learnable
    assert any("nothing numeric is mutable" in note for note in found.notes)


def test_a_node_may_have_mutable_names_of_its_own(tmp_path: Path) -> None:
    own = {**DIGIT, "attributes": {**DIGIT["attributes"], "mutable": ["loc_y", "size_x"]}}
    grammar = run(tmp_path, config(own)).grammar
    assert list(grammar.learnable) == ["digit.y", "digit.scale"]
    assert grammar.nodes["digit"].attributes["scale"].range == (0, 64 / 28)


@pytest.mark.parametrize("own", [[], ["loc_y"]])
def test_an_empty_list_of_mutable_names_is_one(tmp_path: Path, own: list[str]) -> None:
    still = {**DIGIT, "attributes": {**DIGIT["attributes"], "mutable": own}}
    found = run(tmp_path, config(still, DIGIT)).grammar.learnable
    assert list(found) == [f"digit_1.{n[-1]}" for n in own] + ["digit_2.x", "digit_2.yaw"]


@pytest.mark.parametrize(
    ("name", "spec", "span"),
    [
        ("loc_x", ["Uniform", -5, 40, 32], (-5, 40)),
        ("loc_x", ["Deterministic", -20, 0, 32], (-20, 32)),
        ("loc_x", ["Deterministic", 50, 0, 32], (0, 50)),
        ("loc_y", ["Gaussian", 30, 4, 32], (0, 42)),
        ("loc_y", ["Gaussian", 2, 4, 32], (-10, 32)),
        ("shear", ["Uniform", -0.2, 1.5, 1], (-1, 1.5)),
        ("shear", ["Deterministic", -3, 0, 1], (-3, 1)),
        ("scale", ["Gaussian", 1, 0.5, 2], (0, 2.5)),
        ("yaw", ["Uniform", -400, 400, 360], (0, 360)),
    ],
)
def test_the_range_holds_what_is_sampled(
    tmp_path: Path, name: str, spec: list[Any], span: tuple[float, float]
) -> None:
    digit = {**DIGIT, "attributes": {name: spec}}
    grammar = run(tmp_path, config(digit, mutable=[name])).grammar
    (attribute,) = (a for n, a in grammar.nodes["digit"].attributes.items() if n != "class")
    assert attribute.range == span


def test_samples_beyond_max_do_not_pile_up(tmp_path: Path) -> None:
    digit = {**DIGIT, "attributes": {"loc_x": ["Uniform", -5, 40, 32]}}
    grammar = run(tmp_path, config(digit, mutable=[])).grammar
    rng = stream(0, "import")
    x = [grammar.sample(rng).nodes[1].attributes["x"] for _ in range(500)]
    assert len(set(x)) == 500


@pytest.mark.parametrize("count", [0, 1, 5])
def test_all_children_are_taken_whatever_their_number_is_said_to_be(
    tmp_path: Path, count: int
) -> None:
    found = run(tmp_path, config(DIGIT, DIGIT, count=count))
    assert len(found.grammar.sample(stream(0)).nodes) == 3
    note = f"num_child says {count}; all nodes of child are taken, 2 ($.num_child)"
    assert note in found.notes
    assert not any("num_child" in note for note in run(tmp_path, config(DIGIT, DIGIT)).notes)


def test_the_digit_renderer_draws_what_is_said_of_it() -> None:
    assert load_renderer(RENDERER).kinds == DRAWN


@pytest.mark.parametrize(
    ("classes", "attribute", "undrawn"),
    [("Car", "loc_x", "car"), (3, "pitch", "digit.pitch")],
)
def test_a_renderer_that_cannot_draw_it_is_not_named(
    tmp_path: Path, classes: str | int, attribute: str, undrawn: str
) -> None:
    node = {
        "class": ["Deterministic", classes],
        "attributes": {attribute: ["Gaussian", 5, 1, 20]},
    }
    imported = run(tmp_path, config(DIGIT, node))
    path = tmp_path / "grammar.yaml"
    path.write_text(imported.to_yaml("generator.json"))
    assert load_grammar(path).renderer is None
    note = f"no renderer is named: mnist does not draw {undrawn}; the image size is [64, 48] ($)"
    assert note in imported.notes


@pytest.mark.parametrize(
    ("classes", "kind", "attributes"),
    [
        (["Deterministic", "Car"], "car", set()),
        (["Deterministic", "Big Car"], "big_car", set()),
        (["Random", ["Car", "Bus"]], "object", {"class"}),
        (["Random", [0, "Bus"]], "object", {"class"}),
        (["Deterministic", 12], "object", {"class"}),
    ],
)
def test_other_classes(tmp_path: Path, classes: list[Any], kind: str, attributes: set[str]) -> None:
    node = {"class": classes, "attributes": {}}
    found = run(tmp_path, {**config(node), "attributes": {}}).grammar.root.children[0]
    assert found.kind == kind
    assert set(found.attributes) == attributes


def test_an_attribute_we_do_not_know_is_kept(tmp_path: Path) -> None:
    attributes = {
        "shear": ["Gaussian", 0, 0.1, 0.5],
        "scale": ["Uniform", 1, 1, 2],
        "level": ["Gaussian", 0.5, 0, 1],
    }
    node = {**DIGIT, "attributes": attributes}
    found = run(tmp_path, {**config(node), "attributes": {"mutable": ["shear"]}})
    shear = found.grammar.nodes["digit"].attributes["shear"]
    assert shear.range == (-0.5, 0.5)  # it reaches below zero
    assert shear.mutable
    scene = found.grammar.sample(stream(0)).nodes[1].attributes
    assert (scene["scale"], scene["level"]) == (1, 0.5)  # without spread they are constants


def test_more_nodes_than_usual_are_allowed_for(tmp_path: Path) -> None:
    digit = {"class": ["Deterministic", 1], "attributes": {}}
    found = run(tmp_path, config(*[digit] * 1500, mutable=[]))
    assert len(found.grammar.sample(stream(0)).nodes) == 1501


def test_every_mistake_is_told_at_once_by_its_json_path(tmp_path: Path) -> None:
    digit = {
        "class": ["Randm", [1]],
        "atributes": {},
        "attributes": {
            "immutable": "no",
            "loc_x": ["Gausian", 1, 2, 64],
            "loc_y": ["Gaussian", 1, -2, 64],
            "yaw": ["Uniform", 10, 5, 360],
            "scale": ["Uniform", 1, 2],
            "shear": ["Uniform", "a", 2, 3],
            "noise": ["Uniform", 1, 2, 0],
            "level": ["Deterministic", 1e200, 0, 2],
            "size_x": ["Deterministic", -5, 0, 28],
        },
        "num_child": ["Random", 2],
        "child": {},
    }
    found = mistakes(
        tmp_path,
        config(digit, 3, size=[64], mutable=["loc_x", "yow"], features=[]),  # type: ignore[arg-type]
    )
    at = "$.child[0].attributes"
    assert set(found) == {
        "$.attributes.size",
        "$.attributes.mutable[1]",
        "$.child[0].class[0]",
        "$.child[0].atributes",
        "$.child[0].num_child",
        "$.child[0].child",
        "$.child[1]",
        f"{at}.immutable",
        f"{at}.loc_x[0]",
        f"{at}.loc_y[2]",
        f"{at}.yaw[2]",
        f"{at}.scale",
        f"{at}.shear[1]",
        f"{at}.noise[3]",
        f"{at}.level[1]",
        f"{at}.size_x[1]",
    }
    assert "did you mean 'Gaussian'?" in found[f"{at}.loc_x[0]"]
    assert "did you mean 'yaw'?" in found["$.attributes.mutable[1]"]
    assert "did you mean 'attributes'?" in found["$.child[0].atributes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "generator.json:1:2: is not JSON"),
        ('{"class": 1,\n}', ":2:1: is not JSON"),
        ("[1]", "$: a node must be an object, got [1]"),
        (
            '{"class": ["Deterministic", "Scene"], "attributes": {"a": 1, "a": 2}}',
            "$.attributes.a: stands 2 times",
        ),
        ('{"class": ["Deterministic", NaN]}', "must be finite, got NaN"),
        ("[" * 100_000, "at most 50 objects and lists must be nested"),
        ('{"class": ["Deterministic", ""]}', "must be a name or a number"),
        ('{"class": ["Random", []]}', "must be a list of classes"),
        ('{"class": ["Deterministic", "Scene"], "attributes": []}', "must be an object, got []"),
        ('{"class": ["Deterministic", "Scene"], "attributes": {"mutable": "x"}}', "list of names"),
        ('{"class": ["Deterministic", "Scene"], "num_child": ["Deterministic", -1]}', 'got ["Det'),
    ],
)
def test_files_that_are_no_generator_configuration(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        import_generator(tmp_path / "nowhere.json")


def test_a_number_that_another_name_has_already_is_passed_over(tmp_path: Path) -> None:
    children = [{"class": ["Deterministic", c], "attributes": {}} for c in ("Car", "Car", "Car 1")]
    found = run(tmp_path, config(*children, mutable=[])).grammar
    assert list(found.nodes)[1:] == ["car_2", "car_3", "car_1"]
    assert [node.kind for node in found.root.children] == ["car", "car", "car_1"]


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (
            {
                "scale": ["Deterministic", 0.5, 0, 1],
                "size_x": ["Deterministic", 14, 0, 28],
                "size_y": ["Deterministic", 14, 0, 28],
            },
            "must not stand beside size_x and size_y",
        ),
        ({"class": ["Deterministic", 3, 0, 9]}, "must not stand beside the class of the node"),
    ],
)
def test_what_would_be_replaced_is_a_mistake(
    tmp_path: Path, attributes: dict[str, Any], told: str
) -> None:
    digit = copy.deepcopy(DIGIT)
    digit["attributes"] |= attributes
    with pytest.raises(ConfigError, match=told):
        run(tmp_path, config(digit))


@pytest.mark.parametrize("texture", ["Random", "Deterministic"])
def test_a_digits_texture_that_was_mutable_is_told_to_be_no_more(
    tmp_path: Path, texture: str
) -> None:
    digit = copy.deepcopy(DIGIT)
    digit["attributes"] |= {"mutable": ["texture", "yaw"], "texture": texture}
    found = run(tmp_path, config(digit))
    assert list(found.grammar.learnable) == ["digit.yaw"]
    (told,) = [line for line in found.notes if "texture is not learned" in line]
    assert "($.child[0].attributes.texture)" in told


def test_keys_that_are_no_attributes_cannot_be_mutable(tmp_path: Path) -> None:
    mutable = ["yaw", "features", "size", "immutable"]
    found = mistakes(tmp_path, config(DIGIT, mutable=mutable))
    assert list(found) == [f"$.attributes.mutable[{index}]" for index in (1, 2, 3)]
    assert (
        "no node has an attribute 'size'; did you mean 'size_" in found["$.attributes.mutable[2]"]
    )


@pytest.mark.parametrize("nodes", [26, 401])
def test_nodes_that_are_nested_too_deeply_are_refused(tmp_path: Path, nodes: int) -> None:
    start = '{"class": ["Deterministic", "Part"], "attributes": {}, "child": ['
    (found,) = mistakes(tmp_path, start * nodes + "]}" * nodes).items()
    assert "at most 50 objects and lists" in found[1]
    assert found[0] == "$" + ".child[0]" * 25


def test_the_deepest_nodes_that_are_read_make_a_grammar_that_is_read(tmp_path: Path) -> None:
    attributes = '"attributes": {"a": ["Gaussian", 1, 2, 3]}'
    start = f'{{"class": ["Deterministic", "Part"], {attributes}, "child": ['
    found = run(tmp_path, start * 24 + "]}" * 24)
    path = tmp_path / "grammar.yaml"
    path.write_text(found.to_yaml("generator.json"))
    assert load_grammar(path).grammar == found.grammar


@pytest.mark.parametrize("size", [1e99, 1e308])
def test_numbers_that_cannot_be_computed_with_are_refused(tmp_path: Path, size: float) -> None:
    digit = copy.deepcopy(DIGIT)
    digit["attributes"]["loc_x"] = ["Gaussian", size, size, size]
    (told,) = mistakes(tmp_path, config(digit)).values()
    assert told.startswith("must be a number of less than 1e+99 in size, got 1e+")
    digit["attributes"]["loc_x"] = ["Gaussian", 9e98, 9e98, 9e98]
    assert "digit.x" in run(tmp_path, config(digit)).grammar.learnable


def test_a_class_that_was_mutable_is_told_to_be_no_more(tmp_path: Path) -> None:
    digit = copy.deepcopy(DIGIT)
    digit["attributes"]["mutable"] = [*digit["attributes"].get("mutable", []), "class"]
    assert any("a class is not learned" in line for line in run(tmp_path, config(digit)).notes)
