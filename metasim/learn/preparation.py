"""Before training: features are taught, the target is measured, the warm start is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.errors import DataError
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import RBF, Discrepancy, make_discrepancy
from metasim.learn.discrepancies.kernels import frozen_scale
from metasim.learn.editor import edit_scenes, make_editor
from metasim.learn.examples import Examples, make_examples
from metasim.learn.features import (
    Classroom,
    FeatureExtractor,
    Taught,
    describe_features,
    extract,
    make_features,
    restore_features,
    teach_near,
)
from metasim.learn.features.appearance import randomise_appearance
from metasim.learn.features.base import to_tensor
from metasim.learn.options import LEAST_TARGET, Editor, Features, SimulatorFeatures, Training
from metasim.learn.options import Discrepancy as DiscrepancyOptions
from metasim.learn.pools import Pool, match
from metasim.learn.warmstart import warm_up
from metasim.progress import Progress
from metasim.render.base import Renderer
from metasim.rng import derive, stream
from metasim.scene.graph import Scene

__all__ = ["Preparation", "Prepared"]

Images = npt.NDArray[np.uint8]
_HELD_OUT = 4  # one in so many, rounded down, is for the test at the end
_SPLIT = 4000  # those held out are chosen among so many; the test's cost is the square of them
_REFERENCE = 2000
_MATCHED = 4000  # the kernel between them is a matrix of this size squared
_SPLITS = 33


@dataclass(frozen=True)
class Prepared:
    """What training starts from.

    Attributes:
        extractor: taught and standardised.
        discrepancy: fitted to the target's training part.
        held_out: (N, D), features of target images that training never sees.
        pools: the warm start; empty where it is off.
        renders: images drawn for the features.
        error: for each label, how badly the features read it; empty where unknown.
        examples: renders and their features, for a gradient that learns from such.
    """

    extractor: FeatureExtractor
    discrepancy: Discrepancy
    held_out: Tensor
    pools: tuple[Pool, ...]
    renders: int
    error: dict[str, float]
    examples: tuple[Examples, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """Everything that :meth:`Preparation.restore` needs, as a checkpoint holds it."""
        return {
            "features": describe_features(self.extractor),
            "discrepancy": self.discrepancy.state_dict(),
            "held_out": self.held_out,
            "pools": [[pool.node, pool.weights, pool.latent] for pool in self.pools],
            "feature_renders": self.renders,
            "error": self.error,
            "examples": [[e.nodes, e.scene, e.features] for e in self.examples],
        }


@dataclass(frozen=True)
class Preparation:
    """The parts that preparing needs, and their settings.

    Attributes:
        examples: how many renders to hand on to the gradient estimator, at most.
    """

    codec: SceneCodec
    renderer: Renderer
    features: Sequence[Features]
    discrepancy: DiscrepancyOptions
    editor: Editor
    training: Training
    seed: int
    progress: Progress
    device: torch.device
    examples: int = 0

    def run(self, target: Images) -> Prepared:
        """Teach the features, match the target, fit the discrepancy.

        Args:
            target: (N, H, W, 3), all target images; a quarter is held out.

        Raises:
            DataError: when there are too few target images, or they are all alike.
        """
        if len(target) < LEAST_TARGET:
            raise DataError(
                f"a target must have at least {LEAST_TARGET} images, as a quarter of them is held "
                f"out for the test at the end; got {len(target)}"
            )
        taught = make_features(self.features, self.classroom)
        features = extract(taught.extractor, target)
        if not bool(features.isfinite().all()):
            raise DataError(
                "the features of the target images must be finite numbers, but some are NaN or "
                "infinite; choose other features, or other weights of theirs"
            )
        known, held_out = self._split(target, features)
        pools: Sequence[Pool] = ()
        if self.training.warm_start:
            pools = self._match(taught, known)
            for number in range(self._rounds):
                scenes = self._near(pools, number)
                taught = teach_near(taught, scenes, self.features, self.classroom, number)
                pools = self._match(taught, known)
        extractor = taught.extractor
        discrepancy = make_discrepancy(self.discrepancy, seed=derive(self.seed, "discrepancy"))
        discrepancy.fit(
            self._seen(extractor, known, "known"),
            reference=self._seen(extractor, taught.images[:_REFERENCE], "reference"),
            blocks=extractor.blocks,
        )
        if told := discrepancy.describe():
            numbers = ", ".join(f"{name} {number:.3g}" for name, number in told.items())
            self.progress.log(f"discrepancy: {numbers}")
        held = self._seen(extractor, held_out, "held out")
        return Prepared(
            extractor,
            discrepancy,
            held,
            tuple(pools),
            taught.renders,
            taught.error,
            self._examples(taught),
        )

    def restore(self, state: Mapping[str, Any]) -> Prepared:
        """What :meth:`Prepared.state_dict` described.

        Raises:
            RunError: when the features are others.
            KeyError, TypeError, ValueError, RuntimeError: when another part does not fit.
        """
        discrepancy = make_discrepancy(self.discrepancy, seed=derive(self.seed, "discrepancy"))
        discrepancy.load_state_dict(state["discrepancy"])
        return Prepared(
            restore_features(state["features"], self.codec, self.features).to(self.device),
            discrepancy,
            state["held_out"],
            tuple(Pool(node, weights, latent) for node, weights, latent in state["pools"]),
            state["feature_renders"],
            state["error"],
            tuple(Examples(*parts) for parts in state["examples"]),
        )

    @property
    def classroom(self) -> Classroom:
        """What teaching the features needs."""
        least = _REFERENCE if self.training.warm_start else 0
        return Classroom(self.codec, self.renderer, self.seed, self.progress, least, self.device)

    @property
    def _rounds(self) -> int:
        return max((f.refine for f in self.features if isinstance(f, SimulatorFeatures)), default=0)

    def _split(self, target: Images, features: Tensor) -> tuple[Images, Images]:
        """What is learned from, and what is held out: the median of several random splits.

        By chance a split can set a quarter of the images apart from the rest, and no run
        could then pass the test at the end. Generated images have no part in the choice. Of a
        very large target a quarter of ``_SPLIT`` images is held out.
        """
        rng = stream(self.seed, "target")
        rows = np.arange(len(target))
        if len(rows) > _SPLIT:
            rows = rng.permutation(rows)
        drawn, rest = rows[:_SPLIT], rows[_SPLIT:]
        held = len(drawn) // _HELD_OUT
        orders = [rng.permutation(len(drawn)) for _ in range(_SPLITS)]
        some = torch.stack([torch.from_numpy(order[:held]) for order in orders])
        order = orders[int(_split_distances(features[drawn], some).argsort()[_SPLITS // 2])]
        return target[np.concatenate([drawn[order[held:]], rest])], target[drawn[order[:held]]]

    def _match(self, taught: Taught, known: Images) -> Sequence[Pool]:
        """Weigh the latest renders so that they look like the target."""
        pools = match(
            self.codec,
            taught.scenes[-_MATCHED:],
            extract(taught.extractor, taught.images[-_MATCHED:]),
            extract(taught.extractor, known[:_MATCHED]),
            taught.extractor.blocks,
        )
        sizes = ", ".join(f"{self.codec.names[p.node]} {p.effective_size:.0f}" for p in pools)
        self.progress.log(f"warm start from an effective number of renders of: {sizes}")
        return pools

    def _near(self, pools: Sequence[Pool], number: int) -> list[Scene]:
        """Scenes near the estimate that the pools give, some way around it."""
        grammar, options = self.codec.grammar, self.training
        count = max(f.refine_renders for f in self.features if isinstance(f, SimulatorFeatures))
        rng = stream(self.seed, "near", number)
        generator = torch.Generator().manual_seed(derive(self.seed, "near", number))
        editor = make_editor(self.codec, self.editor, derive(self.seed, "near editor", number))
        warm_up(editor, grammar, pools, self.editor, rng, generator)
        editor.min_scale = options.noise_start
        scenes = [grammar.sample(rng) for _ in range(count)]
        return edit_scenes(editor, scenes, derive(self.seed, "near edit", number), explore=True)

    def _examples(self, taught: Taught) -> tuple[Examples, ...]:
        """The latest renders, as training would see them."""
        if not self.examples:
            return ()
        scenes, images = taught.scenes[-self.examples :], taught.images[-self.examples :]
        features = self._seen(taught.extractor, images, "examples")
        return make_examples(self.codec, scenes, features, self.training.batch_size)

    @torch.no_grad()
    def _seen(self, extractor: FeatureExtractor, images: Images, name: str) -> Tensor:
        """Features (n, D), with randomised looks where training will have such."""
        if not extractor.randomised:
            return extract(extractor, images)
        generator = torch.Generator().manual_seed(derive(self.seed, "looks", name))
        parts = (images[i : i + extractor.chunk] for i in range(0, len(images), extractor.chunk))
        shown = (randomise_appearance(to_tensor(part), generator) for part in parts)
        return torch.cat([extractor(part).cpu() for part in shown])


def _split_distances(features: Tensor, held: Tensor) -> Tensor:
    """Squared MMD (S,) between the rows (S, M) that are held out and all others of (N, D)."""
    scale = frozen_scale(features[:1000])
    kernel = RBF([scale])(features, features)
    sign = torch.full((len(held), len(features)), -1.0 / (len(features) - held.shape[1]))
    sign.scatter_(1, held, 1.0 / held.shape[1])
    return ((sign @ kernel) * sign).sum(dim=1)
