"""The machines of a Ray cluster, and what is asked of them beside the workers there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from types import ModuleType
from typing import Any

from metasim.errors import PluginError
from metasim.render import actor

__all__ = ["Machines"]

_HELPING = 10.0  # seconds in which a function must be done


class Machines:
    """The machines of the cluster that this process belongs to, known by Ray's ids of them.

    Args:
        ray: Ray.
        task: of :class:`metasim.render.worker.Host`.
    """

    def __init__(self, ray: ModuleType, task: Mapping[str, Any]) -> None:
        self._ray = ray
        self._ours = actor.made_of(task)
        self._compared: set[str] = set()
        self._sweeps: list[Future[None]] = []
        self._tasks = {
            function: ray.remote(num_cpus=0, max_retries=0)(function)
            for function in (actor.resident, actor.sweep, actor.tail, actor.write_where)
        }

    # --- what is run there -----------------------------------------------------------------

    def begin(self, node: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have one of :mod:`metasim.render.actor`'s functions run on a machine, however busy."""
        there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node, soft=False
        )
        task = self._tasks[function].options(scheduling_strategy=there)
        future: Future[Any] = task.remote(*arguments).future()
        return future

    def run(self, node: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What such a function returns; None where the machine does not answer."""
        try:
            return self.begin(node, function, *arguments).result(_HELPING)
        except (self._ray.exceptions.RayError, TimeoutError):
            return None

    def sweep(self, node: str, pid: int, born: str) -> None:
        """Have all ended that is left of a worker's process, soon."""
        self._sweeps = [one for one in self._sweeps if not one.done()]
        self._sweeps.append(self.begin(node, actor.sweep, pid, born))

    def finish(self) -> None:
        """Wait until nothing is left to be ended."""
        wait(self._sweeps, _HELPING)

    # --- what is known of them -------------------------------------------------------------

    def cpus(self) -> float:
        """How many CPUs all have together."""
        return float(self._ray.cluster_resources().get("CPU", 0))

    def address(self, node: str) -> str:
        """A machine's address in the network."""
        known = {found["NodeID"]: found["NodeManagerAddress"] for found in self._ray.nodes()}
        return str(known.get(node, "an unknown machine"))

    def shortage(self) -> str:
        """What room there is, for people."""
        nodes = sum(found["Alive"] for found in self._ray.nodes())
        free = self._ray.available_resources().get("CPU", 0)
        return (
            f"the Ray cluster has {self.cpus():g} CPUs on {nodes} machines, and {free:g} of them "
            "free; a worker needs one"
        )

    def is_new(self, node: str) -> bool:
        """Whether a machine has not been found to be like this one."""
        return node not in self._compared

    def differences(self, node: str, theirs: Mapping[str, Any] | None) -> str:
        """In what a machine differs from this one, where that decides what is drawn; or nothing.

        Args:
            node: the machine.
            theirs: what :func:`metasim.render.actor.made_of` tells there; None where it was not
                asked.
        """
        if theirs is None:
            return ""
        wrong = [
            f"{name} is {theirs['versions'][name]} instead of {version}"
            for name, version in self._ours["versions"].items()
            if theirs["versions"].get(name, version) != version
        ]
        for what, digest in self._ours["content"].items():
            told = theirs["content"].get(what, "")
            if told not in (None, digest):
                wrong.append(f"{what} {'differs' if told else 'is missing'}")
        if not wrong:
            self._compared.add(node)
            return ""
        return (
            "all machines must have the same as this one, or images would depend on where they are "
            f"drawn, but on {self.address(node)} {'; '.join(wrong)}; install the same there"
        )

    # --- how workers end -------------------------------------------------------------------

    def reason(self, node: str, error: Exception) -> tuple[str, bool]:
        """How a worker ended, in words, and whether that was for a reason outside of it."""
        machine, found = self.address(node), self._ray.exceptions
        if not any(one["Alive"] for one in self._ray.nodes() if one["NodeID"] == node):
            return f"was lost with its machine {machine}", True
        if isinstance(error, (found.ActorUnavailableError, found.ObjectLostError)):
            return f"could not be reached any more on {machine}", True
        if isinstance(error, found.OutOfMemoryError):
            return f"was killed by Ray, since {machine} had no memory left", False
        if isinstance(error, found.RayTaskError):
            return f"raised {type(error.cause).__name__}: {error.cause}", False
        return f"ended unexpectedly on {machine}", False

    def unstarted(self, error: Exception) -> PluginError | None:
        """What to say where an actor could not even be made; None where its process was lost."""
        failed = isinstance(error, self._ray.exceptions.RuntimeEnvSetupError)
        if not failed and not getattr(error, "_actor_init_failed", False):
            return None
        lines = [line for line in str(error).splitlines() if line.strip()]
        return PluginError(
            "metasim must be installed on all machines of the Ray cluster, in this version, but a "
            f"worker could not begin: {lines[-1].strip() if lines else type(error).__name__}"
        )
