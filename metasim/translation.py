"""Folders of pictures refined: a refiner is made of two folders, or applied to one, or exported."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from metasim import __version__
from metasim.data import load_named, picture_names
from metasim.errors import DataError, Interrupted, RunError
from metasim.files import exclusive, write_atomic
from metasim.jsonlines import plain
from metasim.learn.device import resolve_device
from metasim.progress import Progress
from metasim.provenance import collect, content_digest, digest, file_digest
from metasim.refine.base import Form, Refiner
from metasim.refine.export import export_refiner
from metasim.refine.folders import Folders, read_folders
from metasim.refine.make import check_fit
from metasim.refine.measures import farther, measures, similarity
from metasim.refine.options import Paired, Refine
from metasim.refine.outputs import Outputs, outputs_for
from metasim.refine.pairs import refine_pairs
from metasim.refine.refiner import read_refiner
from metasim.refine.sampling import Domains
from metasim.refine.stage import Stage
from metasim.refine.styled import StyledRefiner
from metasim.refine.trained import TrainedRefiner
from metasim.signals import interruptible, on_signal

__all__ = ["apply", "export", "refiner_in", "translate"]

_ABOUT: Final = "refine.json"
_HIDDEN: Final = ".refine.json"  # where there is to be nothing but the pictures
_SUMMARY: Final = "summary.json"
_REFINER: Final = "refiner.pt"
_AT_ONCE: Final = 64
_FEWEST: Final = 16  # pictures of either folder, for FID and the like to mean anything


def translate(
    options: Refine,
    sim: Path,
    real: Path,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    ending: str | None = None,
    seed: int = 0,
    device: str = "auto",
    sample_every: int = 500,
    resume: bool = False,
    again: str = "the same, and resume",
    progress: Progress,
) -> dict[str, Any]:
    """Make a refiner of two folders of pictures, and refine the simulated ones with it.

    Args:
        options: of the method.
        sim: simulated pictures (see :mod:`metasim.refine.folders`); they are the content.
        real: pictures to look like; they are the style.
        out: a new or empty folder, or with ``resume`` one begun with the same.
        size: (H, W) that all pictures are brought to.
        ending: of what is written, such as ".jpg"; each picture's own unless given.
        seed: of all that is random.
        device: as in an experiment.
        sample_every: steps between two pictures of samples.
        resume: go on where it was stopped.
        again: the command that goes on with it.
        progress: told how far it is.

    Returns:
        What ``summary.json`` holds, and ``out``.

    Raises:
        DataError: when pictures or the folder cannot be used, or the method does not take them.
        RunError: when ``out`` was begun with something else.
        TrainingError: when a loss is no number any more; the last good checkpoint is kept.
        Interrupted: when the process was asked to stop; what is done is kept.
    """
    target = resolve_device(device)
    _refuse_inside(out, sim, real)
    folders = read_folders(sim, real, size=size, paired=isinstance(options, Paired))
    domains = Domains(folders.sim.images, folders.real.images, paired=isinstance(options, Paired))
    check_fit(options, domains.size, 0, target)
    outputs = Outputs(out / "outputs", out / "by-sim", ending)
    names = list(folders.test.names)
    outputs_for(outputs, names)
    about = {
        "metasim": __version__,
        "settings": options.model_dump(mode="json"),
        "seed": seed,
        "size": list(domains.size),
        "file_type": ending,
        "images": {
            name: digest(getattr(folders, name).images.tobytes())
            for name in ("sim", "real", "test")
        },
        "names": digest("\n".join(names).encode()),
    }
    with _own_folder(out, about, _ABOUT, resume=resume):
        began = time.monotonic()
        with _stopping(progress, again) as stop:
            stage = Stage(
                out,
                options,
                domains,
                Form(domains.size),
                seed=seed,
                device=target,
                progress=progress,
                sample_every=sample_every,
                stop=stop,
                again=again,
            )
            refiner = stage.carry_out()
        told = f"stopped; what was refined is kept, go on with: {again}"
        with interruptible(lambda: told):
            if isinstance(refiner, StyledRefiner):
                refine_pairs(refiner, folders, outputs, progress)
            else:
                _refine_all(refiner, folders, outputs, progress)
            measured = _measured(folders, outputs, seed)
            summary: dict[str, Any] = {
                "method": options.method,
                "images": len(names),
                "steps": stage.steps,
                "training_seconds": round(stage.seconds, 3),
                "seconds": round(time.monotonic() - began, 3),
                "problems": stage.problems + (farther(measured) if "fid" in measured else []),
                **measured,
                "provenance": collect(),
            }
            if stage.images_per_second is not None:
                summary["images_per_second"] = stage.images_per_second
            _write_json(out / _SUMMARY, summary)
    return {"out": str(out), **summary}


@contextmanager
def _stopping(progress: Progress, again: str) -> Iterator[Callable[[], bool]]:
    """Whether the process was asked to stop in the block; asked again, it stops at once."""
    asked = False

    def note() -> None:
        nonlocal asked
        if asked:
            raise Interrupted(f"stopped at once; go on with: {again}")
        asked = True
        progress.log("stopping after this step; once more to stop at once")

    with on_signal(note):
        yield lambda: asked


def apply(
    refiner: Path,
    sim: Path,
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    ending: str | None = None,
    device: str = "auto",
    resume: bool = False,
    again: str = "the same, and resume",
    progress: Progress,
) -> dict[str, Any]:
    """Refine a folder of pictures with a refiner that was made before.

    Args:
        refiner: its file, or the folder of a run or of :func:`translate` that made it.
        sim: the pictures.
        out: a new or empty folder; with ``resume``, what is there is not made again.
        size: (H, W) that pictures are brought to; it must be the refiner's.
        ending: of what is written, such as ".jpg"; each picture's own unless given.
        device: as in an experiment.
        resume: go on where it was stopped.
        again: the command that goes on with it.
        progress: told how far it is.

    Returns:
        ``out``, ``images``, ``refined`` (by this call), ``seconds`` and ``images_per_second``.

    Raises:
        DataError: when the refiner or pictures cannot be used, or it needs labels.
        RunError: when ``out`` was begun with something else.
        Interrupted: when the process was asked to stop; what is done is kept.
    """
    made = read_refiner(refiner_in(refiner), resolve_device(device))
    _refuse_conditional(made)
    _refuse_inside(out, sim)
    wanted = made.form.size
    if size is not None and size != wanted:
        raise DataError(
            f"the refiner takes pictures of {wanted[1]}x{wanted[0]} (width x height), got the size "
            f"{size[1]}x{size[0]}; give --size {wanted[1]}x{wanted[0]}"
        )
    names = picture_names(sim)
    outputs = outputs_for(Outputs(out, None, ending), names)
    about = {
        "metasim": __version__,
        "refiner": file_digest(refiner_in(refiner)),
        "file_type": ending,
        "pictures": content_digest(sim),
    }
    told = f"stopped; what was refined is kept, go on with: {again}"
    with _own_folder(out, about, _HIDDEN, resume=resume), interruptible(lambda: told):
        left = [name for name in names if not outputs.there(name)]
        progress.start("refining", len(left))
        began = time.monotonic()
        for start in range(0, len(left), _AT_ONCE):
            part = left[start : start + _AT_ONCE]
            images = load_named(sim, part, wanted, resize=size is not None)
            for name, one, image in zip(part, images, made.refine(images), strict=True):
                outputs.write(name, one, image)
            done = start + len(part)
            progress.advance(done, images_per_second=done / (time.monotonic() - began))
        progress.finish()
        seconds = time.monotonic() - began
    return {
        "out": str(out),
        "images": len(names),
        "refined": len(left),
        "seconds": round(seconds, 3),
        "images_per_second": len(left) / seconds if left else 0.0,
    }


def export(refiner: Path, file: Path) -> dict[str, Any]:
    """Write a refiner as TorchScript, with what is done to images before and after.

    Args:
        refiner: its file, or the folder of a run or of :func:`translate` that made it.
        file: a new one.

    Raises:
        DataError: when it cannot be exported, or the file exists or cannot be written.
    """
    made = read_refiner(refiner_in(refiner))
    if not isinstance(made, TrainedRefiner):
        raise DataError(
            f"{refiner} changes each image by a training of its own, which cannot be exported; "
            "export one of another method"
        )
    if file.suffix.lower() == ".onnx":
        raise DataError(
            f"refiners are written as TorchScript, got {file}; name a file such as x.pt"
        )
    if file.exists():
        raise DataError(f"{file} must be a new file, and exists; choose another or remove it")
    try:
        write_atomic(file, export_refiner(made))
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}") from None
    return {"out": str(file), "method": made.options.name, "size": list(made.form.size)}


def refiner_in(path: Path) -> Path:
    """The file of the refiner that is there, or in the folder that is there.

    Raises:
        DataError: when there is none.
    """
    if not path.is_dir():
        return path
    for found in (path / _REFINER, path / "refine" / _REFINER):
        if found.is_file():
            return found
    raise DataError(f"{path} must hold a refiner ({_REFINER}), and does not; name its file")


def _refuse_conditional(made: Refiner) -> None:
    if made.form.condition:
        raise DataError(
            f"the refiner needs {', '.join(made.form.condition)} of each image, which pictures do "
            "not have; refine what a run draws: metasim generate RUN_DIR --refined"
        )


def _refine_all(refiner: Refiner, folders: Folders, outputs: Outputs, progress: Progress) -> None:
    test = folders.test
    left = [row for row, name in enumerate(test.names) if not outputs.there(name)]
    progress.start("writing refined images", len(left))
    began = time.monotonic()
    for start in range(0, len(left), _AT_ONCE):
        rows = left[start : start + _AT_ONCE]
        refined = refiner.refine(test.images[rows])
        for row, image in zip(rows, refined, strict=True):
            outputs.write(test.names[row], test.images[row], image)
        done = start + len(rows)
        progress.advance(done, images_per_second=done / (time.monotonic() - began))
    progress.finish()


def _measured(folders: Folders, outputs: Outputs, seed: int) -> dict[str, float]:
    """How near what was written is to its renders, and to the real pictures where those suffice.

    The real ones are those that were learned from: there are no others.
    """
    test, real = folders.test, folders.real.images
    height, width = test.images.shape[1:3]
    names = [outputs.path(name).relative_to(outputs.plain).as_posix() for name in test.names]
    refined = load_named(outputs.plain, names, (height, width), resize=False)
    if min(len(test), len(real)) >= _FEWEST:
        return measures(test.images, refined, real, seed)
    try:
        return {"ssim": float(similarity(refined, test.images).mean())}
    except DataError:  # too small
        return {}


def _refuse_inside(out: Path, *folders: Path) -> None:
    """Refuse to write among pictures, where what is written would be read as some of them."""
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{out} must lie outside of {folder}, which is read; give another")


@contextmanager
def _own_folder(out: Path, about: dict[str, Any], name: str, *, resume: bool) -> Iterator[None]:
    """Write in a folder that is new, or was begun with the same; one process at a time."""
    file = out / name
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(out / ".lock"))
        except BlockingIOError as error:
            raise RunError(f"{out} is being written by {error}; wait until it ends") from None
        except OSError as error:
            raise DataError(f"{out} cannot be written: {error.strerror or error}") from None
        if file.is_file():
            _refuse_others(file, about, out, resume=resume)
        elif any(not path.name.startswith(".") for path in out.iterdir()):
            raise DataError(f"{out} must be a new or empty folder, and holds files; give another")
        else:
            _write_json(file, about)
        yield


def _refuse_others(file: Path, about: dict[str, Any], out: Path, *, resume: bool) -> None:
    if not resume:
        raise DataError(
            f"{out} holds refined images already; add --resume to go on, or give another folder"
        )
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read: {error}; give another folder") from None
    wanted = json.loads(json.dumps(about))
    before = before if isinstance(before, dict) else {}
    other = [key for key in sorted({*before, *wanted}) if before.get(key) != wanted.get(key)]
    if other:
        raise RunError(
            f"{out} was begun with other {', '.join(other)}; ask for the same, or give another "
            "folder"
        )


def _write_json(path: Path, data: dict[str, Any]) -> None:
    try:
        write_atomic(path, json.dumps(plain(data), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
