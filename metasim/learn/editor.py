"""Scene editors: a batch of scenes in, a distribution over new attribute values out.

Letters: B scenes, N nodes, A learnable attribute names, K mixture components, F inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import RGCNConv

from metasim.learn.codec import SceneCodec
from metasim.learn.distribution import EditDistribution
from metasim.learn.initial import initial_weights
from metasim.learn.options import (
    DeterministicHead,
    Editor,
    GCNEditor,
    Head,
    MixtureHead,
    ParametricEditor,
    PriorEditor,
)
from metasim.scene.graph import Scene

__all__ = [
    "GraphEditor",
    "ParameterTable",
    "SceneEditor",
    "Unedited",
    "edit_scenes",
    "make_editor",
]


class SceneEditor(nn.Module):
    """Base of the editors: turns raw numbers for each node into a distribution.

    Subclasses implement :meth:`raw`.

    Attributes:
        edits: whether it changes anything; else there is nothing to train.
    """

    edits = True

    def __init__(self, codec: SceneCodec, head: Head) -> None:
        super().__init__()
        self.codec, self.head = codec, head
        self.components = head.components if isinstance(head, MixtureHead) else 1
        self.attributes = len(codec.attributes)
        self.min_scale = 0.0
        """Smallest deviation, in latent units; the training loop anneals it."""

    @property
    def raw_width(self) -> int:
        """Numbers needed for each node: K (1 weight, 2 A positions, A scales, A A coupling)."""
        return self.components * (1 + 3 * self.attributes + self.attributes**2)

    def raw(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """(N, raw_width) numbers, of about unit size."""
        raise NotImplementedError

    @property
    def coupled(self) -> bool:
        """Whether a node's attributes may be correlated."""
        return True

    def freeze_encoder(self) -> None:
        """Keep what the warm-up taught the encoder; only the rest goes on learning."""

    def made(self, batch: Batch, generator: torch.Generator) -> EditDistribution:
        """What becomes of a batch of scenes where nothing is tried out around it.

        That is :meth:`forward`'s, but for the deterministic head, whose spread there serves
        the estimators that learn from draws.
        """
        found: EditDistribution = self(batch, generator)
        return found.with_deviation(0.0) if isinstance(self.head, DeterministicHead) else found

    def forward(self, batch: Batch, generator: torch.Generator) -> EditDistribution:
        """The distribution over new values for a batch of scenes.

        Args:
            batch: from :meth:`SceneCodec.encode`.
            generator: draws the noise input.
        """
        name_id = batch.name_id
        mask, periodic = self.codec.mask[name_id], self.codec.periodic[name_id]
        k, a = self.components, self.attributes
        raw = self.raw(batch, generator).view(-1, k, 1 + 3 * a + a * a)
        logits, position, scale, coupling = torch.split(raw, [1, 2 * a, a, a * a], dim=-1)
        along, across = torch.split(position, a, dim=-1)
        # A circle's position is the angle of a point in the plane, so no cut has to be learned.
        angle = torch.atan2(across, along) / math.pi
        mean = torch.where(periodic.unsqueeze(1), angle, along)
        return EditDistribution(
            logits.squeeze(-1),
            mean,
            self._scale(scale, coupling.view(-1, k, a, a), mask),
            mask,
            periodic,
            batch.batch,
            len(batch.ptr) - 1,
        )

    def _scale(self, raw: Tensor, coupling: Tensor, mask: Tensor) -> Tensor:
        if isinstance(self.head, DeterministicHead):
            deviation = torch.full_like(raw, self.head.exploration)
            coupling = torch.zeros_like(coupling)
        else:
            deviation = self.min_scale + torch.exp(_between(raw, -5.0, 1.0) - 1.5)
        if not self.coupled:
            coupling = torch.zeros_like(coupling)
        both = mask.unsqueeze(-1) & mask.unsqueeze(-2)
        lower = coupling.tril(-1) * both.unsqueeze(1) * deviation.unsqueeze(-1)
        diagonal = torch.where(mask.unsqueeze(1), deviation, torch.ones_like(deviation))
        return lower + torch.diag_embed(diagonal)


