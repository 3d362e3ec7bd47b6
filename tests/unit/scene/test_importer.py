from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metasim.config import load_experiment, load_grammar
from metasim.errors import ConfigError
from metasim.rng import stream
from metasim.scene.importer import Imported, import_generator

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
    assert "($.attributes, $.child[0].attributes)" in told  # texture, of both
    assert "dropped yaw: the picture as a whole has no place of its own ($.attributes)" in told
    assert found.grammar.root.attributes == {}


def test_nodes_for_the_whole_picture_are_part_of_the_root(tmp_path: Path) -> None:
    background = {"class": ["Deterministic", "Background"], "attributes": {"immutable": True}}
    inner = {**config(DIGIT, count=3), "attributes": {"immutable": True}}
    outer = {**config(background, inner), "class": ["Deterministic", "Image"]}
    grammar = run(tmp_path, outer).grammar
    assert list(grammar.nodes) == ["scene", "digit"]
    assert len(grammar.sample(stream(0)).nodes) == 4
    assert list(grammar.learnable) == ["digit.x", "digit.yaw"]  # named at the top


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
    assert len(run(tmp_path, config(DIGIT, count=1500)).grammar.sample(stream(0)).nodes) == 1501


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
            "level": ["Deterministic", 5, 0, 2],
        },
        "num_child": ["Random", 2],
        "child": {},
    }
    found = mistakes(
        tmp_path,
        config(digit, 3, count=5, size=[64], mutable=["loc_x", "yow"], features=[]),  # type: ignore[arg-type]
    )
    at = "$.child[0].attributes"
    assert set(found) == {
        "$.attributes.size",
        "$.attributes.mutable[1]",
        "$.num_child",
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
    }
    assert "did you mean 'Gaussian'?" in found[f"{at}.loc_x[0]"]
    assert "did you mean 'yaw'?" in found["$.attributes.mutable[1]"]
    assert "did you mean 'attributes'?" in found["$.child[0].atributes"]
    assert found["$.num_child"] == "must be the number of entries in child, 2, got 5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "generator.json:1:2: is not JSON"),
        ('{"class": 1,\n}', ":2:1: is not JSON"),
        ("[1]", "$: a node must be an object, got [1]"),
        ('{"class": ["Deterministic", "Scene"], "attributes": {"a": 1, "a": 2}}', "stands 2 times"),
        ('{"class": ["Deterministic", NaN]}', "must be finite, got NaN"),
        ("[" * 100_000, "is not JSON"),
        ('{"class": ["Deterministic", ""]}', "must be a name or a number"),
        ('{"class": ["Random", []]}', "must be a list of classes"),
        ('{"class": ["Deterministic", "Scene"], "attributes": []}', "must be an object, got []"),
        ('{"class": ["Deterministic", "Scene"], "attributes": {"mutable": "x"}}', "list of names"),
        ('{"class": ["Deterministic", "Scene"], "num_child": ["Deterministic", 2]}', "in child, 0"),
    ],
)
def test_files_that_are_no_generator_configuration(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        import_generator(tmp_path / "nowhere.json")
