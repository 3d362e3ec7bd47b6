"""What a simulator's labels teach: which nodes there are to look for, and what to read.

Letters: B images, G looked-at grammar nodes, T reading columns, h x w cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metasim.learn.codec import SceneCodec
from metasim.render.base import Label, Rendered
from metasim.scene.graph import Scene

__all__ = ["Lesson", "Truth", "make_lesson"]


@dataclass(frozen=True)
class Truth:
    """What a set of B images shows, as the network is asked to read it.

    Attributes:
        readings: (B, T), for each label cos and sin (periodic) or latent position, the
            mean over the node's instances.
        present: bool (B, G), whether the scene has the node at all and some of it is seen.
        categories: (B, G, Q), share of each category among the node's instances.
        cells: bool (B, G, h, w), the cells of the attention map that show some of it.
    """

    readings: Tensor
    present: Tensor
    categories: Tensor
    cells: Tensor

    def to(self, device: torch.device) -> Truth:
        """The same on another device."""
        return Truth(*(getattr(self, field.name).to(device) for field in fields(self)))

    def __getitem__(self, rows: Tensor) -> Truth:
        """The truth of some images."""
        return Truth(
            self.readings[rows], self.present[rows], self.categories[rows], self.cells[rows]
        )


_LARGEST = 96
_STRIDE = 8
_DENSE = 1024  # instance ids up to here index a table as they are
_QUANTILE, _AROUND = 0.9, 1.3  # a window holds nearly every instance, with some room around it


class Lesson:
    """What there is to read: which nodes, which columns, which categories.

    Args:
        codec: of the grammar.
        categories: the Q names that instances may have.
        image_size: (H, W) of the renders.
        windows: for each node that shows in masks, the side of the window to look at it
            through, in pixels; others (lights, the ground) cannot be looked for there.
            All of them, through a window on the whole image, unless given.
    """

    def __init__(
        self,
        codec: SceneCodec,
        categories: Sequence[str],
        image_size: tuple[int, int],
        windows: Mapping[str, float] | None = None,
    ) -> None:
        self.codec = codec
        self.categories = tuple(categories)
        self.image_size = image_size
        self.nodes = tuple(sorted({s for s, _ in codec.entries}))
        self.names = tuple(codec.names[s] for s in self.nodes)
        whole = float(max(image_size))
        self.windows = dict.fromkeys(self.names, whole) if windows is None else dict(windows)
        self.columns: list[tuple[int, int, bool]] = []  # (place in nodes, attribute, periodic)
        self.label_columns: list[slice] = []
        width = 0
        for s, a in codec.entries:
            periodic = bool(codec.periodic[s, a])
            self.columns.append((self.nodes.index(s), a, periodic))
            self.label_columns.append(slice(width, width + (2 if periodic else 1)))
            width += 2 if periodic else 1
        self.width = width

    @property
    def seen_size(self) -> tuple[int, int]:
        """(H, W) of what the network looks at: larger images are reduced."""
        shrink = max(1.0, max(self.image_size) / _LARGEST)
        return round(self.image_size[0] / shrink), round(self.image_size[1] / shrink)

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of the attention maps."""
        return -(-self.seen_size[0] // _STRIDE), -(-self.seen_size[1] // _STRIDE)

    @cached_property  # needed for every batch that the network looks at
    def shares(self) -> Tensor:
        """(G, 2), for each node the window's width and height as shares of the image's."""
        height, width = self.image_size
        sides = torch.tensor([self.windows.get(n, max(self.image_size)) for n in self.names])
        return (sides[:, None] / torch.tensor([width, height])).clamp(max=1.0)

    def columns_of(self, place: int) -> list[int]:
        """Reading columns of the node at ``place`` in ``nodes``."""
        return [
            c
            for (node, _, _), columns in zip(self.columns, self.label_columns, strict=True)
            if node == place
            for c in range(columns.start, columns.stop)
        ]

    def values(self, readings: Tensor) -> dict[str, Tensor]:
        """Readings (B, T) as values by label, float64 (B,), in their units and ranges."""
        codec, found = self.codec, {}
        for label, (place, a, periodic), columns in zip(
            codec.labels, self.columns, self.label_columns, strict=True
        ):
            mine = readings[:, columns].cpu()
            latent = torch.zeros(len(mine), len(codec.attributes))
            latent[:, a] = mine[:, 1].atan2(mine[:, 0]) / torch.pi if periodic else mine[:, 0]
            node = torch.full((len(mine),), self.nodes[place])
            found[label] = codec.to_values(latent, node)[:, a]
        return found

    def truth_of(
        self, scenes: Sequence[Scene], labels: Sequence[Sequence[Label]], cells: Tensor
    ) -> Truth:
        """What the renders of scenes show, from labels and the cells :meth:`cells_of` gave."""
        batch = self.codec.encode(scenes)
        latent = self.codec.to_latent(batch.value, batch.name_id)
        many = torch.zeros(len(scenes), len(self.nodes))
        for place, s in enumerate(self.nodes):
            mine = batch.batch[batch.name_id == s]
            many[:, place] = torch.bincount(mine, minlength=len(scenes)).float()
        readings = torch.zeros(len(scenes), self.width)
        for (place, a, periodic), columns in zip(self.columns, self.label_columns, strict=True):
            rows = torch.nonzero(batch.name_id == self.nodes[place]).squeeze(-1)
            value = latent[rows, a]
            angle = torch.pi * value
            encoded = torch.stack([angle.cos(), angle.sin()], 1) if periodic else value[:, None]
            total = torch.zeros(len(scenes), encoded.shape[1])
            total.index_add_(0, batch.batch[rows], encoded)
            readings[:, columns] = total / many[:, place : place + 1].clamp(min=1)
        drawn = torch.tensor([name in self.windows for name in self.names])
        present = torch.where(drawn, cells.flatten(2).any(dim=-1), many > 0)
        return Truth(readings, present, self._shares(labels), cells)

    def cells_of(self, rendered: Rendered) -> Tensor:
        """Bool (B, G, h, w), the cells that show some of each node."""
        place_of = {name: place for place, name in enumerate(self.names)}
        ranks = rendered.instances
        most = int(ranks.max(initial=0))
        ids = np.arange(min(most, _DENSE) + 1)
        if most > _DENSE:  # colours for example; their ranks index the table
            ids, ranks = np.unique(ranks, return_inverse=True)
        rank_of = {int(id_): rank for rank, id_ in enumerate(ids)}
        owner = torch.full((len(rendered), len(ids)), -1)
        for row, labels in zip(owner, rendered.labels, strict=True):
            for label in labels:
                if label.name in place_of and label.instance in rank_of:
                    row[rank_of[label.instance]] = place_of[label.name]
        ranked = torch.from_numpy(ranks).long().reshape(rendered.instances.shape)
        node = owner.gather(1, ranked.flatten(1)).view(ranked.shape)
        masks = torch.stack([node == place for place in range(len(self.names))], dim=1)
        return F.adaptive_max_pool2d(masks.float(), self.cells) > 0

    def _shares(self, labels: Sequence[Sequence[Label]]) -> Tensor:
        """(B, G, Q), share of each category among the instances of each node."""
        place_of = {name: place for place, name in enumerate(self.names)}
        category_of = {name: q for q, name in enumerate(self.categories)}
        count = torch.zeros(len(labels), len(self.names), len(self.categories))
        for b, mine in enumerate(labels):
            for label in mine:
                # Not every category need have shown up when the lesson was made.
                if label.name in place_of and label.category in category_of:
                    count[b, place_of[label.name], category_of[label.category]] += 1
        return count / count.sum(dim=-1, keepdim=True).clamp(min=1)


def make_lesson(
    codec: SceneCodec, labels: Sequence[Sequence[Label]], image_size: tuple[int, int]
) -> Lesson:
    """The lesson for a grammar, with what the labels of some renders name and show."""
    found = [label for mine in labels for label in mine]
    categories = sorted({label.category for label in found})
    windows = dict.fromkeys(sorted({label.name for label in found}), float(max(image_size)))
    for name in windows:
        sides = [side for mine in labels if (side := _side(mine, name))]
        if sides:
            windows[name] = _AROUND * float(np.quantile(sides, _QUANTILE))
    return Lesson(codec, categories, image_size, windows)


def _side(labels: Sequence[Label], name: str) -> int:
    """Longer side, in pixels, of the box around all that shows of a node; 0 for nothing."""
    boxes = [label.box for label in labels if label.name == name and any(label.box)]
    if not boxes:
        return 0
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    side: int = max(max(x1) - min(x0), max(y1) - min(y0))
    return side
