"""metasim's reference peer: it speaks to metasim as a Unity build does. It is not Unity.

It draws in software, for tests, demonstrations, and work on the protocol:

python -m metasim_unity.peer --mlagents-port 5004
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from metasim.render.base import Renderer
from metasim.render.plugins import load_renderer
from metasim_unity.peer.bridged import Bridged
from metasim_unity.peer.mischief import FAULTS, Mischief
from metasim_unity.peer.observed import Observing
from metasim_unity.peer.player import Behaviour, Player, stay

__all__ = ["main"]

_ENGINES = {
    "tabletop": "metasim_unity.peer.tabletop:TabletopRenderer",
    "glyphs": "metasim_mnist:MnistRenderer",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play until metasim ends; the exit code."""
    args = _parser().parse_args(arguments)
    if args.mlagents_port is None:
        sys.stderr.write("nothing to connect to: give --mlagents-port, as a Unity build needs it\n")
        return 2
    sys.stderr.write("This is metasim's reference peer. It speaks as a player; it is not Unity.\n")
    if args.fault == "absent":
        return stay()
    behaviour = _behaviour(args)
    version = "2.0.0" if args.fault == "version" else "1.5.0"
    messages = {"deaf": 1 + args.after, "idle": 2 + args.after}.get(args.fault)
    return Player(args.mlagents_port, behaviour, version).run(messages)


def _behaviour(args: argparse.Namespace) -> Behaviour:
    engine = load_renderer(_ENGINES.get(args.engine, args.engine))

    def make(size: tuple[int, int]) -> Renderer:
        return engine(image_size=size)  # type: ignore[call-arg]

    behaviour: Behaviour
    if args.observe is not None:
        size = (args.size, args.size)
        behaviour = Observing(make(size), args.layout, args.observe == "png", args.late)
    else:
        behaviour = Bridged(make, args.rows == "bottom-up", args.replay, args.scenes)
    if args.fault in FAULTS or args.fault == "late":
        return Mischief(behaviour, args.fault, args.after)
    return behaviour


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="metasim_unity.peer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mlagents-port", type=int, help="port that metasim listens on")
    parser.add_argument("-batchmode", action="store_true", help="as for Unity; without effect")
    parser.add_argument("-logFile", default="-", help="as for Unity; without effect")
    parser.add_argument(
        "--engine", default="tabletop", help="tabletop, glyphs, or module:Class of a renderer"
    )
    parser.add_argument("--rows", choices=["bottom-up", "top-down"], default="bottom-up")
    parser.add_argument("--scenes", type=int, default=64, help="of a frame of an answer, at most")
    parser.add_argument("--replay", action="store_true", help="draw once, send it again and again")
    observed = parser.add_argument_group("as a build without metasim's package")
    observed.add_argument(
        "--observe", choices=["png", "floats"], help="what the camera sensor sends"
    )
    observed.add_argument("--size", type=int, default=64, help="side of its images")
    observed.add_argument("--layout", choices=["hwc", "chw"], default="hwc")
    observed.add_argument("--late", type=int, default=0, help="messages that frames lag behind")
    faults = parser.add_argument_group("for tests")
    faults.add_argument(
        "--fault",
        choices=["absent", "deaf", "idle", "late", "version", *FAULTS],
        help="absent: never connects; deaf, idle: sends only the first, the first two messages; "
        "late: each frame once more; version: of another connection; all else: of a frame",
    )
    faults.add_argument("--after", type=int, default=0, help="frames or messages before the fault")
    return parser


if __name__ == "__main__":
    sys.exit(main())
