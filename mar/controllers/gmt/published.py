# pyright: basic
"""The published router: a heterogeneous graph transformer over what users said, and cross-attention over candidates.

Nodes: users, LLMs, queries, responses, and a virtual turn for every (user, turn of a conversation, LLM). Edges: turn
to user; query, LLM and response to turn; and, with multi_turn, each turn to the next of its conversation. Features:
query and LLM carry text embeddings, users and turns start at zero, so a new user needs no training; a response
carries its rating, min-max-normalised, in every place. arXiv 2511.08590, section 4.

Put right: the chain of turns runs forward in time (published: backward); the graph holds visible interactions only;
votes of the first user count; ties take no place among the predicted; conversations are visible or predicted as a
whole; groups of more than two are scored as groups. Kept, as it is the architecture: edges lead only into turns and
users.

Three savings that leave every user's vector as it is (dropout aside, which is drawn per merged node):
nodes that cannot differ are one node (responses of one rating; turns of one query, LLM and rating after equal turns);
the first layer reads the zero features of users and turns in one place instead of 384, which LayerNorm cannot tell
apart; and the last layer has only the edges into users, since nobody reads anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import HGTConv

from mar.controllers.gmt.comparisons import Comparisons, Floats, Names

NODES: tuple[str, ...] = ("user", "llm", "query", "response", "turn")
Edge = tuple[str, str, str]
BASE_EDGES: tuple[Edge, ...] = (
    ("turn", "of", "user"),
    ("query", "asked_in", "turn"),
    ("llm", "answers_in", "turn"),
    ("response", "given_in", "turn"),
)
CHAIN: Edge = ("turn", "before", "turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSettings:
    """Shape of the network: the published settings."""

    width: int = 384  # of an embedding and of every layer
    hidden: int = 256  # of the predictor
    heads: int = 4
    dropout: float = 0.1
    multi_turn: bool = True  # a third layer, and edges from turn to turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Node features and edges by type."""

    x: dict[str, Tensor]
    edges: dict[Edge, Tensor]


def graph_of(visible: Comparisons, *, multi_turn: bool) -> Graph:
    """The graph of visible interactions; users, LLMs and queries are numbered as in `visible.names`."""
    names = visible.names
    turns = _turns(visible)
    ratings, response = np.unique(turns[:, 5], return_inverse=True)
    spread = ratings.max(initial=0.0) - ratings.min(initial=0.0)
    normalised = (ratings - ratings.min(initial=0.0)) / spread if spread else ratings
    group, place, user, llm, query = turns[:, :5].astype(np.int64).T
    before = _before(group, place, llm) if multi_turn else np.full(len(turns), -1)
    kind, first, previous = _merged(np.stack([query, llm, response], axis=1), before, place)
    number, width = np.arange(len(first)), names.query_vectors.shape[1]
    x = {
        "user": torch.zeros(len(names.users), 1),
        "llm": torch.from_numpy(names.model_vectors),
        "query": torch.from_numpy(names.query_vectors),
        "response": torch.from_numpy(np.repeat(normalised[:, None], width, axis=1).astype(np.float32)),
        "turn": torch.zeros(len(first), 1),
    }
    edges = {
        BASE_EDGES[0]: _edge(kind, user),
        BASE_EDGES[1]: _edge(query[first], number),
        BASE_EDGES[2]: _edge(llm[first], number),
        BASE_EDGES[3]: _edge(response[first], number),
    }
    if multi_turn:
        follows = previous >= 0
        edges[CHAIN] = _edge(previous[follows], number[follows])
    return Graph(x=x, edges=edges)


def _before(group: np.ndarray, place: np.ndarray, llm: np.ndarray) -> np.ndarray:
    """The row of the turn before each turn, -1 for first turns."""
    at = {key: n for n, key in enumerate(zip(group.tolist(), llm.tolist(), place.tolist(), strict=True))}
    return np.array([at.get((g, m, p - 1), -1) for g, m, p in at], dtype=np.int64)


def _merged(features: np.ndarray, before: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _edge(source: np.ndarray, target: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([source, target]))


class Published(nn.Module):
    """The published network."""

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__()
        self.settings = s = settings
        kinds = [*BASE_EDGES, CHAIN] if s.multi_turn else [*BASE_EDGES]
        layers = 3 if s.multi_turn else 2
        every, into_users = (list(NODES), kinds), (["turn", "user"], [BASE_EDGES[0]])
        zeros = {name: 1 if name in ("user", "turn") else s.width for name in NODES}
        self.convs = nn.ModuleList(
            HGTConv(s.width if layer else zeros, s.width, into_users if layer == layers - 1 else every, heads=s.heads)
            for layer in range(layers)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({name: nn.LayerNorm(s.width) for name in ("user", "turn")}) for _ in range(layers)
        )
        self.project = nn.ModuleDict({n: nn.Linear(s.width, s.hidden) for n in ("user", "query", "llm")})
        self.attention = nn.MultiheadAttention(s.hidden, s.heads, dropout=s.dropout, batch_first=True)
        self.score = nn.Linear(2 * s.hidden, 1)

    def users(self, graph: Graph) -> Tensor:
        """Every user's vector, shape (users, width)."""
        x = dict(graph.x)
        for layer, (conv, norms) in enumerate(zip(self.convs, self.norms, strict=True)):
            last = layer == len(self.convs) - 1
            nodes = ("turn", "user") if last else NODES
            edges = {BASE_EDGES[0]: graph.edges[BASE_EDGES[0]]} if last else graph.edges
            out = conv({name: x[name] for name in nodes}, edges)
            for name in ("user",) if last else ("user", "turn"):
                x[name] = norms.get_submodule(name)(F.dropout(out[name], self.settings.dropout, self.training))
        return x["user"]

    def forward(self, users: Tensor, queries: Tensor, llms: Tensor) -> Tensor:
        """Scores (n,) of n (user, query, LLM) rows of vectors."""
        user, query, llm = (self.project[name](v) for name, v in (("user", users), ("query", queries), ("llm", llms)))
        context = torch.stack([user, query], dim=1)
        heard, _ = self.attention(llm[:, None], context, context, need_weights=False)
        joined = F.relu(torch.cat([heard[:, 0], llm], dim=1))
        return self.score(F.dropout(joined, self.settings.dropout, self.training))[:, 0]


def pair_scores(network: Published, graph: Graph, votes: Comparisons) -> tuple[Tensor, Tensor]:
    """Scores of both sides of every vote: two tensors (n,) from one pass over graph and rows."""
    users = network.users(graph)
    names: Names = votes.names
    at = torch.from_numpy(np.concatenate([votes.user, votes.user]))
    query = torch.from_numpy(names.query_vectors)[np.concatenate([votes.query, votes.query])]
    llm = torch.from_numpy(names.model_vectors)[np.concatenate([votes.a, votes.b])]
    both = network(users[at], query, llm)
    return both[: len(votes)], both[len(votes) :]


@torch.no_grad()
def predict_published(network: Published, visible: Comparisons, votes: Comparisons) -> Floats:
    """Scores (n,) by which a is expected to be preferred to b, given what is visible."""
    network.eval()
    a, b = pair_scores(network, graph_of(visible, multi_turn=network.settings.multi_turn), votes)
    return (a - b).double().numpy()
