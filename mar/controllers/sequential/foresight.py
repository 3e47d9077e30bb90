# pyright: basic
"""What an episode would be like: a tree of what is done, what may be heard then, and what is done after that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mar.controllers.base import Foreseen
from mar.controllers.belief.likelihood import (
    FAILED,
    PASSED,
    SILENT,
    UNTESTED,
    Said,
)
from mar.controllers.sequential.policy import LEAST, SequentialPolicy
from mar.types import Query, View

SELDOM = 0.02  # what is less likely is left out


def foresee(policy: SequentialPolicy, query: Query, *, steps: int = 2) -> Foreseen:
    """The first steps of an episode, nothing being run.

    Args:
        policy: Of the episode.
        query: What is asked.
        steps: Calls that are followed.
    """
    return _point(policy, query, [], "", 1.0, steps)


def _point(
    policy: SequentialPolicy, query: Query, said: Sequence[Said], heard: str, chance: float, steps: int
) -> Foreseen:
    (outlook,) = policy.planner.consider([policy.case(query, said)])
    now = outlook.now
    read = float(sum(policy.mind.habits.written[s.model] for s in said))
    best = policy.candidates(View(query=query), outlook, read)
    if not best or (said and best[0].utility <= now + LEAST):
        return Foreseen(heard=heard, chance=chance, action="settle", right=now, usd=0.0)
    first = best[0]
    readable = tuple(i for i, s in enumerate(said) if s.answer >= 0) if first.reads else ()
    call = Said(model=first.model, answer=SILENT, strategy=first.strategy, read=readable)
    then = () if not steps else tuple(_after(policy, query, said, call, steps))
    action = policy.option(first).action
    return Foreseen(heard=heard, chance=chance, action=action, right=now, usd=first.usd, then=then)


def _after(policy: SequentialPolicy, query: Query, said: Sequence[Said], call: Said, steps: int) -> list[Foreseen]:
    """What may be heard after a call, the likeliest first."""
    outcomes = _outcomes(policy.mind.beliefs.form, said, tested=bool(query.shown_tests.tests))
    futures = [[*said, Said(model=call.model, answer=a, strategy=call.strategy, read=call.read)] for a, _ in outcomes]
    likely = policy.planner.posterior([policy.case(query, s) for s in (said, *futures)]).log_likelihood()
    chances = np.exp(likely[1:] - likely[0])
    fresh = [i for i, (_, words) in enumerate(outcomes) if words.endswith("answer")]
    for i in fresh:  # it stands for every answer that nobody gave
        chances[i] = max(0.0, 1.0 - chances.sum() + chances[i])
    found = [
        _point(policy, query, future, words, float(chance), steps - 1)
        for (_, words), chance, future in zip(outcomes, chances, futures, strict=True)
        if chance >= SELDOM
    ]
    return sorted(found, key=lambda f: -(f.chance or 0.0))


def _outcomes(form: str, said: Sequence[Said], *, tested: bool) -> list[tuple[int, str]]:
    if form == "programs":
        return [(PASSED, "it passes"), (FAILED, "it fails")] if tested else [(UNTESTED, "a program or a text")]
    given = sorted({s.answer for s in said if s.answer >= 0})
    known = [(a, "it agrees" if len(given) == 1 else f"it gives answer {a + 1}") for a in given]
    return [*known, (len(given), "another answer" if given else "an answer"), (SILENT, "nothing readable")]
