# pyright: basic
"""The published router: a heterogeneous graph transformer over what users said, and cross-attention over candidates.

Features of the graph's nodes: query and LLM carry text embeddings, users and turns start at zero, so a new user needs
no training; a response carries its rating, min-max-normalised, in every place. arXiv 2511.08590, section 4.

Put right: the chain of turns runs forward in time (published: backward); the graph holds visible interactions only;
votes of the first user count; ties take no place among the predicted; conversations are visible or predicted as a
whole; groups of more than two are scored as groups. Kept, as it is the architecture: edges lead only into turns and
users.

Savings that leave every user's vector as it is (dropout aside, which is drawn per merged node): nodes that cannot
differ are one node (responses of one rating; turns of one query, LLM and rating after equal turns); the first layer
reads the zero features of users and turns in one place instead of 384, which LayerNorm cannot tell apart; the last
layer has only the edges into users, since nobody reads anything else; layers are computed by `graph.hgt`; and the
predictor projects every user, query and LLM once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import HGTConv

from mar.controllers.gmt.comparisons import Comparisons, Floats, Ints
from mar.controllers.gmt.graph import CHAIN, INTO_TURNS, INTO_USERS, NODES, Graph, graph_of, hgt


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSettings:
    """Shape of the network: the published settings."""

    width: int = 384  # of an embedding and of every layer
    hidden: int = 256  # of the predictor
    heads: int = 4
    dropout: float = 0.1
    multi_turn: bool = True  # a third layer, and edges from turn to turn


class Published(nn.Module):
    """The published network."""

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__()
        self.settings = s = settings
        kinds = [INTO_USERS, *INTO_TURNS, CHAIN] if s.multi_turn else [INTO_USERS, *INTO_TURNS]
        layers = 3 if s.multi_turn else 2
        every, into_users = (list(NODES), kinds), (["turn", "user"], [INTO_USERS])
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
            assert isinstance(conv, HGTConv)
            into = ("user",) if layer == len(self.convs) - 1 else ("user", "turn")
            for name, out in hgt(conv, x, graph, into).items():
                x[name] = norms.get_submodule(name)(F.dropout(out, self.settings.dropout, self.training))
        return x["user"]

    def forward(self, vectors: dict[str, Tensor], rows: dict[str, Tensor]) -> Tensor:
        """Scores (n,) of n rows.

        Args:
            vectors: Of users, queries and LLMs, under "user", "query" and "llm": each (any number, width).
            rows: Under the same names, which of them each row is about: (n,).
        """
        s, attention = self.settings, self.attention
        user, query, llm = (self.project[name](vectors[name]) for name in ("user", "query", "llm"))
        to_asking, to_rest = attention.in_proj_weight.split([s.hidden, 2 * s.hidden])
        asking_bias, rest_bias = attention.in_proj_bias.split([s.hidden, 2 * s.hidden])
        asking = F.linear(llm, to_asking, asking_bias)[rows["llm"]]
        context = F.linear(torch.cat([user, query]), to_rest, rest_bias)
        context = context[torch.stack([rows["user"], len(user) + rows["query"]], dim=1)]
        # (n, heads, 1 or 2, width of a head)
        asking, keys, values = (
            t.unflatten(2, (s.heads, -1)).transpose(1, 2) for t in (asking[:, None], *context.chunk(2, dim=2))
        )
        dropout = s.dropout if self.training else 0.0
        heard = F.scaled_dot_product_attention(asking, keys, values, dropout_p=dropout)
        joined = F.relu(torch.cat([attention.out_proj(heard.flatten(1)), llm[rows["llm"]]], dim=1))
        return self.score(F.dropout(joined, s.dropout, self.training))[:, 0]


def pair_scores(network: Published, graph: Graph, votes: Comparisons) -> tuple[Tensor, Tensor]:
    """Scores of both sides of every vote: two tensors (n,) from one pass over graph and rows."""
    names = votes.names
    asked, query = np.unique(np.concatenate([votes.query, votes.query]), return_inverse=True)
    vectors = {
        "user": network.users(graph),
        "query": torch.from_numpy(names.query_vectors[asked]),
        "llm": torch.from_numpy(names.model_vectors),
    }
    rows: dict[str, Ints] = {
        "user": np.concatenate([votes.user, votes.user]),
        "query": query,
        "llm": np.concatenate([votes.a, votes.b]),
    }
    both = network(vectors, {name: torch.from_numpy(at) for name, at in rows.items()})
    return both[: len(votes)], both[len(votes) :]


@torch.no_grad()
def predict_published(network: Published, visible: Comparisons, votes: Comparisons) -> Floats:
    """Scores (n,) by which a is expected to be preferred to b, given what is visible."""
    network.eval()
    a, b = pair_scores(network, graph_of(visible, multi_turn=network.settings.multi_turn), votes)
    return (a - b).double().numpy()
