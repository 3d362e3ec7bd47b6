"""Starting the processes that train a method together with this one, and ending them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from pydantic import TypeAdapter

from metasim.errors import TrainingError
from metasim.learn.archive import pack, unpack
from metasim.learn.device import computing_on
from metasim.progress import Silent
from metasim.refine.make import make_method
from metasim.refine.options import Refine, Trained
from metasim.refine.sampling import Domains
from metasim.refine.team import ALONE, Processes
from metasim.refine.training import Training

__all__ = ["help_out", "together"]

_PATIENCE: Final = timedelta(minutes=10)
"""How long a process waits for another: as long as writing a checkpoint may take."""
_INTERFACES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
"""They speak to each other on this machine alone."""


@contextmanager
def together(training: Training) -> Iterator[None]:
    """Within the block, a training is shared with as many processes as its options say.

    Each has a graphics card of its own, the training's and those after it, or its share of the
    processor's threads. They start from where the training is, and end with the block.

    Raises:
        TrainingError: when one of them ends before, with what it said.
    """
    count = training.method.settings.processes
    if count == 1:
        yield
        return
    threads = max(1, torch.get_num_threads() // count)
    with (
        tempfile.TemporaryDirectory() as name,
        _helpers(Path(name), count, _task(training, threads)) as helpers,
        computing_on(threads),
    ):
        try:
            with _group(Path(name), 0, count, training.device):
                training.join(Processes())
                yield
        except RuntimeError as error:  # which torch raises when another process is gone
            gone = [rank for rank, one in enumerate(helpers, start=1) if one.poll() is not None]
            if isinstance(error, torch.OutOfMemoryError) or not gone:
                raise
            raise _ended(Path(name), gone[0]) from error
        finally:
            training.join(ALONE)


def help_out(folder: Path, rank: int, count: int, data: bytes) -> None:
    """Train with others to the end; what a helping process does.

    Args:
        folder: in which the processes find each other.
        rank: of this one, from 1.
        count: of all of them.
        data: what the first process sent.
    """
    task = unpack(data)
    options = TypeAdapter[Refine](Refine).validate_python(task["options"])
    assert isinstance(options, Trained)
    told = task["condition"]
    domains = Domains(
        task["sim"].numpy(),
        task["real"].numpy(),
        None if told is None else told.numpy(),
        paired=task["paired"],
    )
    first = torch.device(task["device"])
    device = torch.device("cuda", (first.index or 0) + rank) if first.type == "cuda" else first
    torch.set_num_threads(task["threads"])
    method = make_method(options, domains.size, 0 if told is None else told.shape[1], task["seed"])
    training = Training(method, domains, task["seed"], device, Silent())
    training.load_state_dict(task["state"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with _group(folder, rank, count, device):
        training.join(Processes())
        training.run()


def _task(training: Training, threads: int) -> bytes:
    """All that a process needs to be where this one is."""
    domains = training.domains
    told = domains.condition
    return pack(
        {
            "options": training.method.settings.model_dump(mode="json"),
            "sim": torch.from_numpy(domains.sim),
            "real": torch.from_numpy(domains.real),
            "condition": None if told is None else torch.from_numpy(told),
            "paired": domains.paired,
            "seed": training.seed,
            "device": str(training.device),
            "threads": threads,
            "state": training.state_dict(),
        }
    )


@contextmanager
def _helpers(folder: Path, count: int, task: bytes) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Within the block, all processes but the first, which have their task and are ready."""
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, count):
            helpers.append(_start(folder, rank, count, task))
        for rank, helper in enumerate(helpers, start=1):
            assert helper.stdout is not None
            if not helper.stdout.readline():
                raise _ended(folder, rank)
        yield helpers
    finally:
        for helper in helpers:
            helper.kill()
            helper.communicate()


def _start(folder: Path, rank: int, count: int, task: bytes) -> subprocess.Popen[bytes]:
    """Start a process and send it its task; it ends when this one does."""
    with _log(folder, rank).open("wb") as log:
        helper = subprocess.Popen(
            [sys.executable, "-m", "metasim.refine.member", str(folder), str(rank), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the first alone, which ends the others
        )
    assert helper.stdin is not None
    with suppress(BrokenPipeError):  # it ended at once, which is told when it is waited for
        helper.stdin.write(len(task).to_bytes(8, "big") + task)
        helper.stdin.flush()
    return helper


@contextmanager
def _group(folder: Path, rank: int, count: int, device: torch.device) -> Iterator[None]:
    """Within the block, torch's process group is that of these processes."""
    before = {name: os.environ.get(name) for name in _INTERFACES}
    os.environ.update(dict.fromkeys(_INTERFACES, _LOOPBACK))
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=(folder / "meeting").as_uri(),
            rank=rank,
            world_size=count,
            timeout=_PATIENCE,
            device_id=device if device.type == "cuda" else None,
        )
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _log(folder: Path, rank: int) -> Path:
    return folder / f"process-{rank}.log"


def _ended(folder: Path, rank: int) -> TrainingError:
    said = _log(folder, rank).read_text(errors="replace").split("\n")
    last = next((line for line in reversed(said) if line.strip()), "it said nothing")
    return TrainingError(
        f"all processes of a refinement must last until its end, but number {rank} ended: {last}; "
        "go on with what was kept, or set refine.processes: 1"
    )
