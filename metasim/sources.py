"""What a dataset's scenes come from: a grammar, or a run that has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metasim import yamlfile
from metasim.config import Experiment, RendererSpec, load_experiment, load_grammar
from metasim.config.renderers import drawing_mistakes
from metasim.errors import ConfigError, RunError
from metasim.finishing import Finishing, Refining
from metasim.learn.checkpoint import load_editor, read_learned
from metasim.learn.editor import edit_scenes
from metasim.learn.features import restore_features
from metasim.progress import Progress
from metasim.provenance import digest
from metasim.render.plugins import load_renderer
from metasim.resumption import refuse_edited_config
from metasim.rng import derive, stream
from metasim.runs import RunDir
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene

__all__ = ["GrammarSource", "RunSource", "read_source"]


class GrammarSource:
    """Scenes as a grammar samples them."""

    place: yamlfile.Place = ()
    """Of the grammar in its file."""

    def __init__(
        self,
        file: Path,
        grammar: SceneGrammar,
        source: dict[str, Any],
        renderer: RendererSpec | None,
    ) -> None:
        self.file, self.grammar, self.source, self.renderer = file, grammar, source, renderer
        self.seed = 0

    def refuse_undrawable(self, spec: RendererSpec) -> None:
        """Refuse a renderer that does not know all kinds and attributes of the grammar.

        Raises:
            ConfigError: with the place of each in the grammar's file.
        """
        document = yamlfile.read(self.file)
        written, found = document.get(self.place), load_renderer(spec.use, spec.folder)
        if wrong := drawing_mistakes(document, self.place, written, found, spec.use, spec.options):
            raise ConfigError(wrong)

    def scene(self, seed: int, index: int, attempt: int = 0) -> Scene:
        """The scene of one image of a dataset; another one at each attempt."""
        return self.grammar.sample(stream(seed, "dataset", *_numbered(index, attempt)))

    def finishing(self) -> Finishing:
        """What refines its images.

        Raises:
            RunError: when it has nothing to do so.
        """
        raise RunError(
            f"{self.file} is a grammar, and --refined needs a run that has made a refiner; give "
            "its directory"
        )


def _numbered(index: int, attempt: int) -> tuple[int | str, ...]:
    return (index, "attempt", attempt) if attempt else (index,)


class RunSource(GrammarSource):
    """Scenes as a run's editor makes them."""

    place = ("grammar",)

    def __init__(self, experiment: Experiment, run: RunDir, progress: Progress) -> None:
        found = read_learned(run)
        if told := found.passed_over:
            progress.log(told)
        self.experiment, self.run, self.found = experiment, run, found
        self.editor = load_editor(experiment.grammar, experiment.editor, found)
        tensors = [tensor.numpy().tobytes() for tensor in self.editor.state_dict().values()]
        learned = b"".join([*tensors, repr(self.editor.min_scale).encode()])
        source = {
            "run": run.path.name,
            "name": experiment.name,
            "checkpoint": found.path.name,
            "sha256": digest(learned),
            "config": digest(run.read_config_bytes()),
        }
        super().__init__(run.config_path, experiment.grammar, source, experiment.renderer)
        self.seed = experiment.seed

    def scene(self, seed: int, index: int, attempt: int = 0) -> Scene:
        """The scene of one image: sampled, then edited, from a stream of its own."""
        sampled = super().scene(seed, index, attempt)
        edit = derive(seed, "dataset", "edit", *_numbered(index, attempt))
        return edit_scenes(self.editor, [sampled], edit)[0]

    def finishing(self) -> Finishing:
        """The run's refiner, and its gate where it has one."""
        codec, features = self.editor.codec, self.experiment.features
        with self.found.fitting():
            extractor = restore_features(self.found.state["features"], codec, features)
        return Refining(self.run, extractor)


def read_source(path: Path, progress: Progress) -> GrammarSource:
    """The scenes that the directory of a run, or the file of a grammar, stands for.

    Of a folder of runs, it is the newest that has learned anything.

    Raises:
        ConfigError: when the grammar is wrong.
        RunError: when the run has learned nothing yet, what it learned is damaged, or its
            settings were edited.
    """
    return _from_run(path, progress) if path.is_dir() else _from_grammar(path)


def _from_run(path: Path, progress: Progress) -> RunSource:
    run = RunDir.find(path, prefer=lambda run: run.latest_checkpoint() is not None)
    if run.latest_checkpoint() is not None:
        refuse_edited_config(run)
    state = "" if run.ended else ", which has not ended"
    progress.log(f"scenes as learned by {run.path}{state}")
    return RunSource(load_experiment(run.config_path, files=False), run, progress)


def _from_grammar(path: Path) -> GrammarSource:
    found = load_grammar(path)
    written = yamlfile.dump(found.grammar.model_dump(mode="json"))
    source = {"grammar": path.name, "sha256": digest(written.encode())}
    return GrammarSource(path, found.grammar, source, found.renderer)
