"""Skill: an item-response model of whether a language model knows the answer to an item.

    logit P(knows) = theta[model, benchmark] - sigma_d * difficulty[item] + loadings[model] . topic[item]
                     + residual[model, item]

Loadings say which topics a model is good at. Residual and topics together have the variance sigma_r^2, of which models
of one family have a share in common. theta is solved so that the mean accuracy, with all that those who do not know
may answer, equals the model's published one. (A logistic-normal Rasch model; Rasch 1960, Lord 1980.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mar.pool.simulated.assumptions import Assumptions
from mar.pool.simulated.catalogue import ModelProfile, score_of
from mar.pool.simulated.draws import normal
from mar.pool.simulated.logits import logistic
from mar.pool.simulated.mistakes import SharedMistakes
from mar.pool.simulated.world import SimItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """What a model brings to an item."""

    skill: float  # log-odds that it knows the answer on its own
    silence: float  # probability that it says nothing when it does not know
    trap: float  # and that it makes the item's popular mistake


class Skills:
    """The item-response model of a set of models."""

    def __init__(self, profiles: Mapping[str, ModelProfile], assumptions: Assumptions, seed: int) -> None:
        self._profiles = profiles
        self._assumptions = assumptions
        self._seed = seed
        self._mistakes = SharedMistakes(assumptions, seed)
        self._met: dict[tuple[str, str], tuple[SimItem, Mind]] = {}
        self._thetas: dict[tuple[str, str, int], float] = {}
        self._loadings: dict[tuple[str, str], tuple[float, ...]] = {}

    def meets(self, model: str, item_id: str, item: SimItem) -> tuple[SimItem, Mind]:
        """An item as those who know see it (see `mistakes`), and what the model brings to it."""
        key = (model, item_id)
        found = self._met.get(key)
        if found is None:
            seen = self._mistakes.seen(item_id, item)
            mind = Mind(
                skill=self.logit(model, item_id, seen),
                silence=self.silence(model, seen),
                trap=self._mistakes.trap(item_id, seen),
            )
            found = self._met[key] = (seen, mind)
        return found

    def right(self, model: str, item_id: str, item: SimItem) -> float:
        """Probability that the model, asked once and alone, gives the gold answer."""
        seen, mind = self.meets(model, item_id, item)
        knows = logistic(mind.skill)
        spoke, choice = (1 - knows) * (1 - mind.silence), item.form == "choice"
        guess = (1 - mind.trap) / (len(item.right) + len(item.wrong))
        if seen.right == item.right:
            return knows + (spoke * guess * len(item.right) if choice else 0.0)
        return spoke * (mind.trap + guess) if choice else 0.0

    def theta(self, model: str, item: SimItem) -> float:
        """Skill of a model on the item's benchmark, in logits."""
        options = len(item.right) + len(item.wrong) if item.form == "choice" else 0
        key = (model, item.benchmark, options)
        if key not in self._thetas:
            from mar.pool.simulated.accuracy import solve_theta

            spread = self._assumptions.spread(item.benchmark, item.domain)
            accuracy = score_of(self._profiles, model, item.benchmark, item.domain).accuracy
            silence = self.silence(model, item)
            self._thetas[key] = solve_theta(accuracy, spread, self._assumptions, silence=silence, options=options)
        return self._thetas[key]

    def silence(self, model: str, item: SimItem) -> float:
        """Probability that the model answers nothing that can be read when it does not know; solutions are written."""
        return 0.0 if item.form == "code" else self._profiles[model].silence

    def loadings(self, model: str, item: SimItem) -> tuple[float, ...]:
        """What one standard deviation of each of the item's topics is worth to the model, in logits."""
        rules, profile = self._assumptions, self._profiles[model]
        topics = item.benchmark
        key = (model, topics)
        if key not in self._loadings:
            share = rules.spread(item.benchmark, item.domain).family_share
            drawn = tuple(
                size * self._mixed(share, "topic loading", profile.family, model, f"{topics}/{k}")
                for k, size in enumerate(rules.topics[topics].loadings)
            )
            self._loadings[key] = profile.loadings.get(topics, drawn)
        return self._loadings[key]

    def logit(self, model: str, item_id: str, item: SimItem) -> float:
        """Log-odds that the model knows the item's answer on its own."""
        spread = self._assumptions.spread(item.benchmark, item.domain)
        residual = self._mixed(spread.family_share, "residual", self._profiles[model].family, model, item_id)
        told, left = 0.0, spread.sigma_r
        if item.topic:
            loadings = self.loadings(model, item)
            told = sum(weight * x for weight, x in zip(loadings, item.topic, strict=True))
            left = math.sqrt(max(spread.sigma_r**2 - sum(w * w for w in loadings), 0.0))
        return self.theta(model, item) - spread.sigma_d * item.difficulty + told + left * residual

    def _mixed(self, share: float, purpose: str, family: str, model: str, of: str) -> float:
        """A standard normal draw of which models of one family have a share in common."""
        common = normal(self._seed, purpose, "family", family, of)
        return math.sqrt(share) * common + math.sqrt(1 - share) * normal(self._seed, purpose, "model", model, of)
