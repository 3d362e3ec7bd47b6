"""Generating labelled datasets: deterministic for each index, and resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from metasim.data.bop import BopFormat
from metasim.data.coco import CocoFormat
from metasim.data.format import Format
from metasim.data.integrity import damaged, files_of
from metasim.data.manifest import (
    IMAGES,
    LABELS,
    LOCK,
    MANIFEST,
    MARKER,
    check_own_folder,
    differences,
    make_request,
    read_json,
    read_manifest,
    to_line,
    write_manifest,
)
from metasim.data.shards import Shards
from metasim.data.writing import write_batch
from metasim.errors import DataError, RenderError, did_you_mean
from metasim.files import exclusive, remove_temporaries, replacing, sync_all, write_atomic
from metasim.provenance import file_digest
from metasim.render.ahead import in_turn
from metasim.render.base import PIXEL_BYTES, Rendered, Renderer
from metasim.render.drawing import draw
from metasim.scene.graph import Scene

__all__ = ["FORMATS", "generate_dataset"]

FORMATS: Mapping[str, type[Format]] = {each.name: each for each in (Format, CocoFormat, BopFormat)}
"""The forms labels can be written in; the native one, ``labels.jsonl``, is always there."""

_BATCH = 64  # images that are drawn at a time
_BATCH_BYTES = 256 << 20  # of their planes, at most; workers draw a second batch meanwhile


def generate_dataset(
    out: Path,
    *,
    count: int,
    seed: int,
    make_scenes: Callable[[range], Sequence[Scene]],
    renderer: Renderer,
    formats: Sequence[str] = ("coco",),
    classes: Sequence[tuple[str, str]] = (),
    manifest: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write a dataset of ``count`` labelled images into the folder ``out``.

    After a kill at any moment, the same call with ``resume`` goes on with the first
    missing batch, and the files come out as those of an uninterrupted call, bit for bit.
    A resumed dataset keeps the batch size it was begun with.

    Args:
        out: a folder that is missing or empty, or with ``resume`` one begun by an equal call.
        count: images in all, at least 1.
        seed: recorded, and compared on ``resume``.
        make_scenes: gives the scenes of a range of indices, in order. The scene of an
            index must follow from the index (and the seed) alone. Called in another thread where
            the renderer is a pool of workers.
        renderer: draws them.
        formats: of :data:`FORMATS`, besides ``labels.jsonl``.
        classes: (kind, category) of what there may be in the images, where that is known.
        manifest: what else tells how the dataset was made (versions, checkpoint, ...), as
            JSON values; recorded, and compared on ``resume``, so leave the time out. Its
            ``versions`` and ``code`` may differ where nothing is left to draw.
        batch_size: scenes made and drawn at a time; None for as many as fit into memory well, of
            large images fewer, which are kept sooner.
        resume: go on with a dataset that was begun; a finished one is left as it is.
        progress: told how many images there are so far, after every batch.
        waiting: told who is writing the folder, who is then waited for; without it that is
            an error.

    Returns:
        ``out``, ``count``, ``rendered`` (images drawn by this call) and ``files`` (by role).

    Raises:
        DataError: when the folder is not ours to write, holds another dataset, is in use,
            or cannot be written; an unfinished dataset is kept and can be resumed.
        RenderError: when the renderer raises or breaks its contract.
    """
    if batch_size is None:
        batch_size = _batch_size(renderer.image_size)
    if count < 1 or batch_size < 1:
        raise DataError(f"count and batch_size must be at least 1, got {count} and {batch_size}")
    asked = make_request(
        count=count,
        seed=seed,
        formats=_known(formats),
        image_size=renderer.image_size,
        classes=classes,
        manifest=manifest or {},
    )
    check_own_folder(out)
    wanted = [FORMATS[name](renderer) for name in asked["formats"]]
    rendered = 0
    with _locked(out, waiting):
        began_with = _begin(out, asked, batch_size, resume=resume)
        shards = Shards(out, count, began_with or batch_size)
        if began_with is not None:
            rendered = _fill(out, shards, make_scenes, renderer, wanted, progress)
            _finish(out, shards, asked, wanted)
        _clean(out, shards)
    return {"out": str(out), "count": count, "rendered": rendered, "files": _files(out, wanted)}


