from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metasim.config import load_experiment, load_grammar
from metasim.config.shape import DISTRIBUTIONS
from metasim.errors import ConfigError, Mistake, PluginError
from metasim.learn.options import Pathwise

Write = Callable[[str], Path]
HEAD = "grammar: grammar.yaml\nrenderer: {use: 'toy_for_config:Toy'}\n"
TARGET = "target: {grammar: grammar.yaml}\n"


def mistakes(path: Path, overrides: tuple[str, ...] = ()) -> list[Mistake]:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    return list(caught.value.mistakes)


def grammar_mistakes(path: Path, text: str) -> list[Mistake]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_grammar(path)
    return list(caught.value.mistakes)


def test_every_mistake_of_every_file_is_told_at_once(write: Write, folder: Path) -> None:
    (folder / "other.yaml").write_text(
        "root:\n"
        "  name: scene\n"
        "  kind: scene\n"
        "  children:\n"
        "    - name: digit\n"
        "      kind: digt\n"
        "      count: -1\n"
        "    - name: digit\n"
        "      kind: digit\n"
        "      attributes:\n"
        "        yaw: {prior: {normal: {mean: 0, sd: 10}}, range: [0]}\n"
        "        colour: {prior: red}\n"
    )
    path = write(
        "nmae: x\n"
        "seed: -1\n"
        "seed: 2\n"
        "device: gpu\n"
        "grammar: other.yaml\n"
        "renderer: {use: 'toy_for_config:Toy', options: {image_sise: 3, glyphs: 3}}\n"
        "target: {grammar: nowhere.yaml}\n"
        "training: {lr: .nan, batch_size: 2, warm_start: yes, max_renders: 1.5}\n"
        "editor: {head: {use: gausian}, hiden: [3]}\n"
        "features: [{use: pixels, renders: 3}, {use: simulator, refine: x}]\n"
        "gradient: {use: pathwise}\n"
        "discrepancy: mmd\n"
    )
    found = mistakes(path, ("training.foo=1", "renderer"))
    place = [(Path(m.file).name, m.line, m.column, m.key) for m in found]
    root, options = "grammar.root.children", "renderer.options"
    assert place == [
        ("experiment.yaml", 1, 1, "nmae"),
        ("experiment.yaml", 2, 7, "seed"),
        ("experiment.yaml", 3, 1, "seed"),
        ("experiment.yaml", 4, 9, "device"),
        ("experiment.yaml", 6, 49, f"{options}.image_sise"),
        ("experiment.yaml", 6, 72, f"{options}.glyphs"),
        ("experiment.yaml", 7, 19, "target.grammar"),
        ("experiment.yaml", 8, 16, "training.lr"),
        ("experiment.yaml", 8, 34, "training.batch_size"),
        ("experiment.yaml", 8, 49, "training.warm_start"),
        ("experiment.yaml", 8, 67, "training.max_renders"),
        ("experiment.yaml", 9, 22, "editor.head.use"),
        ("experiment.yaml", 9, 32, "editor.hiden"),
        ("experiment.yaml", 10, 26, "features.0.renders"),
        ("experiment.yaml", 10, 64, "features.1.refine"),
        ("experiment.yaml", 11, 17, "gradient.use"),
        ("experiment.yaml", 12, 14, "discrepancy"),
        ("other.yaml", 6, 13, f"{root}.0.kind"),
        ("other.yaml", 7, 14, f"{root}.0.count"),
        ("other.yaml", 8, 13, f"{root}.1.name"),
        ("other.yaml", 11, 31, f"{root}.1.attributes.yaw.prior.normal.std"),
        ("other.yaml", 11, 41, f"{root}.1.attributes.yaw.prior.normal.sd"),
        ("other.yaml", 11, 58, f"{root}.1.attributes.yaw.range.1"),
        ("other.yaml", 12, 9, f"{root}.1.attributes.colour"),
        ("command line", 0, 0, ""),
        ("command line", 0, 0, "training.foo"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nmae: x", "unknown key; did you mean 'name'?"),
        ("name: a/b", "since a folder is called so; got 'a/b'"),
        ("name: 3", "must be text, got 3"),
        ("seed: 1.5", "must be a whole number, got 1.5"),
        ("seed: '1'", "must be a whole number, got '1'"),
        ("seed: true", "must be a whole number, got true"),
        ("training: {lr: fast}", "must be a number, got 'fast'"),
        ("training: {lr: 0}", "must be above 0, got 0"),
        ("training: {anneal: 2}", "must be at most 1, got 2"),
        ("training: {batch_size: 3}", "must be at least 4, got 3"),
        ("training: {warm_start: 1}", "must be true or false, got 1"),
        ("training:", "must be a mapping, got nothing"),
        ("editor: {hidden: 3}", "must be a list, got 3"),
        ("editor: {hidden: [3, x]}", "must be a whole number, got 'x'"),
        ("editor: {use: gnc}", "did you mean 'gcn'?"),
        ("editor: {use: 3}", "must be one of gcn, parametric, prior, got '3'"),
        ("editor: gcn", "must be a mapping such as {use: gcn}, got 'gcn'"),
        ("gradient: {use: spsa, buffer: 3}", "unknown key; known: step, use"),
        ("gradient: {use: spsa, step: 50}", "must be at most 0.5, got 50"),
        ("gradient: {use: finite_difference, step: 0}", "must be above 0, got 0"),
        ("features: [{renders: 3}]", "must name its kind with the key 'use'"),
        ("features: []", "must have at least 1 entries, got 0"),
        ("features: {use: pretrained, weights: nowhere.pt}", "nowhere.pt does not exist"),
        (
            "discrepancy: {use: mmd, kernel: rfb}",
            "must be 'rbf' or 'rational_quadratic', got 'rfb'",
        ),
        ("discrepancy: {use: mmd, bandwidths: [1, -1]}", "must be at least 0.001, got -1"),
        ("discrepancy: {use: mmd_rff, bandwidths: [1e300]}", "must be at most 1000, got 1e+300"),
        ("features: {use: pretrained, model: vgg20}", "got 'vgg20'; did you mean 'vgg19'?"),
        ("task: {images: nowhere}", "nowhere does not exist"),
        ("task: {groups: 1}", "must be at least 2, got 1"),
        ("refinement: {}", "unknown key; did you mean 'refine'?"),
        ("refine: cut", "must be a mapping such as {method: simgan}, got 'cut'"),
        ("refine: {}", "must name its kind with the key 'method'"),
        ("refine: {method: cyclgan}", "got 'cyclgan'; did you mean 'cyclegan'?"),
        ("refine: {method: cut, stepz: 3}", "unknown key; did you mean 'steps'?"),
        ("refine: {method: cut, preset: slow}", "must be 'quick' or 'paper', got 'slow'"),
        ("refine: {method: cut, betas: [0.5, 1]}", "must be below 1, got 1"),
        ("refine: {method: spade, condition: [depht]}", "did you mean 'depth'?"),
        ("refine: {method: nst, weights: nowhere.pt}", "nowhere.pt does not exist"),
        ("output: results", "must be a mapping, got 'results'"),
        ("output: {dir: 3}", "must be text, got 3"),
        ("device: cuda:x", "must be auto, cpu, mps, cuda or cuda:N (N from 0), got 'cuda:x'"),
    ],
)
def test_one_mistake_is_told_once_and_in_words(write: Write, line: str, said: str) -> None:
    found = mistakes(write(HEAD + TARGET + line + "\n"))
    assert len(found) == 1, found
    assert said in str(found[0])
    assert found[0].line == 4
    assert "pydantic" not in str(found[0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("renderer: {use: mnits}", "no renderer is called 'mnits'"),
        ("renderer: {use: 'nowhere_at_all:Toy'}", "importing 'nowhere_at_all' for"),
        ("renderer: {use: 'toy_for_config:Tyo'}", "did you mean 'Toy'?"),
        ("renderer: {use: 'toy_for_config:PLUGIN_NAME'}", "has no 'PLUGIN_NAME'"),
        ("renderer: {use: 'raises_for_config:Toy'}", "ZeroDivisionError"),
        ("renderer: {use: 'toy_for_config:Toy', options: {noise: loud}}", "must be a number"),
        ("renderer: {use: 'toy_for_config:Toy', options: {image_size: [1]}}", "2 entries"),
        ("renderer: {use: 'toy_for_config:Toy', options: [1]}", "must be a mapping, got [1]"),
        ("renderer: {use: 'toy_for_config:Other'}", "is an option the renderer must be given"),
        ("renderer: {}", "renderer.use: is missing"),
        ("renderer: mnist", "renderer: must be a mapping such as {use: mnist}, got 'mnist'"),
        ("renderer: 3", "renderer: must be a mapping such as {use: NAME}, got 3"),
    ],
)
def test_a_renderer_that_does_not_fit_is_told_in_its_line(
    write: Write, folder: Path, line: str, said: str
) -> None:
    (folder / "raises_for_config.py").write_text("1 / 0\n")
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"")
    found = mistakes(write(f"grammar: grammar.yaml\n{line}\ntarget: {{images: images}}\n"))
    assert len(found) == 1, found
    assert said in str(found[0])
    assert found[0].line == 2


