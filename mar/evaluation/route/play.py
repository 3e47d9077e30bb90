# pyright: basic
"""Runs controllers on calls that were made: what would have been answered, and what it would have cost.

The controller plans and decides as it does on a pool, and hears what the models said when they were asked. So what is
validated is what will run. Everybody answers once and has read nobody, since that is what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mar.clock import run
from mar.concurrency import gather
from mar.controllers.base import Controller, Planned, PlanSpace
from mar.controllers.sequential.calls import Asked
from mar.errors import InternalError
from mar.evaluation.recorded_task import WholeReply
from mar.evaluation.route.calls import Calls, Floats
from mar.numerics import one_thread
from mar.types import Move, Query, Said, Settle, Usage, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a controller did on some rows."""

    quality: Floats  # of the answer, (n,)
    usd: Floats  # (n,)
    calls: Floats  # (n,)

    @classmethod
    def joined(cls, parts: Sequence[Played]) -> Played:
        """The rows of all parts."""
        names = ("quality", "usd", "calls")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def rows(self, at: np.ndarray) -> Played:
        """Some of the rows, in this order."""
        return Played(quality=self.quality[at], usd=self.usd[at], calls=self.calls[at])


def play(controller: Controller, calls: Calls, space: PlanSpace) -> Played:
    """A controller on all rows; what it decides is decided on each row alone."""
    queries = [replace(q, answer_format=WholeReply(q.answer_format)) for q in calls.queries]
    with one_thread():
        planned = controller.plan(queries, space)
        if any(p.policy is not None for p in planned):
            each = zip(planned, queries, calls.asked, strict=True)
            work = [partial(_episode, p, query, calls.models, asked) for p, query, asked in each]
            episodes = run(lambda: gather(work), virtual=False)
        else:
            episodes = [_single(p, calls.models) for p in planned]
    rows, at = np.arange(len(calls)), np.array([answer for _, answer in episodes], dtype=np.int64)
    return Played(
        quality=np.where(at >= 0, calls.quality[rows, at], 0.0),
        usd=np.array([calls.usd[i, list(made)].sum() for i, (made, _) in enumerate(episodes)]),
        calls=np.array([float(len(made)) for made, _ in episodes]),
    )


def alone(calls: Calls, model: int) -> Played:
    """One model for everything."""
    return Played(quality=calls.quality[:, model], usd=calls.usd[:, model], calls=np.ones(len(calls)))


Episode = tuple[Sequence[int], int]
"""Which models were asked, and whose answer was settled on; -1: nobody's."""


def _single(planned: Planned, models: Sequence[str]) -> Episode:
    at = models.index(planned.intent.agents[0].model or "")
    return (at,), at


async def _episode(planned: Planned, query: Query, models: Sequence[str], asked: Asked) -> Episode:
    if planned.policy is None:
        return _single(planned, models)
    policy = planned.policy()
    said: list[Said] = []
    while len(said) <= len(models):
        step = await policy.next(View(query=query, said=tuple(said)))
        if isinstance(step, Settle):
            chosen = next((s for s in said if s.id in step.messages[-1:]), None)
            return _numbers(said, models), -1 if chosen is None else models.index(chosen.model or "")
        said += [_said(move, asked, models, len(said) + i) for i, move in enumerate(step)]
        if not step:
            break
    raise InternalError(f"policy {policy.name!r} does not settle")


def _numbers(said: Sequence[Said], models: Sequence[str]) -> list[int]:
    return [models.index(s.model or "") for s in said]


def _said(move: Move, asked: Asked, models: Sequence[str], place: int) -> Said:
    call = asked.calls[models.index(move.agent.model or "")]
    usage = Usage(calls=1, prompt_tokens=call.prompt_tokens, completion_tokens=call.completion_tokens)
    return Said(
        id=f"{place}/{call.model}",
        move=move,
        text=call.answer or "",
        model=call.model,
        strategy=call.strategy,
        feedback=call.feedback,
        mean_logprob=call.mean_logprob,
        usage=usage,
        latency_s=call.latency_s or 0.0,
    )
