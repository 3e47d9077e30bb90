# pyright: basic
"""What an episode would be like: a tree of what is done, what may be heard then, and what is done after that."""

from __future__ import annotations

from collections.abc import Sequence

from mar.controllers.base import Foreseen
from mar.controllers.belief.likelihood import SILENT, Said
from mar.controllers.sequential.policy import LEAST, SequentialPolicy
from mar.controllers.sequential.together import worlds
from mar.types import Query, View


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
    return [
        _point(policy, query, world.said, world.words, world.chance, steps - 1)
        for world in worlds(policy.planner, policy.case(query, said), call)
    ]
