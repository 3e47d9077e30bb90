# pyright: basic
"""Grades where nobody grades: how probably each answer is right, by who agrees with whom.

The beliefs of the sequential controller are learned from calls without grades, so that relatives who agree prove less
than strangers, and popular mistakes are expected. What they say is no measurement; every figure made from it says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mar.controllers.embeddings import Encoder
from mar.controllers.sequential import Sequential, Terms
from mar.controllers.sequential.calls import Asked, evidence_of
from mar.controllers.sequential.planner import Case, Planner
from mar.evaluation.route.kinds import ALONE
from mar.learning.sequential import learn_minds
from mar.pool.cards import ModelCard
from mar.types import Domain, Query


def by_agreement(
    asked: Sequence[Asked], queries: Sequence[Query], cards: Sequence[ModelCard], domain: Domain, encoder: Encoder
) -> list[Asked]:
    """The same calls, each with the probability that its answer is right; 0 where none could be read."""
    minds = learn_minds(asked, cards, domain, encoder, strategies=ALONE)
    controller = Sequential(minds, encoder, Terms(cost_rate=0.0), domain=domain)
    vectors = torch.from_numpy(encoder.encode([a.text for a in asked]))
    found: list[Asked] = []
    for question, query, vector in zip(asked, queries, vectors, strict=True):
        mind = controller.mind(query, vector)
        said, numbered = evidence_of(question, mind.habits)
        case = Case(
            said=tuple(said),
            skill=mind.skill(vector[None])[0].numpy().astype(np.float64),
            options=question.options,
            tested=bool(query.shown_tests.tests),
        )
        (outlook,) = Planner(mind.beliefs, telling=mind.habits.telling).consider([case])
        right: list[float] = outlook.right.tolist()
        places = range(len(numbered.said)) if question.form == "programs" else numbered.said
        found.append(question.graded([right[p] if 0 <= p < len(right) else 0.0 for p in places]))
    return found
