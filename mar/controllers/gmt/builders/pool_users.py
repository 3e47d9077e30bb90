# pyright: basic
"""Simulated users of the simulated pool: what the packaged router is trained on.

The pool's eleven LLMs have published accuracies, prices and speeds (`mar/pool/simulated/models.toml`). Questions are
those of the six benchmarks; how often an LLM solves one is the simulator's own item-response model, with difficulties
drawn from a standard normal. Users value an answer as in `builders.simulated`, by

    w . (solved, thrift, promptness, length),     |w| ~ Dirichlet(2, 0.5, 0.5, 1)

thrift: what a typical answer costs, promptness: how long it takes, both on a log scale from 0 (the worst of the pool)
to 1 (the best); length: how much an LLM writes, on the same kind of scale, which half of the users like and half
dislike. Right answers count most, since they are what people vote for; how much the rest counts differs from user to
user, and that is what there is to learn about a user. All of this is an assumption of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mar.controllers.gmt.builders.simulated import Recorded
from mar.controllers.gmt.comparisons import Floats
from mar.pool.simulated import DEFAULT
from mar.pool.simulated.catalogue import CatalogueModel, catalogue, profiles_of
from mar.pool.simulated.draws import normal
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.world import SimItem
from mar.tasks.registry import TASKS, load_task
from mar.tasks.task import subset

SHARES = (2.0, 0.5, 0.5, 1.0)  # Dirichlet
PROMPT_TOKENS, COMPLETION_TOKENS = 300, 400  # of a typical answer
QUESTIONS = 300  # of each benchmark


def pool_weights(users: int, rng: np.random.Generator) -> Floats:
    """What users care about: shares of solved, thrift, promptness and, liked or disliked, length, shape (users, 4)."""
    weights = rng.dirichlet(SHARES, users)
    weights[:, 3] *= rng.choice([-1.0, 1.0], users)
    return weights


def pool_outcomes(data: Path | None, *, questions: int = QUESTIONS, seed: int = 0) -> Recorded:
    """What the simulated pool makes of questions from six benchmarks.

    Args:
        data: Folder of raw data.
        questions: How many of each benchmark, of its training and test items.
        seed: Which ones, and of the simulator.
    """
    models = catalogue().model
    skills = Skills(profiles_of([m.name for m in models]), DEFAULT, seed)
    texts, topics, solved = list[str](), list[int](), list[list[float]]()
    for topic, name in enumerate(TASKS):
        task: Any = load_task(name, data=data)
        asked = [task.query(i) for s in ("train", "test") for i in subset(task, s, questions // 2, seed).items]
        for query in asked:
            item = SimItem(
                domain=task.domain,
                benchmark=name,
                difficulty=normal(seed, "difficulty", query.id),
                right=("right",),
                wrong=("wrong",),
                form="text",
            )
            texts.append(query.text)
            topics.append(topic)
            solved.append([skills.right(m.name, query.id, item) for m in models])
    return Recorded(
        questions=tuple(texts),
        models=tuple(m.name for m in models),
        solved=np.array(solved),
        traits=np.stack(
            [
                _least([_price(m) for m in models]),
                _least([_seconds(m) for m in models]),
                1 - _least([m.verbosity for m in models]),
            ],
            axis=1,
        ),
        topic=np.array(topics, dtype=np.int64),
    )


def _price(model: CatalogueModel) -> float:
    """USD of a million typical answers."""
    return PROMPT_TOKENS * model.price_in + COMPLETION_TOKENS * model.verbosity * model.price_out


def _seconds(model: CatalogueModel) -> float:
    """Of a typical answer by an idle server."""
    serving = model.serving
    writing = COMPLETION_TOKENS * model.verbosity * serving.tpot_base_s
    return serving.overhead_s + PROMPT_TOKENS / serving.prefill_tokens_per_s + writing


def _least(values: list[float]) -> Floats:
    """1 for the smallest, 0 for the largest, linear in the logarithm between."""
    scale = np.log(values)
    return (scale.max() - scale) / (scale.max() - scale.min())
