# pyright: basic
"""Which calls are made at once. Waiting for a call's answer saves the money of those that it makes needless; where time
has a price, or a deadline leaves no time for one after the other, asking at once saves what waiting costs.

A set of calls grows from the best one. Everything that the set may hear is a *world*. A further call is made now if it
is worth more, on average over worlds, than to wait and then do what is best in each, one call or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mar.controllers.belief.likelihood import FAILED, PASSED, SILENT, UNTESTED, Said
from mar.controllers.sequential.knowing import Floats
from mar.controllers.sequential.planner import Case, Planner

SELDOM = 0.02  # what is less likely is left out


@dataclass(frozen=True, slots=True)
class World:
    """What may have been said."""

    chance: float
    said: tuple[Said, ...]
    words: str  # what was heard last


def worlds(planner: Planner, case: Case, call: Said) -> list[World]:
    """What may have been said after one more call, the likeliest first; what is seldom is left out.

    Args:
        planner: Weighs them.
        case: Before the call.
        call: Its answer is of no account.
    """
    found = _outcomes(planner.beliefs.form, case)
    futures = [(*case.said, Said(model=call.model, answer=a, strategy=call.strategy, read=call.read)) for a, _ in found]
    likely = planner.posterior([case.after(said) for said in (case.said, *futures)]).log_likelihood()
    chances = np.exp(likely[1:] - likely[0])
    for i, (_, words) in enumerate(found):
        if words.endswith("answer"):  # it stands for every answer that nobody gave
            chances[i] = max(0.0, 1.0 - chances.sum() + chances[i])
    kept = [World(float(c), f, w) for (_, w), c, f in zip(found, chances, futures, strict=True) if c >= SELDOM]
    return sorted(kept, key=lambda world: -world.chance)


def _outcomes(form: str, case: Case) -> list[tuple[int, str]]:
    if form == "programs":
        return [(PASSED, "it passes"), (FAILED, "it fails")] if case.tested else [(UNTESTED, "a program or a text")]
    given = sorted({s.answer for s in case.said if s.answer >= 0})
    known = [(a, "it agrees" if len(given) == 1 else f"it gives answer {a + 1}") for a in given]
    return [*known, (len(given), "another answer" if given else "an answer"), (SILENT, "nothing readable")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What is to be had after a set of calls: W worlds, C further calls."""

    chance: Floats  # of every world, (W,)
    now: Floats  # probability of being right without a further call, (W,)
    right: Floats  # and after each, (W, C)
    price: Floats  # of each in utility, (C,)
    seconds: Floats  # it takes, (C,)
    in_time: Sequence[bool]  # whether it could still be made once the set has answered, (C,)

    def later(self, time_rate: float) -> float:
        """Expected utility of waiting for the set's answers and then doing what is best."""
        then = np.where(self.in_time, self.right - self.price - time_rate * self.seconds, 0.0)
        return float(self.chance @ np.maximum(self.now, then.max(1, initial=0.0)))

    def at_once(self, time_rate: float, taken: float) -> Floats:
        """Expected utility of making each call with the set, which takes so many seconds anyway, (C,)."""
        return self.chance @ self.right - self.price - time_rate * np.maximum(self.seconds - taken, 0.0)