def _batch_size(image_size: tuple[int, int]) -> int:
    height, width = image_size
    return max(1, min(_BATCH, _BATCH_BYTES // (PIXEL_BYTES * height * width)))


def _known(formats: Sequence[str]) -> list[str]:
    for name in formats:
        if name not in FORMATS:
            raise DataError(
                f"no dataset format is called {name!r}; {did_you_mean(name, [*FORMATS])}"
            )
    return sorted(set(formats))


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Tell errors of the disk as what they are to the user."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}; every finished batch is kept, "
            "mend the cause and go on with --resume"
        ) from error


@contextmanager
def _locked(out: Path, waiting: Callable[[str], None] | None) -> Iterator[None]:
    with ExitStack() as stack:
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(exclusive(out / LOCK, waiting))
            except BlockingIOError as error:
                raise DataError(f"{out} is being written by {error}; wait until it ends") from None
        yield


def _begin(out: Path, asked: Mapping[str, Any], batch_size: int, *, resume: bool) -> int | None:
    """The batch size to go on with; None when the dataset is finished."""
    check_own_folder(out)  # again, now that nobody else can begin here
    finished = (out / MANIFEST).is_file()
    if not finished and not (out / MARKER).is_file():
        with _writing(out):
            write_atomic(out / MARKER, to_line({**asked, "batch_size": batch_size}))
        return batch_size
    if not resume:
        state = "a finished" if finished else "an unfinished"
        advice = "" if finished else "add --resume to finish it, or "
        raise DataError(f"{out} holds {state} dataset already; {advice}give another folder")
    found = read_manifest(out) if finished else read_json(out / MARKER)
    began_with = found.get("batch_size")
    if other := differences(asked, found, ignore=("code", "versions") if finished else ()):
        raise DataError(
            f"{out} holds a dataset made otherwise, which --resume cannot go on with; give "
            "another folder, or ask for the same:\n  " + "\n  ".join(other)
        )
    if finished:
        if broken := damaged(out, files_of(found)):
            shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
            raise DataError(
                f"{out} holds a finished dataset of which {len(broken)} files are missing or "
                f"damaged ({shown}); make it anew in another folder"
            )
        return None
    if not isinstance(began_with, int) or began_with < 1:
        raise DataError(f"{out / MARKER} is damaged (no batch_size); give another folder")
    return began_with


def _fill(
    out: Path,
    shards: Shards,
    make_scenes: Callable[[range], Sequence[Scene]],
    renderer: Renderer,
    formats: Sequence[Format],
    progress: Callable[[int], None] | None,
) -> int:
    """Make every batch that is missing; returns how many images that took."""
    rendered = 0
    told = progress or (lambda done: None)
    with closing(in_turn(renderer, _missing(shards, make_scenes, renderer, told))) as batches:
        for number, scenes, drawn in batches:
            batch = shards.batches[number]
            with _writing(out):
                shards.write(number, write_batch(out, batch, scenes, drawn, formats))
            rendered += len(batch)
            told(batch.stop)
    return rendered


_Drawn = tuple[int, list[Scene], Rendered]


def _missing(
    shards: Shards,
    make_scenes: Callable[[range], Sequence[Scene]],
    renderer: Renderer,
    told: Callable[[int], None],
) -> Iterator[Callable[[], _Drawn]]:
    """What draws each batch that is missing; it gives the batch's number, scenes and images."""
    for number, batch in enumerate(shards.batches):
        if shards.is_finished(number):
            told(batch.stop)
            continue
        yield partial(_draw, number, batch, make_scenes, renderer)


def _draw(
    number: int,
    batch: range,
    make_scenes: Callable[[range], Sequence[Scene]],
    renderer: Renderer,
) -> _Drawn:
    try:
        scenes = list(make_scenes(batch))  # here, since choosing them may draw
        if len(scenes) != len(batch):
            raise ValueError(f"make_scenes must give {len(batch)} scenes, got {len(scenes)}")
        return number, scenes, draw(renderer, scenes)
    except RenderError as error:
        told = RenderError(f"images {batch.start} to {batch.stop - 1}: {error}")
        told.scenes = error.scenes
        raise told from error


def _finish(out: Path, shards: Shards, asked: Mapping[str, Any], formats: Sequence[Format]) -> None:
    """Join the shards into the final files, the manifest last."""
    with _writing(out):
        with replacing(out / LABELS) as file:
            for labels in shards.labels():
                file.write((to_line(labels) + "\n").encode())
        joint = [LABELS]
        for each in formats:
            joint += each.finish(out, shards, asked["classes"])
        files = {name: file_digest(out / name) for name in joint}
        sync_all()  # once the manifest is there, the images must be too
        write_manifest(out, asked, files, shards.entries())


def _clean(out: Path, shards: Shards) -> None:
    """Remove what only an unfinished dataset needs."""
    with _writing(out):
        (out / MARKER).unlink(missing_ok=True)
        shards.remove()
        for folder, _, _ in os.walk(out):
            remove_temporaries(Path(folder))


def _files(out: Path, formats: Sequence[Format]) -> dict[str, str]:
    files = {"manifest": MANIFEST, "native": LABELS, "images": IMAGES}
    files |= {each.name: each.path for each in formats if each.path is not None}
    return {role: str(out / name) for role, name in files.items()}
