from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metasim import yamlfile
from metasim.config import (
    Experiment,
    GrammarTarget,
    ImagesTarget,
    RendererSpec,
    differences,
    load_experiment,
    load_grammar,
    renderer_spec,
)
from metasim.errors import ConfigError
from metasim.learn.options import (
    GaussianHead,
    GCNEditor,
    MixtureHead,
    PixelFeatures,
    SimulatorFeatures,
)
from metasim.scene import SceneGrammar

Write = Callable[[str], Path]


def target_of(experiment: Experiment) -> GrammarTarget:
    assert isinstance(experiment.target, GrammarTarget)
    return experiment.target


def test_a_short_file_is_filled_with_defaults(folder: Path) -> None:
    found = load_experiment(folder / "experiment.yaml")
    assert found.name == "experiment"
    assert found.seed == 0
    assert found.device == "auto"
    assert found.editor == GCNEditor(head=GaussianHead())
    assert found.features == (SimulatorFeatures(),)
    assert found.task is None
    assert list(found.grammar.learnable) == ["digit.yaw"]
    assert target_of(found).grammar == found.grammar
    assert target_of(found).renderer == found.renderer


def test_a_choice_without_use_means_the_default_member(write: Write, folder: Path) -> None:
    text = (folder / "experiment.yaml").read_text()
    path = write(text + "editor: {head: {}, noise: 3}\nfeatures: {renders: 70}\n")
    found = load_experiment(path)
    assert found.editor == GCNEditor(noise=3)
    assert found.features == (SimulatorFeatures(renders=70),)


def test_several_features_are_a_list(write: Write, folder: Path) -> None:
    text = (folder / "experiment.yaml").read_text()
    path = write(text + "features: [{use: simulator, renders: 70}, {use: pixels}]\n")
    assert load_experiment(path).features == (SimulatorFeatures(renders=70), PixelFeatures())


def test_a_resolved_experiment_loads_again_as_an_equal_one(
    write: Write, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"")
    common = (
        "grammar: grammar.yaml\nrenderer: {use: 'toy_for_config:Toy', options: {glyphs: ./g}}\n"
        "training: {lr: 1e-3}\neditor: {head: {use: mixture, components: 2}}\n"
    )
    targets = [
        "target: {images: images, resize: true}\n",
        "target: {grammar: grammar.yaml, renderer: {options: {noise: 1.5}}}\n",
        "target:\n  grammar: grammar.yaml\n"
        "  renderer: {use: 'toy_for_config:Other', options: {image_size: [32, 32]}}\n",
    ]
    for target in targets:
        first = load_experiment(write(common + target))
        elsewhere = tmp_path_factory.mktemp("run") / "config.yaml"
        elsewhere.write_text(yamlfile.dump(first.resolved()))
        assert load_experiment(elsewhere) == first
    assert isinstance(first.editor.head, MixtureHead)


def test_paths_are_relative_to_the_file_that_names_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"")
    (folder / "sub").mkdir()
    (folder / "sub" / "experiment.yaml").write_text(
        "grammar: ../grammar.yaml\n"
        "renderer: {use: 'toy_for_config:Toy', folder: .., options: {glyphs: ../glyphs}}\n"
        "target: {images: ../images}\noutput: {dir: ../out}\n"
    )
    monkeypatch.chdir("/")
    found = load_experiment(folder / "sub" / "experiment.yaml")
    assert isinstance(found.target, ImagesTarget)
    assert found.target.images == folder / "images"
    assert found.output.dir == folder / "out"
    assert found.renderer == RendererSpec(
        use="toy_for_config:Toy", folder=folder, options={"glyphs": str(folder / "glyphs")}
    )


def test_paths_of_the_command_line_are_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "images").mkdir()
    (here / "images" / "a.png").write_bytes(b"")
    monkeypatch.chdir(here)
    found = load_experiment(
        Path(os.path.relpath(folder / "experiment.yaml")),
        ["target.images=images", "renderer.options.glyphs=./mine"],
    )
    assert isinstance(found.target, ImagesTarget)
    assert found.target.images == here / "images"
    assert found.renderer.options["glyphs"] == str(here / "mine")
    assert found.renderer.folder == folder
    assert found.output.dir == here / "results"  # nobody named it


