"""The making of a refiner in a folder, which can be stopped and gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from metasim.data.pictures import encode_png
from metasim.errors import DataError, Interrupted, RunError, TrainingError
from metasim.files import remove_temporaries, write_atomic
from metasim.learn.archive import pack, unpack
from metasim.learn.device import arithmetic, computing_on
from metasim.progress import Progress
from metasim.refine.base import Form, Refiner
from metasim.refine.belonging import belongings, differences
from metasim.refine.conditions import channels
from metasim.refine.make import make_method
from metasim.refine.options import Refine, Trained
from metasim.refine.refiner import read_state, refiner_of
from metasim.refine.samples import sheet, spread
from metasim.refine.sampling import Domains
from metasim.refine.styled import StyledRefiner, style_rows
from metasim.refine.tensors import from_tensor, to_tensor
from metasim.refine.together import together
from metasim.refine.trained import TrainedRefiner
from metasim.refine.training import Training

__all__ = ["Stage"]

_GROWTH: Final = 1.02
"""Each time between two checkpoints over the one before, as none is ever removed."""
_SHOWN: Final = 8


class Stage:
    """Makes a refiner in a folder, and goes on where it was stopped.

    Below the folder are ``checkpoints/step-NNNNNNNN.pt``, ``samples/step-NNNNNNNN.png`` (renders,
    and below them what becomes of them) and at the end ``refiner.pt``. Methods that train nothing
    have ``refiner.pt`` alone. Whoever uses the folder keeps other processes out of it.

    Args:
        folder: made where it is missing.
        options: of the method.
        domains: what it learns from.
        form: of the refiner.
        seed: of all that is random.
        device: that it is done on.
        progress: told how far it is.
        sample_every: steps between two pictures of samples.
        checkpoint_seconds: time before the first checkpoint; between later ones it grows.
        stop: asked after each step whether to stop.
        again: the command that goes on with it.

    Attributes:
        steps: that were done, those of a warm-up included.
        seconds: that they took, those before the last stop included.
        losses: their running means at the end, by name.
        problems: that were found with the training, for people.
    """

    def __init__(
        self,
        folder: Path,
        options: Refine,
        domains: Domains,
        form: Form,
        *,
        seed: int,
        device: torch.device,
        progress: Progress,
        sample_every: int = 500,
        checkpoint_seconds: float = 60.0,
        stop: Callable[[], bool] = lambda: False,
        again: str = "",
    ) -> None:
        self.folder, self.options, self.domains, self.form = folder, options, domains, form
        self.seed, self.device, self.progress = seed, device, progress
        self.sample_every, self.checkpoint_seconds = sample_every, checkpoint_seconds
        self.stop, self.again = stop, again
        self.steps, self.seconds = 0, 0.0
        self.losses: dict[str, float] = {}
        self.problems: list[str] = []

    @property
    def refiner_path(self) -> Path:
        """Where the refiner will be."""
        return self.folder / "refiner.pt"

    @property
    def images_per_second(self) -> float | None:
        """That were trained on, of each domain; None where nothing was."""
        if not isinstance(self.options, Trained) or not self.seconds:
            return None
        return self.steps * self.options.batch_size / self.seconds

    def carry_out(self) -> Refiner:
        """The refiner: made, or gone on with, or read where it is there already.

        What it ends with is the same, bit for bit, as if it had not been stopped.

        Raises:
            Interrupted: when ``stop`` said so; a checkpoint holds all that was done.
            RunError: when what is there was made of other images or with other settings, or no
                checkpoint can be read or written.
            DataError: when the method does not take these images, or weights cannot be had.
            TrainingError: when a loss is no number any more; it names the last good checkpoint.
        """
        self.belongings = belongings(self.options, self.domains, self.form, self.seed)
        self._prepare_folders()
        if (found := self._finished()) is not None:
            return found
        refiner = self._trained() if isinstance(self.options, Trained) else self._styled()
        refiner.write(self.refiner_path, self._about())
        return refiner

    # --- what is there already ---------------------------------------------------------------

    def _prepare_folders(self) -> None:
        trains = isinstance(self.options, Trained)
        folders = (self.folder, *((self._checkpoints, self._samples) if trains else ()))
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                remove_temporaries(folder)
            except OSError as error:
                raise self._unwritable(folder, error) from error

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def _samples(self) -> Path:
        return self.folder / "samples"

    def _finished(self) -> Refiner | None:
        """The refiner that was made before, or None; what there is to know of it is known then."""
        path = self.refiner_path
        if not path.is_file():
            return None
        try:
            state = read_state(path)
            made = state["made"]
            self._refuse_others(made["belongings"], path)
            self.steps, self.seconds = int(made["steps"]), float(made["seconds"])
            self.losses, self.problems = dict(made["losses"]), [*made["problems"]]
        except DataError as error:
            if not self._saved():
                raise
            self.progress.log(f"{error}; it is made again from the last checkpoint")
            return None
        except (LookupError, TypeError, ValueError) as error:
            raise RunError(
                f"{path} must tell what it was made of, but does not; remove it, or choose "
                "another folder"
            ) from error
        return refiner_of(state, path, self.device)

    def _refuse_others(self, before: Mapping[str, Any], path: Path) -> None:
        if told := differences(before, self.belongings):
            raise RunError(
                f"a refinement must go on with what it was begun with, but since {path} was "
                f"written: {'; '.join(told)}; bring that back, or begin anew in another folder"
            )

    # --- making it ------------------------------------------------------------------------------

    def _styled(self) -> StyledRefiner:
        assert not isinstance(self.options, Trained)
        real = self.domains.real
        styles = np.ascontiguousarray(real[style_rows(len(real))])
        return StyledRefiner(self.options, styles, self.form, self.seed, self.device)

    def _trained(self) -> TrainedRefiner:
        assert isinstance(self.options, Trained)
        told = channels(self.form.condition, self.form.classes)
        with computing_on(self.options.threads):
            self._arithmetic = arithmetic(self.device)
            method = make_method(self.options, self.form.size, told, self.seed)
            training = Training(method, self.domains, self.seed, self.device, self.progress)
            self._go_on(training)
            self._run(training)
        self._note(training)
        return TrainedRefiner(self.options, method, self.form, self.device)

    def _run(self, training: Training) -> None:
        before, began = self.seconds, time.monotonic()
        wait = self.checkpoint_seconds * _GROWTH ** len(self._saved())
        saved = began

        def on_step() -> None:
            nonlocal saved, wait
            self.seconds = before + time.monotonic() - began
            last = training.step == training.steps
            if training.step % self.sample_every == 0 or last:
                self._show(training)
            asked = self.stop()
            if asked or last or time.monotonic() - saved >= wait:
                _check_finite(training)  # a step may spoil weights whose losses were numbers yet
                self._save(training)
                saved, wait = time.monotonic(), wait * _GROWTH
            if asked:
                raise Interrupted(
                    f"stopped after step {training.step} of {training.steps} of the refinement, "
                    f"all of it kept; go on with: {self.again}"
                )

        try:
            with together(training):
                training.run(on_step)
        except TrainingError as error:
            good = [path.name for path in self._saved()[:1]]
            kept = f"{good[0]} is the last good checkpoint" if good else "there was no checkpoint"
            raise TrainingError(f"{error} ({kept}, in {self.folder})") from error

    def _note(self, training: Training) -> None:
        self.steps, self.losses = training.step, dict(training.means)
        self.problems = [*training.health.problems]

    def _about(self) -> dict[str, Any]:
        return {
            "belongings": self.belongings,
            "steps": self.steps,
            "seconds": self.seconds,
            "losses": self.losses,
            "problems": self.problems,
        }

    def _show(self, training: Training) -> None:
        rows = spread(len(self.domains.sim), _SHOWN)
        sim, told = self.domains.sim[rows], self.domains.condition
        condition = None if told is None else torch.from_numpy(told[rows]).to(self.device)
        with torch.no_grad():
            refined = training.method.eval().refine(to_tensor(sim, self.device), condition)
        picture = encode_png(sheet([sim, from_tensor(refined)]))
        self._write(self._samples / f"step-{training.step:08d}.png", picture)

    # --- checkpoints ----------------------------------------------------------------------------

    def _saved(self) -> list[Path]:
        """The checkpoints, the newest first."""
        return sorted(self._checkpoints.glob("step-*.pt"), reverse=True)

    def _save(self, training: Training) -> None:
        state = {
            "belongings": self.belongings,
            "seconds": self.seconds,
            "arithmetic": self._arithmetic,
            **training.state_dict(),
        }
        self._write(self._checkpoints / f"step-{training.step:08d}.pt", pack(state))

    def _go_on(self, training: Training) -> None:
        """Take what the newest checkpoint that can be read holds, where there is one."""
        damaged: list[str] = []
        for path in self._saved():
            try:
                state = unpack(path.read_bytes())
            except Exception as error:  # a damaged file can make torch's reader raise anything
                damaged.append(f"{path.name} ({type(error).__name__})")
                continue
            if damaged:
                told = ", ".join(damaged)
                self.progress.log(f"damaged and passed over: {told}; {path.name} is used")
            return self._take(training, state, path)
        if damaged:
            raise RunError(
                f"{self._checkpoints} must have a checkpoint that can be read, but all are "
                f"damaged: {', '.join(damaged)}; remove them to begin anew"
            )

    def _take(self, training: Training, state: Mapping[str, Any], path: Path) -> None:
        try:
            self._refuse_others(state["belongings"], path)
            training.load_state_dict(state)
            self.seconds, computed = float(state["seconds"]), state["arithmetic"]
        except torch.OutOfMemoryError:
            raise  # no fault of the file
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RunError(
                f"{path} must fit the settings of its refinement, but does not "
                f"({' '.join(str(error).split())[:120]}); remove it, and the one before it is used"
            ) from error
        if computed != self._arithmetic:
            self.progress.log(
                f"the refinement was computed with {computed} until here, and goes on with "
                f"{self._arithmetic}: its numbers agree with those of an uninterrupted one to "
                "rounding only"
            )

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomic(path, data)
        except OSError as error:
            raise self._unwritable(path, error) from error

    def _unwritable(self, path: Path, error: OSError) -> RunError:
        again = f" and go on with: {self.again}" if self.again else ""
        return RunError(
            f"{path} cannot be written: {error.strerror or error}; what was there is kept, mend "
            f"the cause{again}"
        )


def _check_finite(training: Training) -> None:
    for name, tensor in training.method.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise TrainingError(
                f"every weight must be a number, but after step {training.step} some of {name} are "
                "not; lower refine.learning_rate"
            )
