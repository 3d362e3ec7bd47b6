from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metasim.config import GrammarTarget, ImagesTarget, load_experiment
from metasim.errors import ConfigError
from metasim.learn.options import (
    SPSA,
    FiniteDifference,
    GaussianHead,
    GCNEditor,
    MixtureHead,
    ParametricEditor,
    PixelFeatures,
    SimulatorFeatures,
    Surrogate,
)

Write = Callable[[str], Path]


@pytest.fixture
def experiment(write: Write, folder: Path) -> Path:
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"")
    return write(
        "grammar: grammar.yaml\n"
        "renderer: {use: 'toy_for_config:Toy', options: {image_size: [16, 16], noise: 0.5}}\n"
        "target: {grammar: grammar.yaml, count: 10, seed: 3}\n"
        "gradient: {use: surrogate, buffer: 9}\n"
        "editor: {use: gcn, hidden: [3], head: {use: mixture, components: 2}}\n"
        "features: [{use: simulator, renders: 90}, {use: pixels}]\n"
    )


def test_values_are_yaml(experiment: Path) -> None:
    settings = ["training.lr=1e-3", "training.warm_start=false", "editor.hidden=[4, 5]", "name=x"]
    found = load_experiment(experiment, settings)
    assert found.training.lr == 0.001
    assert found.training.warm_start is False
    assert isinstance(found.editor, GCNEditor)
    assert found.editor.hidden == (4, 5)
    assert found.name == "x"


def test_naming_a_folder_of_images_replaces_the_grammar(experiment: Path, folder: Path) -> None:
    found = load_experiment(experiment, [f"target.images={folder / 'images'}"])
    assert found.target == ImagesTarget(images=folder / "images")


def test_naming_a_grammar_replaces_the_folder_of_images(write: Write, folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"")
    path = write(
        "grammar: grammar.yaml\nrenderer: {use: 'toy_for_config:Toy'}\n"
        "target: {images: images, resize: true}\n"
    )
    found = load_experiment(path, [f"target.grammar={folder / 'grammar.yaml'}", "target.count=8"])
    assert isinstance(found.target, GrammarTarget)
    assert found.target.count == 8


def test_another_member_drops_the_options_that_only_the_old_one_has(experiment: Path) -> None:
    assert load_experiment(experiment).gradient == Surrogate(buffer=9)
    assert load_experiment(experiment, ["gradient.use=spsa"]).gradient == SPSA()
    found = load_experiment(experiment, ["editor.use=parametric"])
    assert found.editor == ParametricEditor(head=MixtureHead(components=2))
    found = load_experiment(experiment, ["editor.head.use=gaussian"])
    assert found.editor == GCNEditor(hidden=(3,), head=GaussianHead())


def test_the_order_of_settings_of_one_choice_does_not_matter(experiment: Path) -> None:
    settings = ["gradient.use=spsa", "gradient.step=0.1"]
    assert load_experiment(experiment, settings).gradient == SPSA(step=0.1)
    assert load_experiment(experiment, settings[::-1]).gradient == SPSA(step=0.1)


def test_a_mistyped_option_is_told_even_when_the_member_changes(experiment: Path) -> None:
    with pytest.raises(ConfigError, match=r"gradient\.stpe: unknown key; did you mean 'step'"):
        load_experiment(experiment, ["gradient.stpe=1", "gradient.use=spsa"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["gradient.buffer=3", "gradient.use=spsa"], "gradient.buffer: unknown key"),
        (["editor.hidden=[4]", "editor.use=parametric"], "editor.hidden: unknown key"),
        (["target.count=9", "target.images=images"], "target.count: unknown key"),
        (["target.images=images", "target.grammar=grammar.yaml"], "got both; remove one"),
        (
            ["renderer.options.noise=0.1", "renderer.use=toy_for_config:Other"],
            "renderer.options.noise: the renderer has no such option",
        ),
    ],
)
def test_no_setting_of_the_command_line_is_dropped_whatever_the_order(
    experiment: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    for ordered in (settings, settings[::-1]):
        with pytest.raises(ConfigError) as caught:
            load_experiment(experiment, ordered)
        assert said in str(caught.value)
        assert {m.file for m in caught.value.mistakes} <= {"command line", str(experiment)}


def test_a_whole_choice_can_be_replaced(experiment: Path) -> None:
    settings = ["gradient={use: finite_difference, step: 0.2}", "features={use: pixels, size: 4}"]
    found = load_experiment(experiment, settings)
    assert found.gradient == FiniteDifference(step=0.2)
    assert found.features == (PixelFeatures(size=4),)


def test_entries_of_a_list_are_named_by_number(experiment: Path) -> None:
    found = load_experiment(experiment, ["features.0.renders=50", "features.1.size=2"])
    assert found.features == (SimulatorFeatures(renders=50), PixelFeatures(size=2))
    assert load_experiment(experiment, ["features.use=pixels"]).features == (PixelFeatures(),)


def test_sections_the_file_does_not_have_are_made(write: Write) -> None:
    path = write(
        "grammar: grammar.yaml\nrenderer: {use: 'toy_for_config:Toy'}\n"
        "target: {grammar: grammar.yaml}\n"
    )
    settings = ["features.renders=50", "editor.head.components=3", "editor.head.use=mixture"]
    found = load_experiment(path, [*settings, "discrepancy.use=energy"])
    assert found.features == (SimulatorFeatures(renders=50),)
    assert found.editor == GCNEditor(head=MixtureHead(components=3))
    assert found.discrepancy.use == "energy"


def test_another_renderer_keeps_the_options_it_shares(experiment: Path) -> None:
    found = load_experiment(experiment, ["renderer.use=toy_for_config:Other"])
    assert found.renderer.options == {"image_size": [16, 16]}
    assert found.renderer.folder == Path.cwd()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.lr", "must be key=value"),
        ("=3", "must be key=value"),
        ("training..lr=3", "must be key=value"),
        (f"a{'.a' * 400}=3", "a key must have at most 60 parts, got 401"),
        ("training.lr=[1", "command line: training.lr: is not YAML"),
        ("training.lr=.nan", "command line: training.lr: a number must be finite"),
        ("training.lr=fast", "command line: training.lr: must be a number, got 'fast'"),
        ("training.aneal=1", "command line: training.aneal: unknown key; did you mean 'anneal'?"),
        ("trainng.lr=1", "command line: trainng: unknown key; did you mean 'training'?"),
        ("seed.x=1", "seed is 7 and holds no keys"),
        ("features.renders=1", "features is a list of 2; name an entry, such as features.0"),
        ("features.2.renders=1", "features is a list of 2"),
        ("grammar.max_nodes=3", "set grammar as a whole"),
        ("gradient.use=spas", "did you mean 'spsa'?"),
        ("gradient={use: spsa, use: spsa}", "stands twice"),
    ],
)
def test_mistakes_name_the_command_line(experiment: Path, setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(experiment, ["seed=7", setting])
    assert len(caught.value.mistakes) == 1, caught.value
    assert said in str(caught.value)
    assert caught.value.mistakes[0].file == "command line"
