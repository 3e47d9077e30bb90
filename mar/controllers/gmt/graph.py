# pyright: basic
"""The graph of visible interactions, and a layer of the graph transformer over it that makes use of its form.

Nodes: users, LLMs, queries, responses, and a virtual turn for every (user, turn of a conversation, LLM). Edges: turn
to user; query, LLM and response to turn; and, with multi_turn, each turn to the next of its conversation.

`hgt` computes what torch-geometric's HGTConv computes, from the same weights, in a quarter of the time, as a turn hears
exactly one query, LLM and response, and many turns go to few users:

- what turns hear is gathered into (turns, sources), where softmax is a row's;
- a user's attention to turns is Q_u (W_k x_t) = (W_k' Q_u) x_t, and what they hear W_v applied to the weighted mean of
  x_t, so that W_k and W_v meet a few dozen users instead of thousands of turns;
- W_k and W_v of an edge type are the node's linear map times the edge's, multiplied once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    heard = {"user": _into_users, "turn": _into_turns}
    found = dict[str, Tensor]()
    for name in into:
        out = conv.out_lin.lins[name](F.gelu(heard[name](conv, x, graph)))
        if out.shape[1] == x[name].shape[1]:
            kept = conv.skip[name].sigmoid()
            out = kept * out + (1 - kept) * x[name]
        found[name] = out
    return found


def _queries(conv: HGTConv, name: str, x: Tensor) -> Tensor:
    """What nodes ask for, shape (nodes, heads, width of a head)."""
    weight, bias = (p.chunk(3)[1] for p in (conv.kqv_lin.lins[name].weight, conv.kqv_lin.lins[name].bias))
    return F.linear(x, weight, bias).view(len(x), conv.heads, -1)


def _maps(conv: HGTConv, edge: Edge) -> tuple[Tensor, Tensor]:
    """The two linear maps along an edge, keys and values: each (heads, width of a head, 1 + features), bias first."""
    lin, place = conv.kqv_lin.lins[edge[0]], conv.edge_types_map[edge]
    node = torch.cat([lin.bias[:, None], lin.weight], dim=1)
    key, _, value = node.view(3, conv.heads, -1, node.shape[1])
    relation = [rel.weight[place :: len(conv.edge_types)].transpose(1, 2) for rel in (conv.k_rel, conv.v_rel)]
    strength = conv.p_rel["__".join(edge)].view(-1, 1, 1) / math.sqrt(key.shape[1])
    return strength * (relation[0] @ key), relation[1] @ value


def _along(map_: Tensor, x: Tensor) -> Tensor:
    """A linear map of every node, shape (nodes, heads, width of a head)."""
    flat = map_.flatten(0, 1)
    return F.linear(x, flat[:, 1:], flat[:, 0]).view(len(x), *map_.shape[:2])


def _into_turns(conv: HGTConv, x: dict[str, Tensor], graph: Graph) -> Tensor:
    """What every turn hears, shape (turns, width): each has one source of every kind, and at most one turn before."""
    asking = _queries(conv, "turn", x["turn"])
    fits, values = list[Tensor](), list[Tensor]()
    for edge in INTO_TURNS:
        key, value = (_along(m, x[edge[0]]).index_select(0, graph.edges[edge][0]) for m in _maps(conv, edge))
        fits.append((asking * key).sum(dim=2))
        values.append(value)
    chain = graph.edges.get(CHAIN)
    if chain is not None:
        before = x["turn"].index_select(0, chain[0])
        key, value = (_along(m, before) for m in _maps(conv, CHAIN))
        fit = (asking.index_select(0, chain[1]) * key).sum(dim=2)
        fits.append(torch.full_like(fits[0], -torch.inf).index_copy(0, chain[1], fit))
        weight = torch.stack(fits).softmax(dim=0)[..., None]
        heard = sum(w * v for w, v in zip(weight, values, strict=False))
        heard = heard.index_add(0, chain[1], weight[-1].index_select(0, chain[1]) * value)
    else:
        weight = torch.stack(fits).softmax(dim=0)[..., None]
        heard = sum(w * v for w, v in zip(weight, values, strict=True))
    return heard.flatten(1)


def _into_users(conv: HGTConv, x: dict[str, Tensor], graph: Graph) -> Tensor:
    """What every user hears from their turns, shape (users, width); nothing is 0."""
    key, value = _maps(conv, INTO_USERS)
    # a key's bias adds the same to all turns of a user, which softmax does not see
    asking = torch.einsum("uhd,hdi->uhi", _queries(conv, "user", x["user"]), key[:, :, 1:])
    heard = x["user"].new_zeros(len(x["user"]), conv.out_channels)
    for block in graph.blocks:
        turns = x["turn"][block.turns]
        fit = asking.index_select(0, block.users) @ turns.transpose(1, 2)
        weight = fit.masked_fill(block.padding[:, None], -torch.inf).softmax(dim=2)
        mean = torch.einsum("uhi,hdi->uhd", weight @ turns, value[:, :, 1:]) + value[:, :, 0]
        heard = heard.index_copy(0, block.users, mean.flatten(1))
    return heard
