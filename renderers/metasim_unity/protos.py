"""ML-Agents' messages, for whatever protobuf is installed.

The modules that mlagents-envs has for them were generated for protobuf before 3.21, and newer
ones refuse to import them, whereas other packages refuse older ones. The descriptors inside are
good for all. So they are read out of the files, without running those, and the classes made anew,
in a pool of their own that nobody else's meet.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from metasim.errors import MetasimError, MissingExtraError, PluginError

__all__ = ["EXCHANGE", "lacks", "message_class"]

EXCHANGE: Final = "/communicator_objects.UnityToExternalProto/Exchange"
"""The one method that a player calls."""

_PACKAGE: Final = "mlagents_envs"
_BEFORE: Final = "communicator_objects."


@cache
def message_class(name: str) -> Any:
    """The class of a message, for example ``UnityMessageProto``.

    Raises:
        MissingExtraError: when mlagents-envs or gRPC is not installed.
        PluginError: when the version that is installed has no such message.
    """
    pool = _pool()
    try:
        descriptor = pool.FindMessageTypeByName(_BEFORE + name)
    except KeyError:
        raise PluginError(
            f"mlagents-envs must have the message {name}, but the installed version has not; "
            "install it with: pip install 'metasim[unity]'"
        ) from None
    return _class_of(descriptor)


def _class_of(descriptor: Any) -> Any:
    from google.protobuf import message_factory

    if hasattr(message_factory, "GetMessageClass"):  # since protobuf 4.22
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)


@cache
def _pool() -> Any:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("mlagents-envs", "unity", "the renderer 'unity'")
    from google.protobuf import descriptor_pb2, descriptor_pool

    folder = Path(found.submodule_search_locations[0], "communicator_objects")
    waiting = {}
    for path in sorted(folder.glob("*_pb2.py")):
        for data in _descriptors(path):
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            waiting[file.name] = file
    pool = descriptor_pool.DescriptorPool()
    while waiting:  # a file may come only after those that it depends on
        ready = [file for file in waiting.values() if not waiting.keys() & {*file.dependency}]
        if not ready:
            raise PluginError(f"mlagents-envs has messages that depend on each other: {[*waiting]}")
        for file in ready:
            pool.AddSerializedFile(waiting.pop(file.name).SerializeToString())
    return pool


def _descriptors(path: Path) -> Iterator[bytes]:
    """What a generated module holds as ``serialized_pb=...`` or ``AddSerializedFile(...)``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        told = [word.value for word in node.keywords if word.arg == "serialized_pb"]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "AddSerializedFile":
            told += node.args
        for value in told:
            if isinstance(value, ast.Call) and value.args:  # _b("..."), for Python 2
                value = value.args[0]
            if isinstance(value, ast.Constant):
                if isinstance(value.value, bytes):
                    yield value.value
                elif isinstance(value.value, str):
                    yield value.value.encode("latin-1")


def lacks() -> list[str]:
    """What is missing for ML-Agents' connection, each with what to do about it."""
    try:
        message_class("UnityMessageProto")
        importlib.import_module("grpc")
    except (MetasimError, ImportError) as error:
        return [str(error)]
    return []
