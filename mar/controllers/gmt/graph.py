# pyright: basic
"""The graph of visible interactions, and a layer of the graph transformer over it that makes use of its form.

Nodes: users, LLMs, queries, responses, and a virtual turn for every (user, turn of a conversation, LLM). Edges: turn
to user; query, LLM and response to turn; and, with multi_turn, each turn to the next of its conversation.

`hgt` computes what torch-geometric's HGTConv computes, from the same weights, in a third of the time, as a turn hears
exactly one query, LLM and response, and many turns go to few users:

- what turns hear is gathered kind by kind, and softmax is over kinds;
- a user's attention to a turn is q . (W_k x) = (W_k' q) . x, and what is heard is W_v applied to the weighted mean of
  x, so that W_k and W_v meet a few dozen users instead of thousands of turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn import HGTConv

from mar.controllers.gmt.comparisons import Comparisons, Floats, Ints

NODES: tuple[str, ...] = ("user", "llm", "query", "response", "turn")
Edge = tuple[str, str, str]
INTO_USERS: Edge = ("turn", "of", "user")
INTO_TURNS: tuple[Edge, ...] = (  # one edge into every turn, in the turns' order
    ("query", "asked_in", "turn"),
    ("llm", "answers_in", "turn"),
    ("response", "given_in", "turn"),
)
CHAIN: Edge = ("turn", "before", "turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Users with about as many turns as each other, and their turns in rows that are padded to one length."""

    users: Tensor  # (n,)
    turns: Tensor  # (n, length)
    padding: Tensor  # (n, length), True where there is no turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Node features and edges by type."""

    x: dict[str, Tensor]
    edges: dict[Edge, Tensor]  # (2, edges): source, target
    blocks: tuple[Block, ...]  # the edges into users once more


def graph_of(visible: Comparisons, *, multi_turn: bool) -> Graph:
    """The graph of visible interactions; users and LLMs are numbered as in `visible.names`."""
    names = visible.names
    turns = _turns(visible)
    ratings, response = np.unique(turns[:, 5], return_inverse=True)
    spread = ratings.max(initial=0.0) - ratings.min(initial=0.0)
    normalised = (ratings - ratings.min(initial=0.0)) / spread if spread else ratings
    group, place, user, llm, asked = turns[:, :5].astype(np.int64).T
    asked, query = np.unique(asked, return_inverse=True)
    before = _before(group, place, llm) if multi_turn else np.full(len(turns), -1)
    kind, first, previous = _merged(np.stack([query, llm, response], axis=1), before, place)
    number, width = np.arange(len(first)), names.query_vectors.shape[1]
    x = {
        "user": torch.zeros(len(names.users), 1),
        "llm": torch.from_numpy(names.model_vectors),
        "query": torch.from_numpy(names.query_vectors[asked]),
        "response": torch.from_numpy(np.repeat(normalised[:, None], width, axis=1).astype(np.float32)),
        "turn": torch.zeros(len(first), 1),
    }
    edges = {INTO_USERS: _edge(kind, user)}
    for edge, source in zip(INTO_TURNS, (query, llm, response), strict=True):
        edges[edge] = _edge(source[first], number)
    if multi_turn:
        follows = previous >= 0
        edges[CHAIN] = _edge(previous[follows], number[follows])
    return Graph(x=x, edges=edges, blocks=_blocks(kind, user))


def _before(group: Ints, place: Ints, llm: Ints) -> Ints:
    """The row of the turn before each turn, -1 for first turns."""
    at = {key: n for n, key in enumerate(zip(group.tolist(), llm.tolist(), place.tolist(), strict=True))}
    return np.array([at.get((g, m, p - 1), -1) for g, m, p in at], dtype=np.int64)


def _merged(features: Ints, before: Ints, place: Ints) -> tuple[Ints, Ints, Ints]:
    """Turns that cannot differ as one: each turn's node, a turn of each node, and the node before each node (or -1)."""
    kind = np.full(len(features), -1)
    nodes = dict[tuple[int, ...], int]()
    first, previous = list[int](), list[int]()
    for n in np.argsort(place, kind="stable"):  # a turn's node needs that of the turn before
        earlier = int(kind[before[n]]) if before[n] >= 0 else -1
        key = (*features[n].tolist(), earlier)
        if key not in nodes:
            nodes[key] = len(nodes)
            first.append(int(n))
            previous.append(earlier)
        kind[n] = nodes[key]
    return kind, np.array(first, dtype=np.int64), np.array(previous, dtype=np.int64)


def _turns(visible: Comparisons) -> Floats:
    """Each (conversation, turn, LLM) once: group, turn, user, LLM, query, rating."""
    sides = [
        np.stack([visible.group, visible.turn, visible.user, llm, visible.query, rating], axis=1)
        for llm, rating in ((visible.a, visible.rating_a), (visible.b, visible.rating_b))
    ]
    return np.unique(np.concatenate(sides), axis=0).astype(np.float64)


def _edge(source: Ints, target: Ints) -> Tensor:
    return torch.from_numpy(np.stack([source, target]))


def _blocks(turn: Ints, user: Ints) -> tuple[Block, ...]:
    """Edges into users by user; lengths of one block differ by less than a factor of two, so padding stays small."""
    order = np.argsort(user, kind="stable")
    users, begin, count = np.unique(user[order], return_index=True, return_counts=True)
    size = np.ceil(np.log2(count)) if len(count) else count
    blocks = list[Block]()
    for rows in (np.flatnonzero(size == s) for s in np.unique(size)):
        place = np.arange(count[rows].max())
        padding = place >= count[rows, None]
        at = np.where(padding, begin[rows, None], begin[rows, None] + place)
        users_, turns = torch.from_numpy(users[rows]), torch.from_numpy(turn[order[at]])
        blocks.append(Block(users=users_, turns=turns, padding=torch.from_numpy(padding)))
    return tuple(blocks)


