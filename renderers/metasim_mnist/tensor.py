"""The same drawing in torch, for gradients; imported only when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metasim.errors import DataError, did_you_mean
from metasim_mnist.batch import PLACED, SHADED, Batch, check_values
from metasim_mnist.drawing import Ops, blend, coverage, inverse_map
from metasim_mnist.noise import normals

__all__ = ["draw_tensor"]

Overrides = Mapping[str, tuple[Tensor, Tensor]]


def draw_tensor(
    batch: Batch,
    counts: Sequence[int],
    table: npt.NDArray[np.uint32],
    reach: npt.NDArray[np.float64],
    size: tuple[int, int],
    overrides: Overrides,
) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] that gradients flow through.

    Args:
        batch: B scenes with D digits.
        counts: how many nodes each of the scenes has.
        table: the packed glyphs.
        reach: (D,) how far from its middle each digit's stroke is, in pixels at scale 1.
        size: (H, W).
        overrides: attribute name -> node rows (R,) and values (R,).

    Raises:
        DataError: when an attribute is not differentiable, a row has no such attribute, or
            a value cannot be drawn.
    """
    _check_names(overrides)
    first = np.concatenate([[0], np.cumsum(counts)])[: len(counts)].astype(np.int64)
    nodes = {
        **dict.fromkeys(PLACED, first[batch.scene] + np.array(batch.node, np.int64)),
        **dict.fromkeys(SHADED, np.where(batch.shader < 0, -1, first + batch.shader)),
    }
    given = [values for _, values in overrides.values()]
    like = torch.zeros((), dtype=torch.float32, device=given[0].device if given else None)
    if any(values.dtype == torch.float64 for values in given):
        like = like.double()
    found = {
        name: _filled(name, values, nodes[name], int(sum(counts)), overrides, like)
        for name, values in {**batch.digits, **batch.scenes}.items()
    }
    check_values({name: values.detach().cpu().numpy() for name, values in found.items()})
    canvas = _compose(batch, table, _half(reach, found), size, found)
    if batch.scenes["noise"].any() or "noise" in overrides:
        drawn = torch.from_numpy(normals(batch.seeds, size[0] * size[1])).to(like)
        canvas = canvas + drawn.view(-1, *size) * (found["noise"] * 255)[:, None, None]
    grey = torch.clamp(canvas * (1 / 255), 0.0, 1.0)
    return grey[:, None].expand(-1, 3, -1, -1)


def _check_names(overrides: Overrides) -> None:
    known = (*PLACED, *SHADED)
    for name, (rows, values) in overrides.items():
        if name not in known:
            raise DataError(
                f"the drawing is not differentiable in {name!r}; {did_you_mean(name, known)}"
            )
        if rows.shape != values.shape or rows.ndim != 1:
            raise DataError(
                f"rows and values of {name!r} must be of one length, "
                f"got shapes {tuple(rows.shape)} and {tuple(values.shape)}"
            )


def _filled(
    name: str,
    values: npt.NDArray[np.float64],
    nodes: npt.NDArray[np.int64],
    total: int,
    overrides: Overrides,
    like: Tensor,
) -> Tensor:
    """The scenes' own ``values`` (n,), of the node rows ``nodes`` (n,), overrides put in."""
    filled = torch.from_numpy(values).to(like)
    if name not in overrides:
        return filled
    rows, given = overrides[name]
    # One entry more than there are nodes takes the rows (-1) of scenes without the node.
    place = np.full(total + 1, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    place[-1] = -1
    asked = rows.detach().cpu().numpy()
    inside = (asked >= 0) & (asked < total)
    at = place[np.where(inside, asked, total)]
    if (at < 0).any():
        raise DataError(
            f"every row of {name!r} must be that of a node which has it, among the {total} "
            f"nodes of the batch; got row {int(asked[at < 0][0])}"
        )
    return filled.index_put((torch.from_numpy(at).to(like.device),), given.to(like))


def _half(reach: npt.NDArray[np.float64], found: Mapping[str, Tensor]) -> int:
    """Pixels on each side of a digit's own that its window needs."""
    scale, shear = (found[name].detach().cpu().numpy() for name in ("scale", "shear"))
    return math.ceil(float((reach * scale * (1 + np.abs(shear))).max(initial=0.0)) + 0.5)


def _compose(
    batch: Batch,
    table: npt.NDArray[np.uint32],
    half: int,
    size: tuple[int, int],
    found: Mapping[str, Tensor],
) -> Tensor:
    """Grey values (B, H, W), 0 to 255, neither clipped nor with noise."""
    (height, width), level = size, found["level"]
    device, side = level.device, 2 * half + 1
    across = torch.arange(-half, half + 1, device=device)
    column, row = torch.floor(found["x"].detach()), torch.floor(found["y"].detach())
    yaw = found["yaw"] * (math.pi / 180)
    affine = inverse_map(
        torch.cos(yaw),
        torch.sin(yaw),
        found["scale"],
        found["shear"],
        column + 0.5 - found["x"],
        row + 0.5 - found["y"],
    )
    exemplar = torch.from_numpy(batch.exemplar).to(device)
    bytes_of = torch.from_numpy(table.view(np.uint8).reshape(-1, 4)).to(device)
    cover = coverage(_ops(level.dtype), bytes_of, exemplar, affine, across.to(level))
    rows = (row.clamp(-side, height + side).long()[:, None] + across)[:, :, None]
    columns = (column.clamp(-side, width + side).long()[:, None] + across)[:, None, :]
    image = torch.from_numpy(batch.scene).to(device)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # What falls outside goes to one spare element at the end, which is cut off.
    spare = len(level) * height * width
    at = torch.where(inside, (image[:, None, None] * height + rows) * width + columns, spare)
    ground = level * 255
    canvas = ground[:, None].expand(-1, height * width).reshape(-1)
    canvas = torch.cat([canvas, canvas.new_zeros(1)])
    for layer in range(int(batch.layer.max(initial=-1)) + 1):
        here = torch.from_numpy(np.flatnonzero(batch.layer == layer)).to(device)
        index = at[here]
        under = ground[image[here]] if layer == 0 else canvas.gather(0, index.view(-1))
        under = under.view(len(here), 1, 1) if layer == 0 else under.view_as(index)
        drawn = blend(under, found["intensity"][here][:, None, None], cover[here])
        canvas = canvas.scatter(0, index.view(-1), drawn.view(-1))
    return canvas[:-1].view(-1, height, width)


def _ops(dtype: torch.dtype) -> Ops:
    def taps(table: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        found = table.index_select(0, index.view(-1)).to(dtype)
        return found.view(*index.shape, 4).unbind(-1)

    return Ops(clip=torch.clamp, floor=torch.floor, whole=lambda a: a.long(), taps=taps)  # type: ignore[arg-type]