def test_an_annotation_that_cannot_be_resolved_hides_no_other(write: Write, folder: Path) -> None:
    (folder / "hinted_for_config.py").write_text(
        "from __future__ import annotations\n"
        "from toy_for_config import Toy\n"
        "class Hinted(Toy):\n"
        "    def __init__(self, image_size: tuple[int, int] = (8, 8), thing: Nowhere = 0):\n"
        "        self.image_size = image_size\n"
    )
    renderer = "renderer: {use: 'hinted_for_config:Hinted', options: {image_size: 8, thing: 3}}\n"
    text = f"grammar: grammar.yaml\n{renderer}{TARGET}"
    (found,) = mistakes(write(text), ("target.renderer.options.image_size=[8, 8]",))
    assert (found.key, found.line) == ("renderer.options.image_size", 2)
    assert found.message == "must be a list, got 8"


@pytest.mark.parametrize("target", ["", ", renderer: {options: {noise: 1.0}}", ", renderer: {}"])
def test_a_renderer_that_a_target_takes_over_is_told_once_where_it_is_named(
    write: Write, target: str
) -> None:
    head, line = "grammar: grammar.yaml\n", f"target: {{grammar: grammar.yaml{target}}}\n"
    for renderer in ("{use: mnits}", "{use: 'toy_for_config:Toy', nose: 3}", "{use: t, folder: 3}"):
        renderer = f"renderer: {renderer}\n"
        for found in (
            mistakes(write(head + renderer + line)),
            mistakes(write(HEAD + line), (renderer.strip().replace(": ", "=", 1),)),
        ):
            assert {m.key.partition(".")[0] for m in found} == {"renderer"}
            assert len(found) == 1 + (": t," in renderer)