# A layer ------------------------------------------------------------------------------------------------------


def hgt(conv: HGTConv, x: dict[str, Tensor], graph: Graph, into: tuple[str, ...]) -> dict[str, Tensor]:
    """What `conv(x, graph.edges)` gives for some types of nodes, apart from rounding.

    Args:
        conv: The weights.
        x: Features of all nodes, by type.
        graph: What is connected.
        into: Which nodes are asked for: "user", "turn" or both.
    """
    maps, found = _Maps.of(conv), dict[str, Tensor]()
    for name in into:
        heard = _into_users(maps, x, graph) if name == "user" else _into_turns(maps, x, graph)
        out = conv.out_lin.lins[name](F.gelu(heard.flatten(1)))
        if out.shape[1] == x[name].shape[1]:
            kept = conv.skip[name].sigmoid()
            out = torch.lerp(x[name], out, kept)
        found[name] = out
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """The linear maps of a layer, every parameter taken apart once. H heads of width D; F features of a node."""

    node: dict[str, tuple[Sequence[Tensor], Sequence[Tensor]]]  # k, q, v: weights (H D, F), biases (H D,)
    key: dict[Edge, Tensor]  # (H, D, D), scaled by how much an edge's keys count
    value: dict[Edge, Tensor]  # (H, D, D)
    heads: int

    @classmethod
    def of(cls, conv: HGTConv) -> _Maps:
        width, kinds = conv.out_channels // conv.heads, len(conv.edge_types)
        lins: Any = conv.kqv_lin.lins
        key, value = (m.weight.view(conv.heads, kinds, width, width).unbind(1) for m in (conv.k_rel, conv.v_rel))
        return cls(
            node={name: (lin.weight.chunk(3), lin.bias.chunk(3)) for name, lin in lins.items()},
            key={e: k * _strength(conv, e) for e, k in zip(conv.edge_types, key, strict=True)},
            value=dict(zip(conv.edge_types, value, strict=True)),
            heads=conv.heads,
        )

    def asking(self, name: str, x: Tensor) -> Tensor:
        """What nodes ask for, shape (nodes, H, D)."""
        weight, bias = self.node[name]
        return F.linear(x, weight[1], bias[1]).unflatten(1, (self.heads, -1))

    def sent(self, edge: Edge, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values along an edge, each (nodes, H, D)."""
        weight, bias = self.node[edge[0]]
        key, value = (F.linear(x, weight[i], bias[i]).unflatten(1, (self.heads, -1)) for i in (0, 2))
        return _by_head(key, self.key[edge]), _by_head(value, self.value[edge])


def _strength(conv: HGTConv, edge: Edge) -> Tensor:
    """What an edge's keys are multiplied by, shape (H, 1, 1)."""
    return conv.p_rel["__".join(edge)].view(-1, 1, 1) / math.sqrt(conv.out_channels // conv.heads)


def _by_head(x: Tensor, maps: Tensor) -> Tensor:
    """Every head mapped by its own matrix: (n, H, D) and (H, D, E) give (n, H, E)."""
    return (x.transpose(0, 1) @ maps).transpose(0, 1)


def _into_turns(maps: _Maps, x: dict[str, Tensor], graph: Graph) -> Tensor:
    """What every turn hears, shape (turns, H, D): each has one source of every kind, and at most one turn before."""
    asking = maps.asking("turn", x["turn"])
    fits, values = list[Tensor](), list[Tensor]()
    for edge in INTO_TURNS:
        source = graph.edges[edge][0]
        key, value = (sent.index_select(0, source) for sent in maps.sent(edge, x[edge[0]]))
        fits.append((asking * key).sum(dim=2))
        values.append(value)
    chain = graph.edges.get(CHAIN)
    if chain is not None:
        before, after = chain
        key, value = maps.sent(CHAIN, x["turn"].index_select(0, before))
        fit = (asking.index_select(0, after) * key).sum(dim=2)
        fits.append(torch.full_like(fits[0], -torch.inf).index_copy(0, after, fit))
    weights = torch.stack(fits).softmax(dim=0)[..., None].unbind()
    heard = weights[0] * values[0]
    for weight, source in zip(weights[1:3], values[1:3], strict=True):
        heard = torch.addcmul(heard, weight, source)
    return heard if chain is None else heard.index_add(0, chain[1], weights[3].index_select(0, chain[1]) * value)


def _into_users(maps: _Maps, x: dict[str, Tensor], graph: Graph) -> Tensor:
    """What every user hears from their turns, shape (users, H, D); nothing is 0."""
    weight, bias = maps.node["turn"]
    to_key, to_value = (weight[i].unflatten(0, (maps.heads, -1)) for i in (0, 2))
    # the bias of keys is left out: it adds the same to all turns of a user, which softmax does not see
    asking = _by_head(_by_head(maps.asking("user", x["user"]), maps.key[INTO_USERS].mT), to_key)
    heard = x["user"].new_zeros(len(x["user"]), *to_key.shape[:2])
    for block in graph.blocks:
        turns = x["turn"][block.turns]
        fit = asking.index_select(0, block.users) @ turns.mT
        attention = fit.masked_fill(block.padding[:, None], -torch.inf).softmax(dim=2)
        value = _by_head(attention @ turns, to_value.mT) + bias[2].unflatten(0, (maps.heads, -1))
        heard = heard.index_copy(0, block.users, _by_head(value, maps.value[INTO_USERS]))
    return heard
