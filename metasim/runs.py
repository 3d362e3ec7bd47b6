"""The run directory: with its folder's module all that knows the files under ``results/``.

::

    <output>/<name>/<timestamp>-s<seed>/
        config.yaml  provenance.json  metrics.jsonl  evaluation.json  summary.json  report.html
        checkpoints/step-00000120.pt ...
        progress/mmd.png ...
        images/target/  images/first/  images/most_recent/  images/epoch-0005/ ...
        tensorboard/  drawn/ (until the first checkpoint)  quarantine/scene-<digest>.json
        refine/checkpoints/ ...  refine/samples/ ...  refine/refiner.pt  refine/gate.json
        round-1/ ... (where learning and refining alternate: the rounds before the last)

A run is never overwritten. Files are written by rename, so a kill or a full disk leaves
each as it was. Nothing is removed but ``drawn/``, once a checkpoint holds what came of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metasim import jsonlines
from metasim.errors import RunError
from metasim.recorded import Epoch, Evaluation, Summary
from metasim.runfolder import RunFolder, plain

__all__ = ["RunDir"]

_CHECKPOINT = re.compile(r"step-(\d{8,})\.pt")
_GRID = "grid.png"
_ROUND = "round-"


@dataclass(frozen=True, slots=True)
class RunDir(RunFolder):
    """One run on disk.

    Attributes:
        path: its directory.
    """

    @property
    def report_path(self) -> Path:
        """The report, one HTML file."""
        return self.path / "report.html"

    @property
    def summary_path(self) -> Path:
        """What came out; there once the run has ended."""
        return self.path / "summary.json"

    @property
    def metrics_path(self) -> Path:
        """The metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint_dir(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def drawn_dir(self) -> Path:
        """Where renders are kept until the first checkpoint."""
        return self.path / "drawn"

    @property
    def tensorboard_dir(self) -> Path:
        """Where TensorBoard's event files are, if they are asked for."""
        return self.path / "tensorboard"

    @property
    def refine_dir(self) -> Path:
        """What its refinement leaves: checkpoints, samples, the refiner, the gate."""
        return self.path / "refine"

    @property
    def refiner_path(self) -> Path:
        """The refiner, where the run has made one."""
        return self.refine_dir / "refiner.pt"

    @property
    def _gate_path(self) -> Path:
        return self.refine_dir / "gate.json"

    def earlier(self, number: int) -> RunDir:
        """The round ``number`` of its learning and refining, from 1; the last is the run itself."""
        return RunDir(self.path / f"{_ROUND}{number}")

    @property
    def whole(self) -> RunDir | None:
        """The run that this is a round of, where it is one."""
        here = self.path.resolve()  # "." is one, too
        above = RunDir(here.parent)
        return above if here.name.startswith(_ROUND) and above.config_path.is_file() else None

    @property
    def _provenance_path(self) -> Path:
        return self.path / "provenance.json"

    @property
    def _evaluation_path(self) -> Path:
        return self.path / "evaluation.json"

    def write_config(self, text: str) -> None:
        """Write the resolved configuration; with it the directory counts as a run."""
        self._write(self.config_path, text)

    def read_config(self) -> str:
        """The resolved configuration."""
        try:
            return self.read_config_bytes().decode()
        except UnicodeDecodeError as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from None

    def read_config_bytes(self) -> bytes:
        """The resolved configuration's file as it is."""
        try:
            return self.config_path.read_bytes()
        except OSError as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from None

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Write how the run came about (see :func:`metasim.provenance.collect`)."""
        self._write(self._provenance_path, _pretty(provenance))

    def read_provenance(self) -> dict[str, Any]:
        """How the run came about.

        Raises:
            RunError: when that is missing or damaged.
        """
        return _read_json(
            self._provenance_path,
            "every run is begun with one: bring it back, or start a new run: "
            f"metasim train {self.config_path}",
        )

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write what came out; numbers that are not finite become null."""
        self._write(self.summary_path, _pretty(summary))

    def read_summary(self) -> dict[str, Any]:
        """What came out.

        Raises:
            RunError: when there is no summary (the run has not ended), or it is damaged.
        """
        found = _read_json(self.summary_path, "has its run ended?")
        _refuse_damaged(
            self.summary_path,
            Summary.mistake(found),
            "bring it back, or remove it and have the run judged again: "
            f"metasim train --resume {self.path}",
        )
        return found

    @property
    def ended(self) -> bool:
        """Whether there is a summary, which is written last."""
        return self.summary_path.is_file()

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Write values of the attributes before, learned and of the target."""
        self._write(self._evaluation_path, _pretty(evaluation))

    def read_evaluation(self) -> dict[str, Any] | None:
        """Values of the attributes (see :meth:`write_evaluation`); None before the first.

        Raises:
            RunError: when they are damaged.
        """
        if not self._evaluation_path.is_file():
            return None
        found = _read_json(self._evaluation_path)
        advice = "bring it back, or remove it and do without its figures"
        _refuse_damaged(self._evaluation_path, Evaluation.mistake(found), advice)
        return found

    def make_refine_dir(self) -> Path:
        """Make :attr:`refine_dir`, where it is missing.

        Raises:
            RunError: when that fails.
        """
        with self._telling(self.refine_dir):
            self.refine_dir.mkdir(exist_ok=True)
        return self.refine_dir

    def write_gate(self, gate: Mapping[str, Any]) -> None:
        """Write what refined images are judged by."""
        self._write(self._gate_path, _pretty(gate))

    def read_gate(self) -> dict[str, Any] | None:
        """What refined images are judged by; None where nothing can judge them.

        Raises:
            RunError: when it is damaged.
        """
        return _read_json(self._gate_path) if self._gate_path.is_file() else None

    def write_report(self, html: str) -> None:
        """Write the report."""
        self._write(self.report_path, html)

    def write_quarantined(self, digest: str, scene: Mapping[str, Any], why: str) -> Path:
        """Write a scene that ends every process which draws it.

        Args:
            digest: of the scene, for the file's name.
            scene: as ``Scene.to_json`` gives it.
            why: what is known of it, for people.
        """
        folder = self.path / "quarantine"
        with self._telling(folder):
            folder.mkdir(exist_ok=True)
        path = folder / f"scene-{plain(digest, 'digest of a scene')}.json"
        self._write(path, _pretty({"scene": scene, "why": why}))
        return path

    # --- metrics ---------------------------------------------------------------------------

    def append_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Append one line to the metrics, whole or not at all.

        Args:
            metrics: JSON values with an integer ``step``; numbers that are not finite
                become null.

        Raises:
            RunError: when it cannot be written.
        """
        with self._telling(self.metrics_path):
            jsonlines.append(self.metrics_path, metrics)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of the metrics, in order; a last line that a kill cut off is left out.

        Raises:
            RunError: naming a line that is damaged.
        """
        with self._telling(self.metrics_path, "read"):
            lines = jsonlines.read(self.metrics_path)
        for number, line in enumerate(lines, start=1):
            place = f"{self.metrics_path}:{number}"
            _refuse_damaged(place, Epoch.mistake(line), "remove the line")
        return lines

    def truncate_metrics(self, step: int) -> int:
        """Keep only metrics up to ``step``, as a resumed run writes the rest again.

        Returns:
            How many lines are kept; each as it was, byte for byte.
        """
        with self._telling(self.metrics_path):
            return jsonlines.truncate(self.metrics_path, step)

    # --- checkpoints -----------------------------------------------------------------------

    def checkpoint_path(self, step: int) -> Path:
        """The file of the checkpoint at ``step``."""
        return self.checkpoint_dir / f"step-{step:08d}.pt"

    def checkpoints(self) -> list[Path]:
        """The checkpoints there are, newest (highest step) first."""
        if not self.checkpoint_dir.is_dir():
            return []
        found = [
            (int(match[1]), path)
            for path in self.checkpoint_dir.iterdir()
            if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_file()
        ]
        return [path for _, path in sorted(found, reverse=True)]

    def latest_checkpoint(self) -> Path | None:
        """The newest checkpoint; None where there is none."""
        return next(iter(self.checkpoints()), None)

    def write_checkpoint(self, step: int, data: bytes) -> Path:
        """Write a checkpoint beside those there are; one of the same step is replaced.

        Raises:
            RunError: when it cannot be written; the earlier checkpoints are then kept.
        """
        path = self.checkpoint_path(step)
        with self._telling(path):
            self.checkpoint_dir.mkdir(exist_ok=True)
        self._write(path, data)
        return path

    # --- figures and images ----------------------------------------------------------------

    def figure_path(self, name: str) -> Path:
        """The file of the figure called ``name``, for example "mmd"; its folder is made."""
        folder = self.path / "progress"
        with self._telling(folder):
            folder.mkdir(exist_ok=True)
        return folder / f"{plain(name, 'name of a figure')}.png"

    def write_figure(self, name: str, png: bytes) -> Path:
        """Write the figure called ``name``, replacing the one before."""
        path = self.figure_path(name)
        self._write(path, png)
        return path

    def figures(self) -> list[Path]:
        """The figures there are, by name."""
        return sorted((self.path / "progress").glob("*.png"))

    def image_dir(self, name: str) -> Path:
        """The folder of images called ``name``; it is made.

        Args:
            name: "target", "first", "most_recent" or :meth:`epoch_name`'s.
        """
        folder = self.path / "images" / plain(name, "name of a folder of images")
        with self._telling(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_grid(self, name: str, png: bytes) -> Path:
        """Write many images as one PNG file into the folder called ``name``."""
        path = self.image_dir(name) / _GRID
        self._write(path, png)
        return path

    def grids(self) -> dict[str, Path]:
        """The grids of images there are, by the names of their folders, sorted."""
        found = sorted((self.path / "images").glob(f"*/{_GRID}"))
        return {path.parent.name: path for path in found}

    @staticmethod
    def epoch_name(epoch: int) -> str:
        """The name of the folder of an epoch's images, "epoch-0005"."""
        return f"epoch-{epoch:04d}"

    def _kept(self) -> str:
        latest = self.latest_checkpoint()
        # A bare super() does not work in a dataclass with slots.
        return f"{latest.name} and all before it are" if latest else RunFolder._kept(self)


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(jsonlines.plain(value), indent=2, ensure_ascii=False) + "\n"


def _refuse_damaged(place: Path | str, wrong: str, advice: str) -> None:
    if wrong:
        raise RunError(f"{place} must hold what the run wrote, and is damaged ({wrong}); {advice}")


def _read_json(path: Path, advice: str = "bring it back") -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no {path.name}; {advice}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise RunError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data