def test_a_target_that_names_another_renderer_wrongly_is_told_too(write: Write) -> None:
    text = HEAD.replace("toy_for_config:Toy", "mnits")
    text += "target: {grammar: grammar.yaml, renderer: {use: mnits}}\n"
    assert [m.key for m in mistakes(write(text))] == ["renderer.use", "target.renderer.use"]


def test_parts_that_must_be_there(write: Write) -> None:
    found = mistakes(write("seed: 1\n"))
    assert [(m.key, m.message) for m in found] == [
        (key, "is missing and must be given") for key in ("grammar", "renderer", "target")
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("target: {}", "must hold either images: FOLDER or grammar: FILE"),
        ("target: {count: 3}", "must hold either images: FOLDER or grammar: FILE"),
        ("target: {grammar: grammar.yaml, count: 7}", "must be at least 8, got 7"),
        ("target: {images: images, grammar: grammar.yaml}", "got both; remove one"),
        ("target: {images: images, count: 3}", "unknown key; known: images, resize"),
        ("target: {images: nowhere}", "nowhere does not exist"),
        ("target: {images: grammar.yaml}", "is not a folder"),
        ("target: {images: empty}", "the folder"),
        ("target: {grammar: grammar.yaml, renderer: {use: 'toy_for_config:Othr'}}", "'Other'?"),
        ("target: {grammar: shaded.yaml, renderer: {use: 'toy_for_config:Other'}}", "no 'level'"),
        ("target: {grammar: shaded.yaml, renderer: {options: {nose: 1}}}", "'noise'?"),
    ],
)
def test_a_target_that_cannot_be_used(write: Write, folder: Path, line: str, said: str) -> None:
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"")
    (folder / "empty").mkdir()
    shaded = "root: {name: s, kind: scene, attributes: {level: {prior: 0.1}}}\n"
    (folder / "shaded.yaml").write_text(shaded)
    head = HEAD.replace("Toy'}", "Toy', options: {image_size: [8, 8]}}")
    found = mistakes(write(f"{head}{line}\n"))
    assert len(found) == 1, found
    assert said in str(found[0])


