"""Scene editors: a batch of scenes in, a distribution over new attribute values out.

Letters: B scenes, N nodes, A learnable attribute names, K mixture components, F inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import RGCNConv

from metasim.learn.codec import SceneCodec, wrap
from metasim.learn.initial import initial_weights
from metasim.learn.options import (
    DeterministicHead,
    Editor,
    GCNEditor,
    Head,
    MixtureHead,
    ParametricEditor,
)
from metasim.scene.graph import Scene

__all__ = [
    "Edit",
    "EditDistribution",
    "GraphEditor",
    "ParameterTable",
    "SceneEditor",
    "edit_scenes",
    "make_editor",
]

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Edit:
    """A draw from an :class:`EditDistribution`.

    Attributes:
        component: int64 (N,), the mixture component of each node.
        latent: float32 (N, A), new latent positions before clipping or wrapping;
            differentiable in the distribution's parameters.
    """

    component: Tensor
    latent: Tensor


@dataclass(frozen=True)
class EditDistribution:
    """For each node a mixture of K normal distributions over its latent attributes.

    Attributes:
        logits: (N, K), unnormalised log weights.
        mean: (N, K, A).
        scale: (N, K, A, A), lower triangular; identity rows where ``mask`` is False.
        mask: bool (N, A), the entries that exist.
        periodic: bool (N, A).
        scene: int64 (N,), the scene each node belongs to.
        scenes: B.
    """

    logits: Tensor
    mean: Tensor
    scale: Tensor
    mask: Tensor
    periodic: Tensor
    scene: Tensor
    scenes: int

    def with_deviation(self, deviation: float) -> EditDistribution:
        """The same means under independent deviations of one size, in latent units."""
        eye = torch.eye(self.mask.shape[1])
        return replace(self, scale=torch.where(self.mask[:, None, :, None], deviation * eye, eye))

    def sample(self, generator: torch.Generator) -> Edit:
        """One draw for each node."""
        share = self.logits.softmax(dim=-1).cumsum(dim=-1)
        u = torch.rand(len(share), 1, generator=generator)
        component = (u > share[:, :-1].detach()).sum(dim=-1)
        noise = torch.randn(self.mask.shape, generator=generator) * self.mask
        rows = torch.arange(len(component))
        scale = self.scale[rows, component]
        latent = self.mean[rows, component] + (scale @ noise.unsqueeze(-1)).squeeze(-1)
        return Edit(component, latent)

    def log_prob(self, edit: Edit) -> Tensor:
        """Log density (B,) of the joint draw of component and latent position.

        The position is taken as given (detached): differentiating through it as well would
        cancel the score and give a gradient of exactly zero.
        """
        rows = torch.arange(len(edit.component))
        mean, scale = self.mean[rows, edit.component], self.scale[rows, edit.component]
        density = self._normal(edit.latent.detach() - mean, scale)
        return self._by_scene(density + self._log_weight(edit.component))

    def log_density(self, latent: Tensor, component: Tensor | None = None) -> Tensor:
        """Log density (B,) at positions (N, A), summed over components and nodes.

        On a circle the nearest image of each mean counts; for a deviation of a sixth of the
        circle that leaves out 0.3 % of the mass, for smaller ones less.

        Args:
            latent: the positions.
            component: int64 (N,), the components they came from, for the joint density of
                both; None where that is not known.
        """
        difference = latent.unsqueeze(1) - self.mean
        difference = torch.where(self.periodic.unsqueeze(1), wrap(difference), difference)
        density = self._normal(difference, self.scale)
        if component is not None:
            joint = density.gather(1, component.unsqueeze(1)).squeeze(1)
            return self._by_scene(joint + self._log_weight(component))
        return self._by_scene(torch.logsumexp(density + self.logits.log_softmax(dim=-1), dim=-1))

    def component_log_prob(self, edit: Edit) -> Tensor:
        """Log weight (B,) of the drawn components alone."""
        return self._by_scene(self._log_weight(edit.component))

    def _log_weight(self, component: Tensor) -> Tensor:
        """Of each node's component (N,); zero where a node has nothing to learn."""
        weight = self.logits.log_softmax(dim=-1).gather(1, component.unsqueeze(1)).squeeze(1)
        return weight * self.mask.any(dim=-1)

    def _normal(self, difference: Tensor, scale: Tensor) -> Tensor:
        mask = self.mask if difference.dim() == self.mask.dim() else self.mask.unsqueeze(1)
        difference = (difference * mask).unsqueeze(-1)
        white = torch.linalg.solve_triangular(scale, difference, upper=False).squeeze(-1)
        log_diagonal = scale.diagonal(dim1=-2, dim2=-1).log()
        density: Tensor = -0.5 * white.square() - log_diagonal - 0.5 * _LOG_2PI
        return (density * mask).sum(dim=-1)

    def _by_scene(self, per_node: Tensor) -> Tensor:
        return per_node.new_zeros(self.scenes).index_add(0, self.scene, per_node)


class SceneEditor(nn.Module):
    """Base of the editors: turns raw numbers for each node into a distribution.

    Subclasses implement :meth:`raw`.
    """

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


def make_editor(codec: SceneCodec, options: Editor, seed: int) -> SceneEditor:
    """The editor that ``options`` ask for, its weights drawn from ``seed``."""
    with initial_weights(seed):
        if isinstance(options, ParametricEditor):
            return ParameterTable(codec, options)
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
    codec, generator = editor.codec, torch.Generator().manual_seed(seed)
    batch = codec.encode(scenes)
    draw = (editor if explore else editor.made)(batch, generator).sample(generator)
    return codec.decode(scenes, codec.to_values(draw.latent, batch.name_id))
