"""What the images tell of each attribute, whatever the discrepancy."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from metasim.learn import options
from metasim.learn.codec import SceneCodec
from metasim.learn.discrepancies import make_discrepancy
from metasim.learn.evaluation import sensitivities
from metasim.learn.features import PixelFeatures
from metasim.learn.features.base import extract
from metasim.learn.objective import Objective
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim.testing import AnalyticRenderer

EXAMPLE = AnalyticRenderer.example
assert EXAMPLE is not None
GRAMMAR = SceneGrammar.model_validate(EXAMPLE)
CODEC = SceneCodec(GRAMMAR)


class Unturned(AnalyticRenderer):
    """Draws every blob as if its yaw were 0: no image tells of it."""

    def _blobs(self, scene: Scene) -> dict[int, tuple[float, float, float]]:
        return {node: (x, y, 0.0) for node, (x, y, _) in super()._blobs(scene).items()}


@pytest.mark.parametrize(
    "settings",
    [
        kind()
        for kind in get_args(get_args(options.Discrepancy)[0])
        if kind is not options.ClasswiseMMD  # pixels tell no classes
    ],
    ids=lambda settings: settings.use,
)
def test_attributes_that_show_are_told_from_one_that_does_not(
    settings: options.Discrepancy,
) -> None:
    rng = np.random.default_rng(0)
    scenes = [GRAMMAR.sample(rng) for _ in range(128)]
    renderer, extractor = Unturned(), PixelFeatures(8)
    discrepancy = make_discrepancy(settings, seed=0)
    discrepancy.fit(extract(extractor, renderer.render(scenes).images))
    found = sensitivities(Objective(renderer, CODEC, extractor, discrepancy), scenes, seed=0)
    assert list(found) == ["blob.x", "blob.y", "blob.yaw"]
    for label in ("blob.x", "blob.y"):
        assert found[label].identifiable
        assert 0.01 < found[label].size <= 1
    assert not found["blob.yaw"].identifiable
    assert 0 <= found["blob.yaw"].size < 0.01
