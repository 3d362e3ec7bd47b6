"""Simulator-supervised features: a network that the simulator's own labels teach.

The network looks for each grammar node through an attention map of its own, then takes a
closer look through a window there (a glimpse, cut out differentiably as by Jaderberg et
al., "Spatial Transformer Networks", NeurIPS 2015), and reads that node's learnable
attributes and category from both. Its features are the layer before the readings, one
block for each node, and the readings.

Letters: B images, G looked-at grammar nodes, T reading columns, C channels, h x w cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metasim.learn.features.base import (
    CLASSES,
    READINGS,
    FeatureExtractor,
    as_float,
    centre_and_spread,
)
from metasim.learn.features.layers import block, with_place
from metasim.learn.features.lesson import Lesson, Truth

__all__ = ["SimulatorNetwork"]

_GLIMPSE, _STRIDE = 24, 8
"""Side of what is seen through a window, in samples, and what its convolutions reduce it by."""


class SimulatorNetwork(FeatureExtractor):
    """The network: a trunk of convolutions, for each node an attention map, and a closer look.

    Args:
        lesson: what there is to read.
        width: channels of the first layer of the closer look; the trunk, which has only to
            find things, has half as many.
        size: features for each node.
    """

    def __init__(self, lesson: Lesson, width: int = 16, size: int = 64) -> None:
        super().__init__()
        self.lesson, self.width, self.size = lesson, width, size
        self.names = lesson.names
        nodes, channels, first, hidden = len(self.names), 2 * width, max(1, width // 2), 2 * size
        self.trunk = nn.Sequential(
            block(3, first, 5, 2),
            block(first, width, 3, 2),
            block(width, width, 3, 1),
            block(width, channels, 3, 2),
            block(channels, channels, 3, 1),
        )
        self.attention = nn.Conv2d(channels + 2, nodes, 1)
        self.reader = nn.Parameter(torch.randn(nodes, channels + 2, size) * (channels**-0.5))
        self.bias = nn.Parameter(torch.zeros(nodes, size))
        self.closer = nn.Sequential(
            block(3, width, 5, 2),
            block(width, 2 * width, 3, 2),
            block(2 * width, 4 * width, 3, 1),
            block(4 * width, 4 * width, 3, 2),
            nn.Flatten(),
            nn.Linear(4 * width * (_GLIMPSE // _STRIDE) ** 2, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, size),
        )
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
            blocks[name + READINGS] = slice(start + columns[0], start + columns[-1] + 1)
        if self.lesson.categories:
            start += self.lesson.width
            blocks[CLASSES] = slice(start, start + len(self.lesson.categories))
        return blocks

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, G, size) and attention (B, G, h, w), which sums to 1 over the cells."""
        images = images.to(self.centre.device)
        if images.shape[-2:] != self.lesson.seen_size:
            images = F.interpolate(images, size=self.lesson.seen_size, mode="area")
        seen = with_place(self.trunk(images * 2 - 1))
        h, w = seen.shape[-2:]
        attention = self.attention(seen).flatten(2).softmax(dim=-1)
        pooled = attention @ seen.flatten(2).transpose(1, 2)
        features = torch.einsum("bgc,gcs->bgs", pooled, self.reader) + self.bias
        glimpses = self._glimpses(images, pooled[:, :, -2:])
        features = features + self.closer(glimpses * 2 - 1).view(features.shape)
        return F.silu(features), attention.view(*attention.shape[:2], h, w)

    def _glimpses(self, images: Tensor, centre: Tensor) -> Tensor:
        """What is seen around centres (B, G, 2) in [-1, 1]: (B G, 3, side, side).

        A window may reach over the image's edge, and sees the edge's pixels repeated there: so
        a node that is partly outside is seen at the same place in its window as any other. One
        as large as the image shows just the image.
        """
        half = self.lesson.shares.to(centre)
        centre = torch.where(half < 1, centre, 0.0)
        steps = torch.linspace(-1, 1, _GLIMPSE, device=centre.device)
        window = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        grid = centre[:, :, None, None] + window * half[:, None, None]
        seen = F.grid_sample(images, grid.flatten(1, 2), padding_mode="border", align_corners=True)
        split = seen.view(*seen.shape[:2], -1, _GLIMPSE, _GLIMPSE)
        return split.transpose(1, 2).flatten(0, 1)

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
    def standardise(self, images: Tensor) -> None:
        """Measure the features' mean and spread over images (B, 3, H, W), float or uint8."""
        parts = [self._plain(as_float(part))[0] for part in torch.split(images, self.chunk)]
        centre, spread = centre_and_spread(torch.cat(parts))
        for name, columns in self.blocks.items():
            if name != CLASSES:
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

    @torch.no_grad()
    def readings(self, features: Tensor) -> dict[str, Tensor]:
        """The readings that features (B, D) from :meth:`forward` hold, in attribute units."""
        start = len(self.names) * self.size
        columns = slice(start, start + self.lesson.width)
        spread, centre = (scale[columns].to(features) for scale in (self.spread, self.centre))
        return self.lesson.values(features[:, columns] * spread + centre)

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
