"""Routers learned from scores with holes."""

from __future__ import annotations

import numpy as np
import pytest

from mar.controllers.routers.base import Examples, Prompts
from mar.controllers.routers.pooled import Pooled


def examples(n: int, holes: float, seed: int = 0) -> tuple[Examples, np.ndarray]:
    """Two LLMs, each good where the other is not; a third is middling."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chance = np.stack([0.5 + 0.4 * vectors[:, 0], 0.5 - 0.4 * vectors[:, 0], np.full(n, 0.5)], axis=1)
    scores = (rng.random((n, 3)) < chance).astype(np.float32)
    scores[rng.random((n, 3)) < holes] = np.nan
    return Examples(vectors=vectors, scores=scores), chance


def test_it_learns_who_is_good_at_what_from_one_answer_to_each_prompt():
    train, _ = examples(1500, 2 / 3)
    test, chance = examples(300, 0.0, seed=1)
    router = Pooled()
    router.fit(train, train)
    best = router.score(Prompts(vectors=test.vectors)).argmax(axis=1)
    assert chance[np.arange(300), best].mean() > 0.66  # 0.5 + 0.4 * E|x| = 0.7 is the most; one LLM: 0.5


def test_an_llm_without_answers_is_taken_to_be_like_the_others():
    train, _ = examples(300, 0.0)
    scores = train.scores.copy()
    scores[:, 2] = np.nan
    router = Pooled()
    router.fit(Examples(vectors=train.vectors, scores=scores), train)
    expected = router.score(Prompts(vectors=train.vectors)).mean(axis=0)
    assert expected[2] == pytest.approx(np.nanmean(scores), abs=0.03)


def test_nothing_known_is_a_half():
    router = Pooled()
    nothing = Examples(vectors=np.zeros((0, 3), np.float32), scores=np.zeros((0, 2), np.float32))
    router.fit(nothing, nothing)
    assert router.score(Prompts(vectors=np.eye(3, dtype=np.float32))) == pytest.approx(np.full((3, 2), 0.5))
