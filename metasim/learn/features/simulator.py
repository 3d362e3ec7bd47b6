"""Simulator-supervised features: a network that the simulator's own labels teach.

The network looks at each grammar node through an attention map of its own and reads that
node's learnable attributes and category from what it sees there. Its features are the
layer before the readings, one block for each node.

Letters: B images, G looked-at grammar nodes, T reading columns, C channels, h x w cells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.learn.codec import SceneCodec
from metasim.learn.features.base import FeatureExtractor, as_float, centre_and_spread
from metasim.render.base import Label, Rendered
from metasim.scene.graph import Scene

__all__ = ["Lesson", "SimulatorNetwork", "Truth", "make_lesson"]


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


class Lesson:
    """What there is to read: which nodes, which columns, which categories.

    Args:
        codec: of the grammar.
        categories: the Q names that instances may have.
        image_size: (H, W) of the renders.
        drawn: names of the nodes that show in masks; others (lights, the ground) cannot be
            looked for there. All of them unless given.
    """

    def __init__(
        self,
        codec: SceneCodec,
        categories: Sequence[str],
        image_size: tuple[int, int],
        drawn: Collection[str] | None = None,
    ) -> None:
        self.codec = codec
        self.categories = tuple(categories)
        self.image_size = image_size
        self.nodes = tuple(sorted({s for s, _ in codec.entries}))
        self.names = tuple(codec.names[s] for s in self.nodes)
        self.drawn = frozenset(self.names if drawn is None else drawn)
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

    def columns_of(self, place: int) -> list[int]:
        """Reading columns of the node at ``place`` in ``nodes``."""
        return [
            c
            for (node, _, _), columns in zip(self.columns, self.label_columns, strict=True)
            if node == place
            for c in range(columns.start, columns.stop)
        ]

    def truth(self, scenes: Sequence[Scene], rendered: Rendered) -> Truth:
        """What ``rendered`` shows of ``scenes``."""
        return self.truth_of(scenes, rendered.labels, self.cells_of(rendered))

    def truth_of(
        self, scenes: Sequence[Scene], labels: Sequence[Sequence[Label]], cells: Tensor
    ) -> Truth:
        """The same from the labels and from the cells that :meth:`cells_of` gave."""
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
        drawn = torch.tensor([name in self.drawn for name in self.names])
        present = torch.where(drawn, cells.flatten(2).any(dim=-1), many > 0)
        return Truth(readings, present, self._shares(labels), cells)

    def cells_of(self, rendered: Rendered) -> Tensor:
        """Bool (B, G, h, w), the cells that show some of each node."""
        place_of = {name: place for place, name in enumerate(self.names)}
        most = int(rendered.instances.max(initial=0))
        owner = torch.full((len(rendered), most + 1), -1)
        for row, labels in zip(owner, rendered.labels, strict=True):
            for label in labels:
                if label.name in place_of and label.instance <= most:
                    row[label.instance] = place_of[label.name]
        instances = torch.from_numpy(rendered.instances).long()
        node = owner.gather(1, instances.flatten(1)).view(instances.shape)
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
    """The lesson for a grammar, with what the labels of some renders name."""
    found = [label for mine in labels for label in mine]
    categories = sorted({label.category for label in found})
    return Lesson(codec, categories, image_size, {label.name for label in found})


class SimulatorNetwork(FeatureExtractor):
    """The network: a trunk of convolutions, one attention map and one reader for each node.

    Args:
        lesson: what there is to read.
        width: channels of the first layer.
        size: features for each node.
    """

    def __init__(self, lesson: Lesson, width: int = 16, size: int = 64) -> None:
        super().__init__()
        self.lesson, self.width, self.size = lesson, width, size
        self.names = lesson.names
        nodes, channels = len(self.names), 4 * width
        self.trunk = nn.Sequential(
            _block(3, width, 5, 2),
            _block(width, 2 * width, 3, 2),
            _block(2 * width, 2 * width, 3, 1),
            _block(2 * width, channels, 3, 2),
            _block(channels, channels, 3, 1),
        )
        self.attention = nn.Conv2d(channels + 2, nodes, 1)
        self.reader = nn.Parameter(torch.randn(nodes, channels + 2, size) * (channels**-0.5))
        self.bias = nn.Parameter(torch.zeros(nodes, size))
        self.heads = nn.ModuleList(
            nn.Linear(size, len(lesson.columns_of(p)) + len(lesson.categories))
            for p in range(nodes)
        )
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(nodes * size + lesson.width))
        self.register_buffer("spread", torch.ones(nodes * size + lesson.width))

    @property
    def blocks(self) -> dict[str, slice]:
        """For each node its own features and its readings; then the category probabilities."""
        blocks = {n: slice(i * self.size, (i + 1) * self.size) for i, n in enumerate(self.names)}
        start = len(self.names) * self.size
        for place, name in enumerate(self.names):
            columns = self.lesson.columns_of(place)
            blocks[f"{name} readings"] = slice(start + columns[0], start + columns[-1] + 1)
        if self.lesson.categories:
            start += self.lesson.width
            blocks["classes"] = slice(start, start + len(self.lesson.categories))
        return blocks

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, G, size) and attention (B, G, h, w), which sums to 1 over the cells."""
        images = images.to(self.centre.device)
        if images.shape[-2:] != self.lesson.seen_size:
            images = F.interpolate(images, size=self.lesson.seen_size, mode="area")
        seen = self.trunk(images * 2 - 1)
        h, w = seen.shape[-2:]
        along, down = (torch.linspace(-1, 1, n, device=seen.device) for n in (w, h))
        place = torch.stack([along.expand(h, w), down[:, None].expand(h, w)])
        place = place.expand(len(seen), -1, -1, -1)
        seen = torch.cat([seen, place], dim=1)
        attention = self.attention(seen).flatten(2).softmax(dim=-1)
        pooled = attention @ seen.flatten(2).transpose(1, 2)
        features = torch.einsum("bgc,gcs->bgs", pooled, self.reader) + self.bias
        return F.silu(features), attention.view(*attention.shape[:2], h, w)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D), standardised by their spread over the wide renders.

        A node's own features and its readings have a total variance of 1 each there: the
        readings say where the attributes are, the features what they leave open.
        """
        plain, classes = self._plain(images)
        out = (plain - self.centre) / self.spread
        return torch.cat([out, classes], dim=1) if self.lesson.categories else out

    def _plain(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and readings (B, G size + T), and category probabilities (B, Q)."""
        features, _ = self.look(images)
        readings, logits = self.read(features)
        return torch.cat([features.flatten(1), readings], 1), logits.softmax(-1).mean(dim=1)

    @torch.no_grad()
    def standardise(self, images: Tensor, chunk: int = 512) -> None:
        """Measure the features' mean and spread over images (B, 3, H, W), float or uint8."""
        parts = [self._plain(as_float(part))[0] for part in torch.split(images, chunk)]
        centre, spread = centre_and_spread(torch.cat(parts))
        for name, columns in self.blocks.items():
            if name != "classes":
                spread[columns] *= (columns.stop - columns.start) ** 0.5
        self.centre.copy_(centre)
        self.spread.copy_(spread)

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Readings (B, T) and category logits (B, G, Q) from features (B, G, size)."""
        readings = features.new_zeros(len(features), self.lesson.width)
        logits = []
        for place, head in enumerate(self.heads):
            columns = self.lesson.columns_of(place)
            out = head(features[:, place])
            readings[:, columns] = out[:, : len(columns)]
            logits.append(out[:, len(columns) :])
        return readings, torch.stack(logits, dim=1)

    def loss(self, images: Tensor, truth: Truth) -> Tensor:
        """Squared error of the readings, cross entropy of category and of attention."""
        features, attention = self.look(images)
        readings, logits = self.read(features)
        truth = truth.to(features.device)
        present = truth.present.float()
        weight = torch.empty_like(readings)
        for place in range(len(self.names)):
            weight[:, self.lesson.columns_of(place)] = present[:, place : place + 1]
        loss = ((readings - truth.readings).square() * weight).sum() / weight.sum().clamp(min=1)
        if self.lesson.categories:
            entropy = -(truth.categories * logits.log_softmax(-1)).sum(-1)
            loss = loss + 0.1 * (entropy * present).sum() / present.sum().clamp(min=1)
        found = (attention * truth.cells).sum(dim=(2, 3))
        there = truth.cells.flatten(2).any(dim=-1).float()
        missed = -(found.clamp(min=1e-6).log() * there)
        return loss + 0.1 * missed.sum() / there.sum().clamp(min=1)


def _block(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
