"""Mistakes that models share: popular wrong answers, and gold answers that are wrong themselves.

    who does not know   says nothing                     with the model's silence
                        makes the popular mistake        with trap[item] = logistic(trap + by_difficulty d + spread e)
                        guesses                          else: among all options, the right one included; without
                                                         options, among the other plausible mistakes

e is standard normal. On a share of the items the published answer is not the one that those who know give: they give
what is the most popular mistake by the gold answers. On questions with options who then makes "the popular mistake" is
right; elsewhere nobody is. Such an item is turned round once, and all that models do is done on what they see.
"""

from __future__ import annotations

from dataclasses import replace

from mar.pool.simulated.assumptions import Assumptions
from mar.pool.simulated.draws import normal, uniform
from mar.pool.simulated.logits import logistic
from mar.pool.simulated.world import SimItem


class SharedMistakes:
    """What every item does to those who do not know."""

    def __init__(self, rules: Assumptions, seed: int) -> None:
        self._rules = rules
        self._seed = seed
        self._seen: dict[str, SimItem] = {}
        self._traps: dict[str, float] = {}

    def seen(self, item_id: str, item: SimItem) -> SimItem:
        """The item as those who know see it: the same, or one that is mislabelled turned round."""
        found = self._seen.get(item_id)
        if found is None:
            share = self._rules.spread(item.benchmark, item.domain).mislabelled
            turned = uniform(self._seed, "mislabelled", item_id) < share
            found = _turned(item) if turned else item
            self._seen[item_id] = found
        return found

    def trap(self, item_id: str, item: SimItem) -> float:
        """Probability that a model which does not know makes the item's popular mistake."""
        found = self._traps.get(item_id)
        if found is None:
            m = self._rules.mistakes
            spread = m.trap_spread * normal(self._seed, "trap", item_id)
            found = logistic(m.trap + m.trap_by_difficulty * item.difficulty + spread)
            self._traps[item_id] = found
        return found


def _turned(item: SimItem) -> SimItem:
    """An item whose most popular mistake is what those who know answer."""
    gold = item.right if item.form == "choice" else ()  # which nobody comes upon where there are no options
    wrong = (*gold, *item.wrong[1:]) or item.wrong
    return replace(item, right=item.wrong[:1], wrong=wrong, passing=frozenset())
