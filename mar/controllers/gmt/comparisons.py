# pyright: basic
"""Votes as arrays: who preferred which of two LLMs on which query, one row per pair of answers and turn.

A group of k LLMs gives a row for each of its pairs, each of weight 1 / (k - 1), so that an answer counts as often
as it was rated. A tie is a row with target 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mar.controllers.embeddings import Encoder, Vectors
from mar.controllers.gmt.records import Group

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the numbers in the arrays stand for."""

    users: tuple[str, ...]
    models: tuple[str, ...]
    questions: tuple[str, ...]  # ids: what users were asked, over all turns
    queries: tuple[str, ...]  # unique texts
    query_vectors: Vectors  # (queries, width)
    model_vectors: Vectors  # (models, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """n votes on pairs; all arrays have length n."""

    user: Ints
    question: Ints
    query: Ints
    opening: Ints  # the conversation's first query
    turn: Ints  # place in the conversation, from 0
    a: Ints  # LLMs
    b: Ints
    target: Floats  # 1: a was preferred, 0: b, 0.5: a tie
    weight: Floats
    rating_a: Floats
    rating_b: Floats
    group: Ints  # rows of one group share its number
    names: Names

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: npt.NDArray[Any]) -> Comparisons:
        """Some of the rows: a mask or row numbers."""
        return replace(self, **{f: getattr(self, f)[keep] for f in _COLUMNS})

    @classmethod
    def joined(cls, first: Comparisons, second: Comparisons) -> Comparisons:
        """The rows of two tables over the same names; groups keep apart."""
        shifted = replace(second, group=second.group + (first.group.max(initial=-1) + 1))
        return replace(first, **{f: np.concatenate([getattr(first, f), getattr(shifted, f)]) for f in _COLUMNS})

    @property
    def decided(self) -> npt.NDArray[np.bool_]:
        """Rows that are no ties."""
        return self.rating_a != self.rating_b

    @property
    def sign(self) -> Floats:
        """+1 where a was preferred, -1 where b, 0 at a tie."""
        return np.sign(self.rating_a - self.rating_b)


_COLUMNS = tuple(f.name for f in fields(Comparisons) if f.name != "names")


def names_of(groups: Iterable[Group], encoder: Encoder) -> Names:
    """The users, LLMs and queries of some groups, with their vectors: those of the file, else the encoder's."""
    models, queries = dict[str, Sequence[float]](), dict[str, Sequence[float]]()
    users, questions = dict[str, None](), dict[str, None]()
    for group in groups:
        users[group.user] = None
        questions[group.question_id] = None
        for conversation in group.conversations:
            models.setdefault(conversation.model, conversation.model_emb)
            for exchange in conversation.conversation:
                queries.setdefault(exchange.query, exchange.query_emb)
    ordered = dict(sorted(models.items()))
    return Names(
        users=tuple(sorted(users)),
        models=tuple(ordered),
        questions=tuple(questions),
        queries=tuple(queries),
        query_vectors=_stack(queries, encoder),
        model_vectors=_stack(ordered, encoder),
    )


def _stack(known: dict[str, Sequence[float]], encoder: Encoder) -> Vectors:
    if known and all(len(v) for v in known.values()):
        return np.array(list(known.values()), dtype=np.float32)
    return encoder.encode(list(known))


def comparisons_of(groups: Sequence[Group], names: Names) -> Comparisons:
    """All pairs of all groups, in their order."""
    users = {u: i for i, u in enumerate(names.users)}
    models = {m: i for i, m in enumerate(names.models)}
    queries = {q: i for i, q in enumerate(names.queries)}
    questions = {q: i for i, q in enumerate(names.questions)}
    rows = list[tuple[float, ...]]()
    for n, g in enumerate(groups):
        k, asked, opening = len(g.conversations), questions[g.question_id], queries[g.queries[0]]
        for c, d in combinations(g.conversations, 2):
            for turn, (x, y) in enumerate(zip(c.conversation, d.conversation, strict=True)):
                whole = (users[g.user], asked, queries[x.query], opening, turn, models[c.model], models[d.model], n)
                rows.append((*whole, x.rating, y.rating, 1 / (k - 1)))
    # Each column lies together in memory, as it does after it has travelled: sums depend on that in their last bits.
    columns = np.ascontiguousarray(np.array(rows, dtype=np.float64).reshape(len(rows), 11).T)
    user, question, query, opening, turn, a, b, group = columns[:8].astype(np.int64)
    return Comparisons(
        user=user,
        question=question,
        query=query,
        opening=opening,
        turn=turn,
        a=a,
        b=b,
        target=0.5 + 0.5 * np.sign(columns[8] - columns[9]),
        weight=columns[10],
        rating_a=columns[8],
        rating_b=columns[9],
        group=group,
        names=names,
    )
