from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import metasim_unity
from metasim.rng import stream
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene
from metasim_unity import UnityRenderer
from metasim_unity.example import EXAMPLE

PEER = Path(metasim_unity.__file__).with_name("peer.x86_64")


@pytest.fixture
def scenes() -> list[Scene]:
    """Nine scenes of the sample's grammar."""
    grammar = SceneGrammar.model_validate(EXAMPLE)
    return [grammar.sample(stream(0, "scenes", n)) for n in range(9)]


@pytest.fixture
def launched() -> Iterator[Callable[..., UnityRenderer]]:
    """Make renderers of the peer, started with arguments; they are closed at the end."""
    pytest.importorskip("mlagents_envs", reason="needs the extra unity")
    with ExitStack() as stack:

        def make(*arguments: str, **options: Any) -> UnityRenderer:
            renderer = UnityRenderer(player=PEER, arguments=arguments, **options)
            stack.enter_context(renderer)
            return renderer

        yield make


def free_port() -> int:
    """One that nobody listens on, yet."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
