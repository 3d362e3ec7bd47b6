"""Running the renderer contract: for the command line, and as pytest tests.

Plugin authors subclass :class:`RendererContract`; ``metasim renderers check`` calls
:func:`check_renderer`; both run the same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from metasim.errors import Interrupted
from metasim.render.base import Renderer
from metasim.render.plugins import make_renderer
from metasim.scene.grammar import SceneGrammar
from metasim.testing import attributes, checks, geometry, labels, masks, occlusion, tensors
from metasim.testing.broken import ContractBrokenError
from metasim.testing.checks import CHECKS
from metasim.testing.footprint import Footprint
from metasim.testing.subject import Subject, example_of

__all__ = ["CheckResult", "RendererContract", "check_renderer"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: the check's name, for example "batch_equals_singles".
        passed: whether the renderer does what it must.
        message: why not; empty where it passed.
    """

    name: str
    passed: bool
    message: str = ""


def check_renderer(
    renderer_factory: Callable[[], Renderer],
    grammar: SceneGrammar,
    *,
    seed: int = 0,
    footprint: Footprint | None = None,
) -> list[CheckResult]:
    """Check a renderer against the contract.

    Args:
        renderer_factory: makes a renderer; called several times, one lives at a time.
        grammar: what it is to draw; whether attributes act is checked of those it shows. Its
            own ``example`` is a good choice.
        seed: of the scenes that are drawn.
        footprint: that of the renderer's import, where it was watched; it counts too.

    Returns:
        One result for each check, in order. A renderer that raises fails the check at hand;
        the others go on.
    """
    subject = Subject(renderer_factory, grammar, seed, footprint)
    try:
        return [_outcome(check, subject) for check in CHECKS]
    finally:
        _outcome(Subject.close, subject)  # clean_close has told what it raises


def _outcome(check: Callable[[Subject], None], subject: Subject) -> CheckResult:
    try:
        check(subject)
    except ContractBrokenError as broken:
        return CheckResult(check.__name__, False, str(broken))
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever a plugin raises
        return CheckResult(check.__name__, False, f"it raised {type(error).__name__}: {error}")
    return CheckResult(check.__name__, True)


def _as_test(check: Callable[[Subject], None]) -> Callable[[RendererContract], None]:
    def test(self: RendererContract) -> None:
        check(self.subject)

    test.__doc__ = check.__doc__
    return test


class RendererContract:
    """The contract as pytest tests: subclass it, and name the class ``Test...``.

    ::

        class TestMine(RendererContract):
            renderer = MyRenderer
            options = {"image_size": [64, 64]}

    Attributes:
        renderer: the renderer's class.
        options: its keyword arguments.
        grammar: a grammar or its YAML form; the renderer's ``example`` where it is None.
        seed: of the scenes that are drawn.
    """

    renderer: ClassVar[type[Renderer]]
    options: ClassVar[Mapping[str, Any]] = {}
    grammar: ClassVar[SceneGrammar | Mapping[str, Any] | None] = None
    seed: ClassVar[int] = 0
    subject: ClassVar[Subject]

    @classmethod
    def setup_class(cls) -> None:
        """Called by pytest before the first test: reads the grammar."""
        grammar = cls.grammar if cls.grammar is not None else example_of(cls.renderer)
        if grammar is None:
            raise ContractBrokenError("give the tests a grammar, or the renderer an example")
        if not isinstance(grammar, SceneGrammar):
            grammar = SceneGrammar.model_validate(grammar)
        cls.subject = Subject(cls._build, grammar, cls.seed)

    @classmethod
    def _build(cls) -> Renderer:
        """The renderer, in worker processes where it must not be in this one."""
        if not cls.renderer.isolated:
            return cls.renderer(**cls.options)
        place = f"{cls.renderer.__module__}:{cls.renderer.__qualname__}"
        return make_renderer(place, cls.options)

    @classmethod
    def teardown_class(cls) -> None:
        """Called by pytest after the last test: closes the renderer."""
        cls.subject.close()

    test_kinds_cover_grammar = _as_test(checks.kinds_cover_grammar)
    test_example_covers_kinds = _as_test(attributes.example_covers_kinds)
    test_shapes_and_dtypes = _as_test(checks.shapes_and_dtypes)
    test_empty_batch = _as_test(checks.empty_batch)
    test_equal_scenes_equal_pixels = _as_test(checks.equal_scenes_equal_pixels)
    test_batch_equals_singles = _as_test(checks.batch_equals_singles)
    test_drawn_stays_as_it_is = _as_test(checks.drawn_stays_as_it_is)
    test_labels_agree_with_masks = _as_test(labels.labels_agree_with_masks)
    test_masks_follow_pixels = _as_test(masks.masks_follow_pixels)
    test_instances_keep_labels = _as_test(labels.instances_keep_labels)
    test_hidden_is_not_visible = _as_test(occlusion.hidden_is_not_visible)
    test_planes_are_offered_alike = _as_test(geometry.planes_are_offered_alike)
    test_models_fit_poses = _as_test(geometry.models_fit_poses)
    test_boxes_agree_with_poses = _as_test(geometry.boxes_agree_with_poses)
    test_depth_agrees_with_poses = _as_test(geometry.depth_agrees_with_poses)
    test_normals_agree_with_depth = _as_test(geometry.normals_agree_with_depth)
    test_attributes_act = _as_test(attributes.attributes_act)
    test_tensor_agrees_with_render = _as_test(tensors.tensor_agrees_with_render)
    test_tensor_has_gradients = _as_test(tensors.tensor_has_gradients)
    test_scenes_not_mutated = _as_test(checks.scenes_not_mutated)
    test_clean_close = _as_test(checks.clean_close)
    test_no_global_state = _as_test(checks.no_global_state)