def test_mistakes_in_a_target_are_told_all_at_once_in_their_places(write: Write) -> None:
    found = mistakes(
        write(
            HEAD + "target:\n"
            "  grammar: grammar.yaml\n"
            "  count: -5\n"
            "  seed: hello\n"
            "  cuont: 3\n"
            "  resize: true\n"
            "  renderer: {option: {split: target}, options: {nose: 1}}\n"
        )
    )
    first = 2 + HEAD.count("\n")
    assert [(m.line - first, m.column, m.key) for m in found] == [
        (1, 10, "target.count"),
        (2, 9, "target.seed"),
        (3, 3, "target.cuont"),
        (4, 3, "target.resize"),
        (5, 14, "target.renderer.option"),
        (5, 49, "target.renderer.options.nose"),
    ]
    assert "did you mean 'count'?" in found[2].message


def test_a_target_with_both_images_and_a_grammar_hides_nothing_else(write: Write) -> None:
    text = "target: {images: x, grammar: grammar.yaml, count: 2, coutn: 3, resize: 3}\n"
    found = mistakes(write(HEAD + text))
    assert [m.key.removeprefix("target") for m in found] == ["", ".count", ".coutn", ".resize"]
    assert "got both" in found[0].message
    assert "did you mean 'count'?" in found[2].message


def test_classes_are_compared_by_features_that_tell_them(write: Write) -> None:
    text = HEAD + TARGET + "features: [pixels, random_conv]\ndiscrepancy: {use: classwise_mmd}\n"
    text = text.replace("[pixels, random_conv]", "[{use: pixels}, {use: random_conv}]")
    (found,) = mistakes(write(text))
    assert found.key == "discrepancy.use"
    assert "pixels and random_conv do not" in found.message
    load_experiment(write(text.replace("{use: pixels}", "{use: simulator}")))


def test_a_task_needs_labels_where_the_target_is_a_folder(write: Write, folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"")
    text = HEAD + "target: {images: images}\ntask:\n  weight: 0.1\nnmae: x\n"
    task, other = mistakes(write(text))
    assert (Path(task.file).name, task.line, task.column) == ("experiment.yaml", 4, 1)
    assert task.key == "task"
    assert "add images: FOLDER" in task.message
    assert other.key == "nmae"
    mended = text.replace("weight: 0.1", "images: images").replace("nmae: x\n", "")
    assert load_experiment(write(mended)).task is not None
    drawn = HEAD + TARGET + "task: {weight: 0.1}\n"
    assert load_experiment(write(drawn)).task is not None
    (overridden,) = mistakes(write(drawn), (f"target.images={folder / 'images'}",))
    assert (overridden.key, overridden.line) == ("task", 4)


@pytest.mark.parametrize(
    ("learner", "target"),
    [
        ("options: {image_size: [16, 16]}", "options: {image_size: [16, 32]}"),
        ("options: {noise: 1.0}", "options: {image_size: [16, 32]}"),  # 32 x 32 unless told
        ("options: {noise: 1.0}", "use: 'toy_for_config:Other', options: {image_size: [16, 32]}"),
    ],
)
def test_a_target_is_drawn_in_the_learners_size(write: Write, learner: str, target: str) -> None:
    text = (
        f"grammar: grammar.yaml\nrenderer: {{use: 'toy_for_config:Toy', {learner}}}\n"
        f"target: {{grammar: grammar.yaml, renderer: {{{target}}}}}\nnmae: x\n"
    )
    size, other = mistakes(write(text))
    assert size.key == "target.renderer.options.image_size"
    assert (size.line, size.column) == (3, text.splitlines()[2].index("[") + 1)
    assert "got [16, 32]" in size.message
    assert other.key == "nmae"


@pytest.mark.parametrize(
    "target",
    [
        "options: {noise: 2.0}",  # the learner's size is taken over
        "options: {image_size: [16, 16]}",
        "use: 'toy_for_config:Other'",
        "use: 'toy_for_config:Anything', options: {image_size: [8, 8]}",  # who knows what it draws
    ],
)
def test_a_target_of_the_learners_size_or_of_an_unknown_one_is_accepted(
    write: Write, target: str
) -> None:
    options = "options: {image_size: [16, 16]}"
    text = (
        f"grammar: grammar.yaml\nrenderer: {{use: 'toy_for_config:Toy', {options}}}\n"
        f"target: {{grammar: grammar.yaml, renderer: {{{target}}}}}\n"
    )
    assert load_experiment(write(text)).target is not None