def _between(raw: Tensor, low: float, high: float) -> Tensor:
    """``raw`` kept within bounds softly: beyond them the slope fades but never is zero."""
    return low + F.softplus(high - F.softplus(high - raw) - low)


class GraphEditor(SceneEditor):
    """A graph convolutional encoder and decoder with a noise input.

    Each layer has separate weights for the node itself, its parent and its children
    (relational graph convolution, Schlichtkrull et al., 2018).
    """

    def __init__(self, codec: SceneCodec, options: GCNEditor) -> None:
        super().__init__(codec, options.head)
        self.noise = options.noise
        widths = [codec.width + options.noise, *options.hidden]
        back = [*reversed(options.hidden[:-1]), self.raw_width]
        self.encoder = _layers(widths)
        self.decoder = _layers([widths[-1], *back])
        self.skip = nn.Linear(widths[0], self.raw_width)

    def freeze_encoder(self) -> None:
        """Keep the encoder as it is; the decoder goes on learning."""
        self.encoder.requires_grad_(False)

    def raw(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Message passing over the scene graph."""
        noise = torch.randn(len(batch.x), self.noise, generator=generator)
        inputs = torch.cat([batch.x, noise], dim=-1)
        down = batch.edge_index
        edges = torch.cat([down, down.flip(0)], dim=1)
        relation = torch.zeros(edges.shape[1], dtype=torch.long)
        relation[down.shape[1] :] = 1
        hidden = inputs
        for layer in self.encoder:
            hidden = torch.relu(layer(hidden, edges, relation))
        for layer in self.decoder[:-1]:
            hidden = torch.relu(layer(hidden, edges, relation))
        out: Tensor = self.decoder[-1](hidden, edges, relation) + self.skip(inputs)
        return out


def _layers(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList(RGCNConv(a, b, num_relations=2) for a, b in pairwise(widths))


_GAIN = 30.0


class ParameterTable(SceneEditor):
    """One learned distribution for each attribute of each grammar node; sees no graph.

    An optimiser that takes steps of one size in every weight moves a network's output by many
    weights at once, a table's by one; the gain makes up for that, so that one learning rate
    suits both.
    """

    def __init__(self, codec: SceneCodec, options: ParametricEditor) -> None:
        super().__init__(codec, options.head)
        self.table = nn.Parameter(torch.randn(len(codec.names), self.raw_width) * 0.1 / _GAIN)

    @property
    def coupled(self) -> bool:
        """Attributes are independent."""
        return False

    def raw(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The row of each node's name."""
        return _GAIN * self.table[batch.name_id]


class Unedited(SceneEditor):
    """Leaves scenes as they are, and has nothing to learn."""

    edits = False

    def __init__(self, codec: SceneCodec, options: PriorEditor) -> None:
        super().__init__(codec, options.head)
        self.nothing = nn.Parameter(torch.zeros(0))  # as optimisers want some


def make_editor(codec: SceneCodec, options: Editor, seed: int) -> SceneEditor:
    """The editor that ``options`` ask for, its weights drawn from ``seed``."""
    with initial_weights(seed):
        if isinstance(options, ParametricEditor):
            return ParameterTable(codec, options)
        if isinstance(options, PriorEditor):
            return Unedited(codec, options)
        return GraphEditor(codec, options)


@torch.no_grad()
def edit_scenes(
    editor: SceneEditor, scenes: Sequence[Scene], seed: int, *, explore: bool = False
) -> list[Scene]:
    """The scenes with their learnable attributes redrawn by the editor, from ``seed``.

    Args:
        editor: as it stands.
        scenes: of the prior.
        seed: of noise input and draw.
        explore: draw around the values of a deterministic head too.
    """
    if not editor.edits:
        return list(scenes)
    codec, generator = editor.codec, torch.Generator().manual_seed(seed)
    batch = codec.encode(scenes)
    draw = (editor if explore else editor.made)(batch, generator).sample(generator)
    return codec.decode(scenes, codec.to_values(draw.latent, batch.name_id))
