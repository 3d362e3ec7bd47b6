"""Rendering through the contract: whatever a plugin does, its user is told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metasim.errors import Interrupted, MetasimError, PluginError, RenderError
from metasim.provenance import content_digest, option_files
from metasim.render.base import Rendered, Renderer
from metasim.render.checking import check_meshes, check_rendered
from metasim.render.geometry import Mesh
from metasim.scene.graph import Scene

__all__ = ["calling", "draw", "draw_all", "files_read", "joined", "kinds_of", "models_of"]

_AT_ONCE = 64  # scenes, which is enough for workers to be busy, and little to lose


def draw(renderer: Renderer, scenes: Sequence[Scene]) -> Rendered:
    """Render and check what came back, and copy it unless the renderer says that it is ``fresh``.

    A renderer that draws into the same arrays again would change images that are still in use,
    and nothing would tell. The copy takes less than a hundredth of the time that digits take.

    Raises:
        RenderError: when the renderer raised, or broke its contract.
    """
    with calling(f"the renderer {type(renderer).__name__}"):
        rendered = renderer.render(scenes)
    check_rendered(rendered, scenes, renderer.image_size)
    return rendered if renderer.fresh else rendered.copy()


def draw_all(
    renderer: Renderer, scenes: Sequence[Scene], told: Callable[[int], None] = lambda done: None
) -> Rendered:
    """As :func:`draw`, of as many scenes as wanted, some at a time.

    Args:
        renderer: draws them.
        scenes: N of them, at least 1.
        told: how many were drawn, each time that some were.

    Raises:
        RenderError: when the renderer raised, or broke its contract.
    """
    parts = []
    for start in range(0, len(scenes), _AT_ONCE):
        parts.append(draw(renderer, scenes[start : start + _AT_ONCE]))
        told(start + len(parts[-1]))
    return joined(parts)


def joined(parts: Sequence[Rendered]) -> Rendered:
    """Batches as one; what one of them does not have, the whole has not.

    Args:
        parts: at least one.
    """
    cameras = [part.cameras for part in parts if part.cameras is not None]
    return Rendered(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.instances for part in parts]),
        tuple(labels for part in parts for labels in part.labels),
        _plane([part.depth for part in parts]),
        _plane([part.normals for part in parts]),
        tuple(c for mine in cameras for c in mine) if len(cameras) == len(parts) else None,
    )


def _plane(parts: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.float32] | None:
    """The planes one after the other; None where any is missing."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def models_of(renderer: Renderer) -> Mapping[str, Mesh]:
    """The renderer's models by category, checked.

    Raises:
        RenderError: when the renderer raised, or broke its contract.
    """
    with calling(f"the renderer {type(renderer).__name__}"):
        found = renderer.meshes()
    return check_meshes(found)


def kinds_of(
    found: type[Renderer], options: Mapping[str, Any], name: str
) -> Mapping[str, frozenset[str]]:
    """The kinds and attributes that a renderer knows when it is built with these options.

    Args:
        found: its class.
        options: keyword arguments of its constructor, right or wrong.
        name: what people call it.

    Raises:
        PluginError: when its ``kinds_of`` raised.
    """
    with calling(f"kinds_of() of the renderer {name!r}", PluginError):
        return found.kinds_of(options)


def files_read(
    found: type[Renderer], options: Mapping[str, Any], key: str = "options"
) -> dict[str, str]:
    """Digests of the files that a renderer's options name and of what it reads beside them.

    Args:
        found: its class.
        options: keyword arguments of its constructor.
        key: what the options are called.

    Raises:
        DataError: when something cannot be read.
        RenderError: when ``reads`` raised.
    """
    with calling(f"reads() of the renderer {found.__name__}"):
        beside = {f"{key} ({path})": Path(path) for path in found.reads(options)}
    read = {name: content_digest(path) for name, path in beside.items()}
    return option_files(options, key) | read


@contextmanager
def calling(what: str, error_class: type[MetasimError] = RenderError) -> Iterator[None]:
    """Code of a plugin: what it raises becomes an error that names it.

    Also what is no :class:`Exception`: :class:`SystemExit` would end the command as if all had
    gone well, and others without a word. What is metasim's own passes: a renderer's own
    complaint, or the user's wish to stop.

    Args:
        what: is called, for people.
        error_class: of the error.
    """
    try:
        yield
    except (MetasimError, Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:
        told = f"{what} raised {type(error).__name__}: {error}"
        raise error_class(told.removesuffix(": ")) from error
