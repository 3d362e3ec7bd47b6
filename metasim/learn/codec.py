"""Scenes to and from torch-geometric batches.

Letters: B scenes, N nodes of all scenes, E edges, F input columns, A learnable attribute
names, S grammar nodes.

Learnable values live in a *latent* space in which every range is [-1, 1]: a periodic
attribute's circle has circumference 2 there, others are clipped at the ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Batch

from metasim.scene.attribute import Attribute
from metasim.scene.grammar import SceneGrammar
from metasim.scene.graph import Scene, Value

__all__ = ["SceneCodec", "wrap"]

Floats = npt.NDArray[np.float64]


def wrap(latent: Tensor) -> Tensor:
    """Latent positions on a circle of circumference 2, brought into [-1, 1)."""
    return torch.remainder(latent + 1.0, 2.0) - 1.0


@dataclass(frozen=True)
class _Column:
    """A group of input columns, shared by all attributes written the same way."""

    name: str
    periodic: bool
    categories: tuple[Value, ...] | None

    @property
    def width(self) -> int:
        if self.categories is not None:
            return len(self.categories)
        return 2 if self.periodic else 1

    def encode(self, values: Sequence[Value], low: float, high: float) -> Floats:
        """(n, width) numbers of about unit size."""
        if self.categories is not None:
            place = {value: i for i, value in enumerate(self.categories)}
            return np.eye(len(place))[[place[value] for value in values]]
        number = np.asarray(values, dtype=np.float64)
        if low == high:  # no range is known
            return (number / (1.0 + np.abs(number)))[:, None]
        latent = (number - low) / (high - low) * 2.0 - 1.0
        if self.periodic:
            return np.stack([np.cos(np.pi * latent), np.sin(np.pi * latent)], axis=1)
        return latent[:, None]


class SceneCodec:
    """Translates the scenes of one grammar to tensors and back.

    Attributes:
        names: the grammar's node names, S of them.
        attributes: the learnable attribute names, A of them.
        labels: ``<node>.<attribute>`` of every learnable entry, in grammar order.
        entries: (node index in ``names``, attribute index) of each label.
        width: F, the number of input columns.
        mask: bool (S, A), which node has which learnable attribute.
        periodic: bool (S, A).
        low, high: float64 (S, A), the ranges in attribute units (-1 and 1 where unused).
    """

    def __init__(self, grammar: SceneGrammar) -> None:
        self.grammar = grammar
        self.names = tuple(grammar.nodes)
        self.labels = tuple(grammar.learnable)
        pairs = [tuple(label.split(".")) for label in self.labels]
        self.attributes = tuple(dict.fromkeys(attribute for _, attribute in pairs))
        self.entries = tuple(
            (self.names.index(node), self.attributes.index(attribute)) for node, attribute in pairs
        )
        shape = (len(self.names), len(self.attributes))
        self.mask = torch.zeros(shape, dtype=torch.bool)
        self.periodic = torch.zeros(shape, dtype=torch.bool)
        self.low = torch.full(shape, -1.0, dtype=torch.float64)
        self.high = torch.full(shape, 1.0, dtype=torch.float64)
        for entry, spec in zip(self.entries, grammar.learnable.values(), strict=True):
            low, high = spec.range or (-1.0, 1.0)
            self.mask[entry], self.periodic[entry] = True, spec.periodic
            self.low[entry], self.high[entry] = low, high
        self._index = {name: i for i, name in enumerate(self.names)}
        self._plan_columns()
        # For every node name: (attribute name, latent column) of what decode replaces.
        self._replaced = [
            [(self.attributes[a], a) for a in range(shape[1]) if self.mask[s, a]]
            for s in range(shape[0])
        ]

    def _plan_columns(self) -> None:
        groups: dict[_Column, int] = {}
        self._columns: list[list[tuple[str, _Column, float, float]]] = []
        for node in self.grammar.nodes.values():
            mine = []
            for name, spec in node.attributes.items():
                column = _Column(name, spec.periodic, spec.categories)
                groups.setdefault(column, 0)
                low, high = spec.range or (0.0, 0.0)
                mine.append((name, column, low, high))
            self._columns.append(mine)
        start = len(self.names)
        for column in groups:
            groups[column] = start
            start += column.width
        self._starts, self.width = groups, start
        column_of = [{name: column for name, column, _, _ in mine} for mine in self._columns]
        self._entry_starts = [groups[column_of[s][self.attributes[a]]] for s, a in self.entries]

    def encode(self, scenes: Sequence[Scene]) -> Batch:
        """The graphs of B scenes as one batch.

        Returns:
            A batch with ``x`` float32 (N, F): one-hot node name and encoded attributes;
            ``value`` float64 (N, A): learnable attributes in their units, 0 where unused;
            ``name_id`` int64 (N,): place in ``names``; ``edge_index`` (2, E), parent to
            child; ``batch`` (N,) and ``ptr`` (B + 1,) as torch-geometric has them.
        """
        nodes = [node for scene in scenes for node in scene.nodes]
        sizes = [len(scene.nodes) for scene in scenes]
        ids = np.array([self._index[node.name] for node in nodes], dtype=np.int64)
        x = np.zeros((len(nodes), self.width), dtype=np.float32)
        x[np.arange(len(nodes)), ids] = 1.0
        values = np.zeros((len(nodes), len(self.attributes)))
        for s in np.unique(ids):
            rows = np.flatnonzero(ids == s)
            mine = [nodes[row].attributes for row in rows]
            for name, column, low, high in self._columns[s]:
                start = self._starts[column]
                written = [attributes[name] for attributes in mine]
                x[rows, start : start + column.width] = column.encode(written, low, high)
            for name, a in self._replaced[s]:
                values[rows, a] = [attributes[name] for attributes in mine]
        return self._batch(scenes, sizes, x, values, ids)

    def _batch(
        self,
        scenes: Sequence[Scene],
        sizes: Sequence[int],
        x: npt.NDArray[np.float32],
        values: Floats,
        ids: npt.NDArray[np.int64],
    ) -> Batch:
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        parents = np.array([n.parent for scene in scenes for n in scene.nodes], dtype=np.int64)
        children = np.flatnonzero(parents >= 0)
        scene = np.repeat(np.arange(len(sizes)), sizes)
        edges = np.stack([parents[children] + start[scene[children]], children])
        batch = Batch(
            x=torch.from_numpy(x),
            value=torch.from_numpy(values),
            name_id=torch.from_numpy(ids),
            edge_index=torch.from_numpy(edges),
            batch=torch.from_numpy(scene),
            ptr=torch.from_numpy(start),
        )
        # What Batch.from_data_list notes too, so that a batch can be taken apart again.
        batch._num_graphs = len(sizes)
        none = torch.zeros(len(sizes), dtype=torch.int64)
        each = dict.fromkeys(("x", "value", "name_id"), batch.ptr)
        batch._slice_dict = {**each, "edge_index": batch.ptr - torch.arange(len(sizes) + 1)}
        batch._inc_dict = {**dict.fromkeys(each, none), "edge_index": batch.ptr[:-1]}
        return batch

    def replaced(self, batch: Batch, latent: Tensor) -> Tensor:
        """The inputs (N, F) with the learnable attributes at ``latent`` (N, A); differentiable."""
        inside = self.fit(latent, batch.name_id)
        angle = torch.pi * inside
        x: Tensor = batch.x.clone()
        for (s, a), start in zip(self.entries, self._entry_starts, strict=True):
            rows = torch.nonzero(batch.name_id == s).squeeze(-1)
            if self.periodic[s, a]:
                x[rows, start] = angle[rows, a].cos()
                x[rows, start + 1] = angle[rows, a].sin()
            else:
                x[rows, start] = inside[rows, a]
        return x

    def points(self, latent: Tensor, name_id: Tensor) -> Tensor:
        """Latent positions (N, A) as points (N, 2 A) in which both ends of a circle are one.

        A periodic attribute takes two columns, its cosine and sine, another one column of two.
        """
        angle = torch.pi * latent
        periodic, mask = self.periodic[name_id], self.mask[name_id]
        along = torch.where(periodic, angle.cos(), latent)
        across = torch.where(periodic, angle.sin(), 0.0)
        return torch.cat([along * mask, across * mask], dim=1)

    def to_latent(self, values: Tensor, name_id: Tensor) -> Tensor:
        """Attribute units (N, A) to latent (N, A); float64 in, float32 out."""
        low, high = self.low[name_id], self.high[name_id]
        return ((values - low) / (high - low) * 2.0 - 1.0).float()

    def to_values(self, latent: Tensor, name_id: Tensor) -> Tensor:
        """Latent (N, A) to attribute units (N, A), within the range; differentiable."""
        inside = self.fit(latent, name_id).double()
        low, high = self.low[name_id], self.high[name_id]
        # Rounding may carry the end of the range beyond itself.
        return (low + (inside + 1.0) / 2.0 * (high - low)).clamp(low, high)

    def fit(self, latent: Tensor, name_id: Tensor) -> Tensor:
        """Latent positions brought into [-1, 1]: wrapped where periodic, else clipped."""
        return torch.where(self.periodic[name_id], wrap(latent), latent.clamp(-1.0, 1.0))

    def decode(self, scenes: Sequence[Scene], values: Tensor) -> list[Scene]:
        """The scenes with their learnable attributes replaced.

        Args:
            scenes: B scenes.
            values: float64 (N, A), in attribute units; unused entries are not looked at.

        Every attribute that is not learnable stays bit for bit what it was.
        """
        rows = iter(values.tolist())
        return [
            scene.with_attributes(
                [
                    {name: row[a] for name, a in self._replaced[self._index[node.name]]}
                    for node, row in zip(scene.nodes, rows, strict=False)
                ]
            )
            for scene in scenes
        ]

    def specs(self) -> list[Attribute]:
        """The specification of every label, in the same order."""
        return list(self.grammar.learnable.values())