@pytest.mark.parametrize(
    ("features", "key"),
    [
        ("{use: pixels, size: 33}", "features.size"),
        ("[{use: random_conv, size: 99}, {use: pixels, size: 33}]", "features.1.size"),
    ],
)
def test_no_more_pixels_are_compared_than_the_images_have(
    write: Write, features: str, key: str
) -> None:
    text = HEAD.replace("Toy'}", "Toy', options: {image_size: [16, 32]}}") + TARGET
    (found,) = mistakes(write(f"{text}features: {features}\n"))
    assert found.key == key
    assert found.message.startswith("must be at most 32, as the renderer's images are 16 x 32 ")
    assert load_experiment(write(f"{text}features: {features.replace('33', '32')}\n"))


def test_something_must_be_learned(write: Write, folder: Path) -> None:
    text = (folder / "grammar.yaml").read_text()
    (folder / "still.yaml").write_text(text.replace("mutable: true", "mutable: false"))
    found = mistakes(write((HEAD + TARGET).replace("grammar.yaml", "still.yaml", 1)))
    assert [m.key for m in found] == ["grammar"]
    assert "nothing can be learned" in found[0].message


def test_a_pathwise_gradient_needs_every_learnable_attribute_to_be_differentiable(
    write: Write,
) -> None:
    text = HEAD.replace("Toy", "Filed") + TARGET + "gradient: {use: pathwise}\n"
    (found,) = mistakes(write(text))
    assert found.key == "gradient.use"
    assert "differentiable in digit.yaw, which 'toy_for_config:Filed' is not" in found.message


def test_a_pathwise_gradient_needs_a_differentiable_renderer(write: Write) -> None:
    text = HEAD + TARGET + "gradient: {use: pathwise}\n"
    (found,) = mistakes(write(text))
    assert found.key == "gradient.use"
    assert "needs a renderer that offers render_tensor" in found.message
    other = text.replace("Toy'}", "Other', options: {image_size: [8, 8]}}")
    assert load_experiment(write(other)).gradient == Pathwise()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("count: 1.5", "must be a whole number >= 0, got 1.5"),
        ("count: many", "must be a whole number >= 0, got 'many'"),
        ("count: [1]", "must be a whole number or a distribution such as"),
        (
            "count: {uniform: {low: 1.2, high: 1.3}}",
            "count: must be a whole number >= 0 or a choice",
        ),
        ("count: {choice: {values: [1, 2.5]}}", "count: must be a whole number >= 0, got 2.5"),
        (
            "count: {choice: {values: [1, 2000], weights: [99, 1]}}",
            "2001 nodes, more than max_nodes",
        ),
        ("count: {uniform: {low: 1}}", "high: is missing"),
        ("count: 2000", "2001 nodes, more than max_nodes = 1000"),
        ("attributes: {x: {prior: true}}", "must be a distribution such as"),
        ("attributes: {x: {prior: {}}}", "exactly one key"),
        ("attributes: {x: {prior: {norml: {mean: 1}}}}", "did you mean 'normal'?"),
        ("attributes: {x: {prior: {choice: {values: [[1]]}}}}", "number, a whole number or text"),
        ("attributes: {x: {prior: {choice: {values: []}}}}", "at least 1 entries"),
        (
            "attributes: {x: {prior: {mixture: {components: [{normal: {mean: 1}}]}}}}",
            "std: is miss",
        ),
        ("attributes: {x: {prior: 1, mutable: true}}", "must have a range"),
        ("attributes: {x: {prior: 1, range: [2, 1]}}", "low < high"),
        ("attributes: {x: {prior: 1, unit: 3}}", "must be text, got 3"),
        ("attributes: {x: {prior: 1e200}}", "must be less than 1e+100 in size, got 1e+200"),
        ("attributes: {x: {prior: 1, range: [-1e308, 0]}}", "must be above -1e+100, got -1e+308"),
        (
            "attributes: {x: {prior: {uniform: {low: 0, high: 1e308}}}}",
            "high: must be below 1e+100, got 1e+308",
        ),
        (
            "attributes: {x: {prior: {choice: {values: [1, 2], weights: [1e308, 1]}}}}",
            "weights.0: must be below 1e+100, got 1e+308",
        ),
        ("attributes: {x: {piror: 1, prior: 2}}", "did you mean 'prior'?"),
        (
            "attributes: {yaw: {prior: 1}, x: {prior: 1}}\n"
            "      correlations: [{between: [x, yav], value: 0.5}]",
            "between.1: must be an attribute of the node, got 'yav'; did you mean 'yaw'?",
        ),
        ("name: scene", "two nodes are called 'scene'"),
        (
            "attributes: {x: {prior: {von_mises: {mean: 1, kappa: 5}}, range: [0, 6.2832], "
            "periodic: true}}",
            "add period: 6.2832 (got 360)",
        ),
        ("attributes: {x: {prior: {wrapped_normal: {mean: 1, std: 5}}}}", "periodic: true"),
        ("kind: 3 d", "must match"),
    ],
)
def test_mistakes_in_a_grammar(tmp_path: Path, node: str, said: str) -> None:
    own = {"name": "digit", "kind": "digit"}
    lines = [f"{key}: {value}" for key, value in own.items() if not node.startswith(key)]
    child = "\n      ".join([*lines, node])
    text = f"root:\n  name: scene\n  kind: scene\n  children:\n    - {child}\n"
    found = grammar_mistakes(tmp_path / "g.yaml", text)
    assert len(found) == 1, found
    assert said in str(found[0])
    assert found[0].line >= 1