def test_an_option_is_a_path_only_where_it_begins_like_one(write: Write, folder: Path) -> None:
    path = write(
        "grammar: grammar.yaml\ntarget: {grammar: grammar.yaml}\n"
        "renderer:\n  use: toy_for_config:Anything\n"
        "  options: {a: digits, b: [./x, {c: ../y}], d: a/b, e: .hidden}\n"
    )
    assert load_experiment(path).renderer.options == {
        "a": "digits",
        "b": [str(folder / "x"), {"c": str(folder.parent / "y")}],
        "d": "a/b",
        "e": ".hidden",
    }


def test_an_option_that_is_declared_a_path_is_one_where_it_is_there(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run would draw other glyphs when it is resumed from another folder."""
    for name in ("digits", "mine", "theirs"):
        (folder / name).mkdir()
    path = write(
        "grammar: grammar.yaml\n"
        "target: {grammar: grammar.yaml, renderer: {options: {glyphs: theirs}}}\n"
        "renderer: {use: 'toy_for_config:Filed', options: {glyphs: mine, name: mine}}\n"
    )
    found = load_experiment(path)
    assert found.renderer.options == {"glyphs": str(folder / "mine"), "name": "mine"}
    assert target_of(found).renderer.options == {
        "glyphs": str(folder / "theirs"),
        "name": "mine",
    }
    assert load_experiment(path, ["renderer.options.glyphs=digits"]).renderer.options == {
        "glyphs": "digits",
        "name": "mine",
    }
    (folder / "here" / "own").mkdir(parents=True)
    monkeypatch.chdir(folder / "here")
    found = load_experiment(path, ["renderer.options.glyphs=own"])
    assert found.renderer.options["glyphs"] == str(folder / "here" / "own")


def test_mappings_and_lists_of_paths_are_resolved_too(write: Write, folder: Path) -> None:
    for name in ("mug.ply", "duck.ply", "a.png", "builtin"):
        (folder / name).touch()
    text = (
        "grammar: grammar.yaml\ntarget: {grammar: grammar.yaml}\n"
        "renderer:\n  use: toy_for_config:Shelved\n"
        "  options: {models: %s, pictures: [a.png, ./a.png]}\n"
    )
    path = write(text % "{mug: mug.ply, duck: {file: duck.ply, other: ./mug.ply}}")
    assert load_experiment(path).renderer.options == {
        "models": {
            "mug": str(folder / "mug.ply"),
            "duck": {"file": str(folder / "duck.ply"), "other": str(folder / "mug.ply")},
        },
        "pictures": [str(folder / "a.png")] * 2,
    }
    # What an annotation names is a name, whatever lies beside the file.
    assert load_experiment(write(text % "builtin")).renderer.options["models"] == "builtin"


def test_each_path_of_a_mapping_must_be_there(write: Write, folder: Path) -> None:
    (folder / "mug.ply").touch()
    path = write(
        "grammar: grammar.yaml\ntarget: {grammar: grammar.yaml}\n"
        "renderer:\n  use: toy_for_config:Shelved\n"
        "  options:\n    models: {mug: mug.ply, duck: duck.ply}\n    pictures: [b.png]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert [(m.key, m.line) for m in caught.value.mistakes] == [
        ("renderer.options.models.duck", 6),
        ("renderer.options.pictures.0", 7),
    ]
    assert all("file or folder that is there" in m.message for m in caught.value.mistakes)


def test_the_targets_renderer_takes_over_what_it_shares_with_the_learners(write: Write) -> None:
    common = (
        "grammar: grammar.yaml\n"
        "renderer: {use: 'toy_for_config:Toy', options: {image_size: [16, 16], noise: 0.5}}\n"
    )
    same = write(common + "target: {grammar: grammar.yaml, renderer: {options: {noise: 2.0}}}\n")
    assert target_of(load_experiment(same)).renderer.options == {
        "image_size": [16, 16],
        "noise": 2.0,
    }
    other = write(
        common + "target:\n  grammar: grammar.yaml\n"
        "  renderer: {use: 'toy_for_config:Other', options: {blur: 3.0}}\n"
    )
    found = target_of(load_experiment(other)).renderer
    assert found.use == "toy_for_config:Other"
    assert found.options == {"image_size": [16, 16], "blur": 3.0}  # it has no noise


def test_the_grammar_may_stand_in_the_experiment(write: Write, folder: Path) -> None:
    indented = "".join(f"  {line}\n" for line in (folder / "grammar.yaml").read_text().splitlines())
    text = (folder / "experiment.yaml").read_text()
    inline = load_experiment(
        write(text.replace("grammar: grammar.yaml\n", f"grammar:\n{indented}", 1))
    )
    (folder / "experiment.yaml").write_text(text)
    assert inline.grammar == load_experiment(folder / "experiment.yaml").grammar


def test_a_grammars_file_may_name_a_renderer(folder: Path) -> None:
    path = folder / "grammar.yaml"
    plain = load_grammar(path)
    assert plain.renderer is None
    renderer = 'renderer: {use: "toy_for_config:Toy", options: {glyphs: ./g}}\n'
    path.write_text(path.read_text() + renderer)
    found = load_grammar(path)
    assert type(found.grammar) is SceneGrammar
    assert found.grammar == plain.grammar
    assert found.renderer == RendererSpec(
        use="toy_for_config:Toy", options={"glyphs": str(folder / "g")}, folder=folder
    )
    # an experiment says itself what draws
    assert load_experiment(folder / "experiment.yaml").renderer.options == {"image_size": [32, 32]}


def test_a_run_that_is_over_can_be_read_without_its_images(write: Write) -> None:
    path = write(
        "grammar: grammar.yaml\nrenderer: {use: 'toy_for_config:Toy'}\ntarget: {images: gone}\n"
    )
    with pytest.raises(ConfigError, match="gone does not exist"):
        load_experiment(path)
    assert load_experiment(path, files=False).target == ImagesTarget(images=path.parent / "gone")


@pytest.mark.parametrize("start", ["renderer", "target.renderer"])
@pytest.mark.parametrize("written", ["nowhere", "./nowhere", "~/no/where"])
def test_an_option_that_is_declared_a_path_must_be_there(
    write: Write, folder: Path, start: str, written: str
) -> None:
    path = write(
        "grammar: grammar.yaml\ntarget: {grammar: grammar.yaml}\n"
        "renderer: {use: 'toy_for_config:Filed'}\n"
    )
    setting = [f"{start}.options.glyphs={written}"]
    with pytest.raises(ConfigError, match="must be 'digits' or a file or folder") as caught:
        load_experiment(path, setting)
    assert [m.key for m in caught.value.mistakes] == [f"{start}.options.glyphs"]
    assert load_experiment(path, setting, files=False).renderer.use == "toy_for_config:Filed"


def test_differences_name_the_keys(folder: Path) -> None:
    one = load_experiment(folder / "experiment.yaml")
    other = load_experiment(
        folder / "experiment.yaml", ["training.lr=0.5", "editor.hidden=[30, 19]", "output.dir=x"]
    )
    assert differences(one, one) == []
    assert differences(one, other) == ["editor.hidden.1", "output.dir", "training.lr"]
    assert differences(one, other, ignore=["output", "editor.hidden"]) == ["training.lr"]


def test_a_renderer_of_the_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = renderer_spec("toy_for_config:Toy", ["image_size=[8, 9]", "glyphs=./g"])
    assert found == RendererSpec(
        use="toy_for_config:Toy",
        options={"image_size": [8, 9], "glyphs": str(folder / "g")},
        folder=folder,
    )
    with pytest.raises(ConfigError) as caught:
        renderer_spec("toy_for_config:Toy", ["image_sise=1", "noise=loud", "glyphs"])
    assert len(caught.value.mistakes) == 3
    assert "did you mean 'image_size'?" in str(caught.value)


def test_reading_a_configuration_does_not_import_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from metasim.config import load_experiment\n"
        f"load_experiment(Path({str(folder / 'experiment.yaml')!r}))\n"
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
