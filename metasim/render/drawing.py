"""Rendering through the contract: whatever a plugin does, its user is told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metasim.errors import Interrupted, MetasimError, PluginError, RenderError
from metasim.provenance import content_digest, option_files
from metasim.render.base import Rendered, Renderer
from metasim.render.checking import check_meshes, check_rendered
from metasim.render.geometry import Mesh
from metasim.scene.graph import Scene

__all__ = ["calling", "draw", "files_read", "kinds_of", "models_of"]


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
