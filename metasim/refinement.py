"""The refinement of a run: a refiner is trained on what was learned, judged, and told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metasim.classes import shown_classes
from metasim.config import Experiment
from metasim.errors import ConfigError, DataError, concerning
from metasim.learn.codec import SceneCodec
from metasim.learn.device import resolve_device
from metasim.learn.features import FeatureExtractor
from metasim.learn.kept import KeptRenders, clear
from metasim.progress import Progress
from metasim.refine.conditions import channels, conditions
from metasim.refine.gate import Judged
from metasim.refine.make import check_fit
from metasim.refine.measures import farther, measures
from metasim.refine.options import Condition, Paired, Refine
from metasim.refine.questions import Examiner, Labelled, calibrated
from metasim.refine.refiner import Form, Refiner
from metasim.refine.sampling import Domains
from metasim.refine.stage import Stage
from metasim.refine.usefulness import Sample, accuracies
from metasim.render.base import Rendered, Renderer
from metasim.render.drawing import draw, draw_all
from metasim.report.grids import comparison, save_grid
from metasim.rng import stream
from metasim.runs import RunDir
from metasim.scene.graph import Scene
from metasim.target import Target

__all__ = ["Refinement"]

_HELD_OUT: Final = 4  # one target image in so many is not learned from
_FEWEST: Final = 8  # target images that are held out, for a measure to mean anything
_FEW_PASS: Final = 0.1
_SHOWN: Final = 36

Images = npt.NDArray[np.uint8]
Scenes = Callable[[int, str], Sequence[Scene]]
"""So many fresh scenes as learned, for a purpose, which decides what is random."""


@dataclass(frozen=True)
class Refinement:
    """Refines the images of an experiment's scenes.

    Attributes:
        experiment: what is asked for.
        options: of its method.
        run: where all is kept.
        renderer: draws; its images were not refined.
        target: what they are to look like.
        codec: of the grammar.
        progress: told how far it is.
    """

    experiment: Experiment
    options: Refine
    run: RunDir
    renderer: Renderer
    target: Target
    codec: SceneCodec
    progress: Progress

    def check(self) -> None:
        """Refuse what cannot be done, before anything is learned.

        Raises:
            ConfigError: when a method that needs pairs has a target whose scenes are not known.
            DataError: when the method does not take the renderer's images, or the renderer does
                not offer what its condition is made of.
            MissingExtraError: when weights must be fetched, and what does that is missing.
        """
        with concerning("refine"):
            if isinstance(self.options, Paired) and not self.target.scenes:
                raise ConfigError(
                    f"the method {self.options.method!r} learns from pairs of a render and a "
                    "target image of one scene, so the target must be a grammar, whose scenes are "
                    "known; choose cut or cyclegan for a folder of images"
                )
            form = self._form
            if form.condition:
                scene = self.experiment.grammar.sample(stream(self.experiment.seed, "refine"))
                conditions(draw(self.renderer, [scene]), form.condition, form.classes)
            told = channels(form.condition, form.classes)
            check_fit(self.options, form.size, told, resolve_device(self.experiment.device))

    def carry_out(
        self,
        scenes: Scenes,
        extractor: FeatureExtractor,
        *,
        stop: Callable[[], bool],
        again: str,
    ) -> dict[str, Any]:
        """Train the refiner, or go on with that, and judge it; returns what the summary says.

        Args:
            scenes: as learned.
            extractor: of the experiment; what it reads of images, the gate asks for.
            stop: asked after each step of the training.
            again: the command that goes on with it.

        Raises:
            Interrupted: when it was stopped; all is kept.
            DataError: when there are too few target images.
            TrainingError: when a loss is no number any more.
        """
        known, held_out = self._split()
        # Kept, so that a slow renderer does not draw again what a stopped training learned from.
        kept = KeptRenders(self.renderer, self.run.make_refine_dir() / "drawn", self.progress)
        planes = {"depth", "normals"} & {*self._form.condition}
        renderer = self.renderer if planes else kept
        learned = self._draw(renderer, scenes(self.options.renders, "refine"), "drawing renders")
        stage = Stage(
            self.run.refine_dir,
            self.options,
            self._domains(learned.drawn, renderer, known),
            self._form,
            seed=self.experiment.seed,
            device=resolve_device(self.experiment.device),
            progress=self.progress,
            checkpoint_seconds=self.experiment.training.checkpoint_seconds,
            stop=stop,
            again=again,
        )
        refiner = stage.carry_out()
        clear(kept.folder)
        told: dict[str, Any] = {
            "method": self.options.method,
            "steps": stage.steps,
            "seconds": round(stage.seconds, 3),
            "renders": len(learned.drawn),
            "losses": dict(stage.losses),
            "problems": list(stage.problems),
        }
        if stage.images_per_second is not None:
            told["images_per_second"] = stage.images_per_second
        told |= self._judged(refiner, learned, scenes, extractor, held_out)
        told["problems"] += _gate_problems(told["gate"], told["judged"]) + farther(told)
        return told

    # --- what it learns from ---------------------------------------------------------------

    @property
    def _form(self) -> Form:
        asked: tuple[Condition, ...] = ()
        if isinstance(self.options, Paired):
            asked = self.options.condition
        named = shown_classes(self.experiment.grammar, self.renderer) if "classes" in asked else []
        classes = tuple(dict.fromkeys(name for _, name in named))
        height, width = self.renderer.image_size
        return Form((height, width), asked, classes)

    def _split(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The target images that are learned from, and those that are held out, as their rows."""
        count = len(self.target.images)
        if count < _HELD_OUT * _FEWEST:
            raise DataError(
                f"a refinement must have at least {_HELD_OUT * _FEWEST} target images, as a "
                f"quarter of them is held out for its measures; got {count}"
            )
        rows = stream(self.experiment.seed, "refine", "target").permutation(count)
        return np.sort(rows[count // _HELD_OUT :]), np.sort(rows[: count // _HELD_OUT])

    def _domains(
        self, learned: Rendered, renderer: Renderer, known: npt.NDArray[np.int64]
    ) -> Domains:
        """Renders of the learned scenes and target images; or pairs of both, of one scene each."""
        real = self.target.images[known]
        if not isinstance(self.options, Paired):
            return Domains(learned.images, real)
        pairs = self._draw(renderer, [self.target.scenes[i] for i in known], "drawing pairs").drawn
        return Domains(pairs.images, real, self._condition(pairs), paired=True)

    def _condition(self, drawn: Rendered) -> npt.NDArray[np.float32] | None:
        form = self._form
        return conditions(drawn, form.condition, form.classes) if form.condition else None

    def _draw(self, renderer: Renderer, scenes: Sequence[Scene], stage: str) -> Labelled:
        self.progress.start(stage, len(scenes))
        drawn = draw_all(renderer, scenes, self.progress.advance)
        self.progress.finish()
        return Labelled(scenes, drawn)

    # --- what came of it -------------------------------------------------------------------

    def _judged(
        self,
        refiner: Refiner,
        learned: Labelled,
        scenes: Scenes,
        extractor: FeatureExtractor,
        held_out: npt.NDArray[np.int64],
    ) -> dict[str, Any]:
        fresh = self._draw(
            self.renderer, scenes(self.options.judged, "judge refinement"), "drawing fresh renders"
        )
        plain, real = fresh.drawn.images, self.target.images[held_out]
        refined = self._refine(refiner, fresh, "refining fresh renders")
        examiner = self._examiner(fresh, extractor)
        judged = examiner.judge(refined, fresh) if isinstance(examiner, Examiner) else None
        self._show(plain, refined, judged, real)
        told = {
            "judged": len(plain),
            "gate": _told(examiner, judged),
            **measures(plain, refined, real, self.experiment.seed),
        }
        if classes := self._classes(learned):
            seen = self._refine(refiner, learned, "refining what teaches a classifier")
            passed = np.ones(len(seen), np.bool_)
            if isinstance(examiner, Examiner):
                passed = examiner.judge(seen, learned).passed
            told["accuracy"] = self._accuracy(learned, seen, passed, classes, held_out)
        return told

    def _refine(self, refiner: Refiner, known: Labelled, stage: str) -> Images:
        """The images refined, told of as they come."""
        drawn, at_once = known.drawn, 64
        self.progress.start(stage, len(drawn))
        out = np.empty_like(drawn.images)
        for start in range(0, len(drawn), at_once):
            part = drawn[start : start + at_once]
            out[start : start + at_once] = refiner.refine(part.images, self._condition(part))
            self.progress.advance(start + len(part))
        self.progress.finish()
        return out

    def _examiner(self, fresh: Labelled, extractor: FeatureExtractor) -> Examiner | str:
        """What judges refined images, which is kept; where nothing can, why."""
        grammar, seed = self.codec.grammar.widened(), self.experiment.seed
        wide = [grammar.sample(stream(seed, "refine", "others", i)) for i in range(len(fresh))]
        others = self._draw(self.renderer, wide, "drawing other scenes")
        try:
            examiner = calibrated(extractor, fresh, others, self.options.wrong_passes)
        except DataError as error:
            self.progress.log(f"refined images are not gated: {error}")
            return str(error)
        self.run.write_gate(examiner.to_json())
        return examiner

    def _show(self, plain: Images, refined: Images, judged: Judged | None, real: Images) -> None:
        save_grid(self.run, "refined", refined)
        grids = [
            ("Rendered", "", plain),
            ("Refined", "", refined),
            ("Target", "held out", real),
        ]
        self.run.write_figure("refinement", comparison(grids))
        if judged is not None and not judged.passed.all():
            worst = np.flatnonzero(~judged.passed)[:_SHOWN]
            pair = [("Rejected", "rendered", plain[worst]), ("", "refined", refined[worst])]
            self.run.write_figure("rejected", comparison(pair))

    def _classes(self, learned: Labelled) -> Sequence[str]:
        """The class of each render; none where that is not known of the target, or there is one."""
        labels = learned.drawn.labels
        if not self.target.classes or any(len(mine) != 1 for mine in labels):
            return ()
        classes = [mine[0].category for mine in labels]
        return classes if len({*classes}) > 1 else ()

    def _accuracy(
        self,
        learned: Labelled,
        refined: Images,
        passed: npt.NDArray[np.bool_],
        classes: Sequence[str],
        held_out: npt.NDArray[np.int64],
    ) -> Mapping[str, float]:
        """Of a classifier taught by renders, refined renders and target images, on target images.

        Args:
            learned: renders.
            refined: the same refined.
            passed: bool, those that the gate lets pass.
            classes: of the renders.
            held_out: rows of the target images to test it on; the others teach it.
        """
        names = sorted({*classes, *self.target.classes})
        number = {name: i for i, name in enumerate(names)}
        drawn, truth = (
            np.array([number[name] for name in every]) for every in (classes, self.target.classes)
        )
        taught = np.ones(len(truth), np.bool_)
        taught[held_out] = False
        samples = {
            "source_only": Sample(learned.drawn.images, drawn),
            "refined": Sample(refined[passed], drawn[passed]),
            "target": Sample(self.target.images[taught], truth[taught]),
        }
        if not passed.all():  # else it is the same
            samples["ungated"] = Sample(refined, drawn)
        test = Sample(self.target.images[held_out], truth[held_out])
        return accuracies(samples, test, len(names), self.experiment.seed)


def _gate_problems(gate: Mapping[str, Any], judged: int) -> list[str]:
    """What is wrong where hardly any refined image passes the gate, for people."""
    if gate["rate"] is None or gate["rate"] >= _FEW_PASS:
        return []
    worst = min(gate["questions"], key=lambda name: gate["questions"][name]["rate"])
    return [
        f"only {judged - gate['rejected']} of {judged} refined images pass the gate (fewest "
        f"the question {worst!r}): see progress/rejected.png, train more steps, or try another "
        "seed or method"
    ]


def _told(examiner: Examiner | str, judged: Judged | None) -> dict[str, Any]:
    """What the summary says of the gate."""
    if isinstance(examiner, str) or judged is None:
        return {"rate": None, "reason": str(examiner)}
    gate = examiner.gate
    return {
        "rate": judged.rate,
        "rejected": int((~judged.passed).sum()),
        "renders": gate.kept,
        "questions": {
            name: {
                "threshold": least,
                "refused": gate.refused[name],
                "rate": float((judged.scores[name] >= least).mean()),
            }
            for name, least in gate.thresholds.items()
        },
    }