def test_no_mistake_in_a_grammar_hides_another(tmp_path: Path) -> None:
    text = """\
root:
  name: scene
  kind: scene
  children:
    - name: digit
      kind: digit
      count: 1.5
      attributes:
        x: {prior: {normal: {mean: 0, std: 0}}, range: [2, 1]}
        y: {prior: 1}
      correlations:
        - {between: [x, q], value: 0.5}
        - {between: [x, y], value: 2}
    - name: digit
      kind: digit
"""
    found = grammar_mistakes(tmp_path / "g.yaml", text)
    assert [(m.line, m.key.partition("children.")[2]) for m in found] == [
        (7, "0.count"),
        (9, "0.attributes.x.prior.normal.std"),
        (9, "0.attributes.x.range"),
        (12, "0.correlations.0.between.1"),
        (13, "0.correlations.1.value"),
        (14, "1.name"),
    ]


def test_rules_of_whole_nodes_and_grammars_are_told_beside_all_else_in_their_lines(
    tmp_path: Path,
) -> None:
    text = """\
max_nodes: 3
root:
  name: scene
  kind: scene
  count: 2
  attributes:
    a: {prior: 1, unit: 3, mutable: true}
    b: {prior: 1, periodic: true}
    c: {prior: {choice: {values: [3, 1]}}, range: [0, 4]}
    d: {prior: {normal: {mean: 0, std: 1}}}
    e: {prior: {normal: {mean: 0, std: 1}}}
    f: {prior: {normal: {mean: 0, std: 1}}}
  correlations:
    - {between: [a, a], value: 0.5}
    - {between: [a, b], value: 0.5}
    - {between: [b, a], value: 0.5}
    - {between: [a, c], value: 0.5}
    - {between: [d, e], value: 0.9}
    - {between: [e, f], value: 0.9}
    - {between: [d, f], value: -0.9}
  children:
    - {name: digit, kind: digit, count: 3, colour: red}
    - {name: digit, kind: digit, count: 3}
"""
    found = grammar_mistakes(tmp_path / "g.yaml", text)
    assert [(m.line, m.key.removeprefix("root.")) for m in found] == [
        (1, "max_nodes"),
        (5, "count"),
        (7, "attributes.a.unit"),
        (7, "attributes.a.mutable"),
        (8, "attributes.b.periodic"),
        (9, "attributes.c.prior"),
        (14, "correlations"),
        (14, "correlations.0.between"),
        (16, "correlations.2.between"),
        (22, "children.0.colour"),
        (23, "children.1.name"),
    ]


