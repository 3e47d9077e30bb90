"""From log-odds to an outcome: roles, strategies, what was read, and the draws of one call decide.

    logit = skill + role + strategy + mode + tool
            + beta_right * log(1 + R) - beta_wrong * (1 - discernment * logistic(skill)) * log(1 + W)
            + gain_failed [tests failed]  - loss_blind [a revision without feedback or peers]
    knows the answer  <=>  luck < logistic(logit)

What a tool's result is worth (`author`) is part of the skill that comes here. R and W are the weights of the right and
wrong messages read that others wrote; right is what those who know give (see
`mistakes`). A revision shares the luck of the message that it revises (with probability keep_luck), so it changes its
mind only as far as the log-odds move: a monotone coupling, under which effects of zero leave every outcome as it was.
Who does not know takes over a wrong answer that was read, or makes a mistake of its own, and a guess may be right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mar.pool.simulated.assumptions import Assumptions
from mar.pool.simulated.draws import Draws
from mar.pool.simulated.logits import logistic
from mar.pool.simulated.memory import Remembered
from mar.pool.simulated.skill import Mind
from mar.pool.simulated.world import SimItem
from mar.types import CallContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Whether a call's message is right, and which answer it gives."""

    knew: bool
    correct: bool  # also by a guess
    answer: int  # position in the item's right or wrong answers; -1: none is given
    luck: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a call reads, sorted by whose it is."""

    own: Remembered | None  # the agent's latest earlier message
    peers: tuple[Remembered, ...]
    latest: Remembered | None  # the last of all messages read: the one that feedback is about

    @classmethod
    def of(cls, context: CallContext, messages: Sequence[Remembered]) -> Reading:
        """Sort the messages read by one call."""
        mine = [m for m in messages if m.index == context.index and context.kind != "decider"]
        peers = tuple(m for m in messages if m.index != context.index or context.kind == "decider")
        return cls(own=mine[-1] if mine else None, peers=peers, latest=messages[-1] if messages else None)


def decide(
    item: SimItem, mind: Mind, context: CallContext, reading: Reading, draws: Draws, model: str, rules: Assumptions
) -> Outcome:
    """The outcome of one call to `model`; `item` is as those who know see it."""
    luck = _luck(context, reading, draws, model, rules)
    if luck < chance(item, mind.skill, context, reading, rules):
        return Outcome(knew=True, correct=True, answer=_right_answer(item, reading, draws), luck=luck)
    correct, answer = _unknowing(item, mind, context, reading, draws, rules, same_luck=luck != draws.luck)
    return Outcome(knew=False, correct=correct, answer=answer, luck=luck)


def chance(item: SimItem, skill: float, context: CallContext, reading: Reading, rules: Assumptions) -> float:
    """Probability that a call knows the answer, when its model's log-odds on the item alone are `skill`."""
    logit = skill + _prompt_effect(item, context, rules)
    logit += _peer_effect(logit, reading.peers, rules) + _feedback_effect(context, reading, rules)
    if context.feedback == "passed" and reading.latest is not None and reading.latest.correct:
        return max(logistic(logit), rules.revision.keep_passed)
    return logistic(logit)


def _prompt_effect(item: SimItem, context: CallContext, rules: Assumptions) -> float:
    effect = rules.roles.get(item.domain, {}).get(context.role, 0.0)
    for table, name in ((rules.strategies, context.strategy), (rules.modes, context.mode)):
        if name and name in table:
            effect += table[name].logit.get(item.domain, 0.0)
    return effect


def _peer_effect(skill: float, peers: Sequence[Remembered], rules: Assumptions) -> float:
    right = sum(rules.voices.get(m.role, 1.0) for m in peers if m.correct)
    wrong = sum(rules.voices.get(m.role, 1.0) for m in peers if not m.correct and m.answer >= 0)
    harm = rules.peers.beta_wrong * (1 - rules.peers.discernment * logistic(skill))
    return rules.peers.beta_right * math.log1p(right) - harm * math.log1p(wrong)


def _feedback_effect(context: CallContext, reading: Reading, rules: Assumptions) -> float:
    if context.feedback == "failed":
        return rules.revision.gain_failed
    blind = context.feedback == "" and reading.own is not None and not reading.peers
    return -rules.revision.loss_blind if blind else 0.0


def _luck(context: CallContext, reading: Reading, draws: Draws, model: str, rules: Assumptions) -> float:
    own = reading.own
    if own is None or own.model != model or draws.keep >= rules.revision.keep_luck:
        return draws.luck
    return own.luck


def _right_answer(item: SimItem, reading: Reading, draws: Draws) -> int:
    known = [m.answer for m in (*reading.peers, reading.own) if m is not None and m.correct and m.answer >= 0]
    return known[-1] if known else int(draws.answer * len(item.right))


def _unknowing(
    item: SimItem,
    mind: Mind,
    context: CallContext,
    reading: Reading,
    draws: Draws,
    rules: Assumptions,
    *,
    same_luck: bool,
) -> tuple[bool, int]:
    """What is answered without knowing: whether it is right all the same, and its position.

    Who did not know before either, and revises with the same luck, stays with what was answered.
    """
    own = reading.own if context.feedback != "failed" else None
    read = [m.answer for m in (*reading.peers, own) if m is not None and not m.correct and m.answer >= 0]
    if read and draws.copy < rules.peers.copy_wrong:
        return False, read[int(draws.pick * len(read))]
    if same_luck and own is not None and not own.knew:
        return own.correct, own.answer
    if draws.silence < mind.silence:
        return False, -1
    if draws.trap < mind.trap:
        return False, 0
    if item.form != "choice":
        return False, _plausible(draws.answer, len(item.wrong), rules.mistakes.open_decay)
    guess = int(draws.answer * (len(item.right) + len(item.wrong)))
    return (True, guess) if guess < len(item.right) else (False, guess - len(item.right))


def _plausible(unit: float, count: int, decay: float) -> int:
    """One of the mistakes but the most popular (which stands alone if there is no other), rank k as 1 / k^decay."""
    weights = [k**-decay for k in range(1, count)]
    rest = unit * sum(weights)
    for k, weight in enumerate(weights, start=1):
        rest -= weight
        if rest < 0:
            return k
    return count - 1
