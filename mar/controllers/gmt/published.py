# pyright: basic
"""The published router: a heterogeneous graph transformer over what users said, and cross-attention over candidates.

Nodes: users, LLMs, queries, responses, and a virtual turn for every (user, turn of a conversation, LLM). Edges: turn to
user; query, LLM and response to turn; and, with multi_turn, each turn to the next of its conversation. Features: query and
LLM carry text embeddings, users and turns start at zero, so a new user needs no training; a response carries its rating,
min-max-normalised, in every place. arXiv 2511.08590, section 4.

Put right: the chain of turns runs forward in time (published: backward); the graph holds visible interactions only; votes
of the first user count; ties take no place among the predicted; conversations are visible or predicted as a whole; groups
of more than two are scored as groups. Kept, as it is the architecture: edges lead only into turns and users.

Responses of one rating are one node: they have no incoming edges, so nodes of equal features stay equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import HGTConv

from mar.controllers.gmt.comparisons import Comparisons, Floats, Names

NODES = ("user", "llm", "query", "response", "turn")
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
    width = names.query_vectors.shape[1]
    number = np.arange(len(turns))
    x = {
        "user": torch.zeros(len(names.users), width),
        "llm": torch.from_numpy(names.model_vectors),
        "query": torch.from_numpy(names.query_vectors),
        "response": torch.from_numpy(np.repeat(normalised[:, None], width, axis=1).astype(np.float32)),
        "turn": torch.zeros(len(turns), width),
    }
    columns = turns[:, :5].astype(np.int64).T
    group, place, user, llm, query = columns
    edges = {
        BASE_EDGES[0]: _edge(number, user),
        BASE_EDGES[1]: _edge(query, number),
        BASE_EDGES[2]: _edge(llm, number),
        BASE_EDGES[3]: _edge(response, number),
    }
    if multi_turn:
        at = {(g, m, p): n for n, (g, m, p) in enumerate(zip(group, llm, place, strict=True))}
        follows = [(at[g, m, p - 1], n) for (g, m, p), n in at.items() if (g, m, p - 1) in at]
        chain = np.array(follows, dtype=np.int64).reshape(-1, 2)
        edges[CHAIN] = _edge(chain[:, 0], chain[:, 1])
    return Graph(x=x, edges=edges)


def _turns(visible: Comparisons) -> Floats:
    """Each (conversation, turn, LLM) once: group, turn, user, LLM, query, rating."""
    sides = [
        np.stack([visible.group, visible.turn, visible.user, llm, visible.query, rating], axis=1)
        for llm, rating in ((visible.a, visible.rating_a), (visible.b, visible.rating_b))
    ]
    return np.unique(np.concatenate(sides), axis=0)


def _edge(source: np.ndarray, target: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([source, target]))


class Published(nn.Module):
    """The published network."""

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__()
        self.settings = s = settings
        kinds = list(BASE_EDGES) + ([CHAIN] if s.multi_turn else [])
        metadata = (list(NODES), kinds)
        layers = 3 if s.multi_turn else 2
        self.convs = nn.ModuleList(HGTConv(s.width, s.width, metadata, heads=s.heads) for _ in range(layers))
        self.norms = nn.ModuleList(nn.ModuleDict({n: nn.LayerNorm(s.width) for n in ("user", "turn")}) for _ in range(layers))
        self.project = nn.ModuleDict({n: nn.Linear(s.width, s.hidden) for n in ("user", "query", "llm")})
        self.attention = nn.MultiheadAttention(s.hidden, s.heads, dropout=s.dropout, batch_first=True)
        self.score = nn.Linear(2 * s.hidden, 1)

    def users(self, graph: Graph) -> Tensor:
        """Every user's vector, shape (users, width)."""
        x = dict(graph.x)
        for conv, norms in zip(self.convs, self.norms, strict=True):
            out = conv(x, graph.edges)
            for name in ("user", "turn"):
                if out.get(name) is not None:
                    x[name] = norms[name](F.dropout(out[name], self.settings.dropout, self.training))
        return x["user"]

    def forward(self, users: Tensor, queries: Tensor, llms: Tensor) -> Tensor:
        """Scores (n,) of n (user, query, LLM) rows of vectors."""
        user, query, llm = (
            self.project[name](v) for name, v in (("user", users), ("query", queries), ("llm", llms))
        )
        context = torch.stack([user, query], dim=1)
        heard, _ = self.attention(llm[:, None], context, context, need_weights=False)
        joined = F.relu(torch.cat([heard[:, 0], llm], dim=1))
        return self.score(F.dropout(joined, self.settings.dropout, self.training))[:, 0]


def pair_scores(network: Published, graph: Graph, votes: Comparisons) -> tuple[Tensor, Tensor]:
    """Scores of both sides of every vote: two tensors of length n, from one pass over the graph and one over the rows."""
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