def test_a_grammar_that_is_endlessly_deep_is_told_in_its_line_and_hides_nothing(
    write: Write, folder: Path
) -> None:
    lines = ["root:", "  name: n", "  kind: scene"]
    for depth in range(1, 150):
        indent = "  " * depth
        lines += [f"{indent}children:", f"{indent}- name: n{depth}", f"{indent}  kind: digt"]
    (folder / "deep.yaml").write_text("\n".join(lines) + "\n")
    text = (HEAD + TARGET).replace("grammar.yaml", "deep.yaml", 1) + "seed: -1\n"
    *digits, seed, deep = sorted(mistakes(write(text)), key=lambda m: "nested" in m.message)
    assert seed.key == "seed"
    assert "at most 60 lists and mappings" in deep.message
    assert deep.line == 3 * 30 + 2
    assert all("draws no 'digt'" in m.message for m in digits)


def test_too_many_nodes_are_told_where_they_come_from(tmp_path: Path) -> None:
    text = "root:\n  name: s\n  kind: scene\n  children:\n" + "".join(
        f"    - {{name: n{i}, kind: digit, count: {count}}}\n"
        for i, count in enumerate((600, 700, "no"))
    )
    many, other = grammar_mistakes(tmp_path / "g.yaml", text)
    assert (many.line, many.key) == (6, "root.children.1.count")
    assert many.message.startswith("a scene may have 1301 nodes, more than max_nodes = 1000")
    assert other.line == 7


@pytest.mark.parametrize(
    ("digit", "stroke", "key"),
    [
        ("count: 0", "count: 1", "children.0.count"),
        ("count: 1", "count: {choice: {values: [0]}}", "children.0.children.0.count"),
        ("count: {choice: {values: [0, 1], weights: [1, 0]}}", "count: 3", "children.0.count"),
    ],
)
def test_what_can_be_learned_must_be_in_some_scene(
    write: Write, folder: Path, digit: str, stroke: str, key: str
) -> None:
    text = (
        "root:\n  name: scene\n  kind: scene\n  children:\n    - name: digit\n      kind: digit\n"
        f"      {digit}\n      children:\n        - name: stroke\n          kind: digit\n"
        f"          {stroke}\n"
        "          attributes: {x: {prior: 1, range: [0, 2], mutable: true}}\n"
    )
    (folder / "absent.yaml").write_text(text)
    found = mistakes(write((HEAD + TARGET).replace("grammar.yaml", "absent.yaml", 1)))
    assert [m.key for m in found] == [f"grammar.root.{key}"]
    assert "no scene has a node" in found[0].message
    assert Path(found[0].file).name == "absent.yaml"


@pytest.mark.parametrize("range_", ["", ", range: .nan", ", range: [0, .nan]", ", range: [0, 1]"])
def test_a_range_is_called_missing_only_where_it_is(tmp_path: Path, range_: str) -> None:
    text = "root:\n  name: s\n  kind: scene\n  x: 1\n  attributes:\n"
    text += f"    a: {{prior: 1, mutable: true{range_}}}\n"
    found = [str(m) for m in grammar_mistakes(tmp_path / "g.yaml", text)]
    assert len(found) == (1 if range_.endswith("1]") else 2)
    assert any("must have a range" in one for one in found) == (range_ == "")


@pytest.mark.parametrize(
    "count", ["2", "0", "{choice: {values: [1, 2]}}", "{constant: {value: 0}}"]
)
def test_a_root_has_no_count(tmp_path: Path, count: str) -> None:
    text = "root:\n  name: s\n  kind: scene\n  count: %s\n"
    (found,) = grammar_mistakes(tmp_path / "g.yaml", text % count)
    assert (found.line, found.key) == (4, "root.count")
    assert "there is one root in every scene" in found.message
    (tmp_path / "g.yaml").write_text(text % 1)
    assert load_grammar(tmp_path / "g.yaml").grammar.root.count == 1


@pytest.mark.parametrize("text", ["", "- 1\n", "just text\n", "3\n"])
def test_a_file_must_hold_a_mapping(write: Write, text: str) -> None:
    (found,) = mistakes(write(text))
    assert "must hold a mapping" in found.message
    assert found.line == 1


def test_a_grammar_file_that_is_no_yaml_is_told_with_its_own_position(
    write: Write, folder: Path
) -> None:
    (folder / "broken.yaml").write_text("root: [\n")
    found = mistakes(write((HEAD + TARGET).replace("grammar.yaml", "broken.yaml", 1)))
    assert [Path(m.file).name for m in found] == ["broken.yaml"]
    assert found[0].line == 2


def test_a_grammar_that_is_used_twice_is_wrong_once(write: Write, folder: Path) -> None:
    text = (folder / "grammar.yaml").read_text()
    (folder / "grammar.yaml").write_text(text.replace("std: 10", "std: -10"))
    (found,) = mistakes(write(HEAD + TARGET))
    assert (found.key, found.line) == ("grammar.root.children.0.attributes.yaw.prior.normal.std", 8)


@pytest.mark.parametrize(
    "prior",
    [
        *(f"{{{name}: }}" for name in sorted(DISTRIBUTIONS)),
        "{normal: {mean: '5', std: 1}}",
        "{normal: {mean: 5, std: true}}",
        "{choice: {values: [true, false]}}",
        "{choice: {values: [1, 2], weights: ['1', '2']}}",
        "{constant: {value: true}}",
        "{mixture: {components: [{normal: }]}}",
    ],
)
def test_a_distribution_that_is_empty_or_of_other_types_is_a_mistake(
    folder: Path, prior: str
) -> None:
    text = "root: {name: scene, kind: scene, attributes: {level: {prior: %s, range: [0, 1]}}}\n"
    (mistake, *_) = grammar_mistakes(folder / "grammar.yaml", text % prior)
    assert mistake.line == 1
    assert "level.prior" in (mistake.key or "")


def test_an_empty_count_is_a_mistake(folder: Path) -> None:
    text = "root:\n  name: scene\n  kind: scene\n  count: {choice: }\n"
    assert [m.line for m in grammar_mistakes(folder / "grammar.yaml", text)] == [4]


@pytest.mark.parametrize("renderer", ["", "renderer: 7\n", "renderer: {options: {}}\n"])
def test_a_mistake_in_the_renderer_is_told_once(write: Write, renderer: str) -> None:
    (mistake,) = mistakes(write(f"grammar: grammar.yaml\n{renderer}{TARGET}"))
    assert (mistake.key or "").startswith("renderer")


@pytest.mark.parametrize("path", ["~nosuchuser/x.yaml", '"a\\0b"'])
def test_a_path_that_there_cannot_be_is_a_mistake(write: Write, path: str) -> None:
    text = HEAD.replace("grammar.yaml", path) + TARGET
    (mistake,) = mistakes(write(text))
    assert (mistake.line, mistake.key) == (1, "grammar")


def test_a_seed_that_no_generator_takes_is_a_mistake(write: Write) -> None:
    text = HEAD + TARGET + "features: {use: random_conv, seed: 100000000000000000000}\n"
    assert [m.key for m in mistakes(write(text))] == ["features.seed"]


def test_options_may_tell_which_kinds_there_are(write: Write, folder: Path) -> None:
    (folder / "kinds_for_config.py").write_text(
        "from metasim.render import Renderer\n"
        "class Named(Renderer):\n"
        "    kinds = {'scene': frozenset()}\n"
        "    @classmethod\n"
        "    def kinds_of(cls, options):\n"
        "        return {**cls.kinds, **{k: frozenset(v) for k, v in options['more'].items()}}\n"
        "    def __init__(self, more=None, image_size=(8, 8)):\n"
        "        self.image_size = image_size\n"
        "    def render(self, scenes):\n"
        "        raise NotImplementedError\n"
    )
    (folder / "named.yaml").write_text(
        "root:\n  name: s\n  kind: scene\n  children:\n"
        "    - name: cup\n      kind: cup\n      attributes:\n"
        "        x: {prior: {uniform: {low: 0, high: 1}}, range: [0, 1], mutable: true}\n"
        "        z: {prior: 1}\n"
    )
    text = (
        "grammar: named.yaml\nrenderer: {use: 'kinds_for_config:Named', options: {more: MORE}}\n"
        "target: {grammar: named.yaml, count: 8}\n"
    )
    assert load_experiment(write(text.replace("MORE", "{cup: [x, z]}"))).renderer.options
    found = mistakes(write(text.replace("MORE", "{cup: [x]}")))
    assert [(m.line, m.key) for m in found] == [(9, "grammar.root.children.0.attributes.z")]
    assert "knows no 'z' of a 'cup'" in found[0].message
    with pytest.raises(PluginError, match=r"kinds_of\(\) of the renderer .* raised"):
        load_experiment(write(text.replace("MORE", "3")))
