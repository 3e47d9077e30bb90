# pyright: basic
"""The best plans for one kind of question, at every price of money, as far as a belief can tell.

An evolution strategy over thousands of imagined plans: every LLM alone and some plans at random, then generations of
small changes (another LLM, role or mode, an agent more or less, another order) to those that are best at some price.
The changes to a plan are the same whenever it is a parent, and what was imagined of a plan is kept: so a search that is
made again because real episodes have put something right plays the few plans alone that it had not met.
The finalists of all prices are then played on every question. What a question's text tells about them is linear in its
coordinates, up to noise that a few dozen worlds leave: so qualities and costs are smoothed by regression on these.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from mar.controllers.masrouter import Candidates, Choices
from mar.learning.correction import Correction, features
from mar.learning.imagination import Imagination, Questions, Worth
from mar.learning.policy import generator_of

QUESTIONS, WORLDS = 32, 32  # in which every plan is played
MUTANTS, PARENTS = 48, 6  # plans of each generation, about, of how many at each price
PRICES = 9  # spread evenly over the logarithms of all
FINALISTS = 4  # at each price
FINAL_WORLDS = 64  # of every question
TOGETHER = 8  # plans that are played at once
WORTH_IT = 0.001  # utility, mean over questions and prices, that a further plan must add
SMOOTHING = 1.0  # weight of the squared slopes: questions' worth of no slope


class Genes(NamedTuple):
    """A plan as indices."""

    mode: int
    roles: tuple[int, ...]
    llms: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repertoire:
    """Plans that are best somewhere, and what they are worth on every question of a kind."""

    choices: Choices  # (P,)
    worth: Worth  # (Q, P), as imagined
    known: Tensor  # features of the plans, (P, F)

    def best(self, questions: Tensor, rates: Tensor, correction: Correction) -> tuple[Choices, Worth]:
        """The best plan for each of some questions (B,) at a price of money (B,), and its worth (B, 1)."""
        some = Worth(quality=self.worth.quality[questions], cost=self.worth.cost[questions])
        worth = correction(some, self.known.repeat(len(questions), 1))
        place = (worth.quality - rates[:, None] * worth.cost).argmax(1, keepdim=True)
        of_best = Worth(quality=worth.quality.gather(1, place), cost=worth.cost.gather(1, place))
        return self.choices.rows(place[:, 0]), of_best


@dataclass(slots=True, kw_only=True)
class Search:
    """Finds plans for questions of one kind.

    What was imagined of a plan is kept: it does not change, and a correction is put on top of it.
    """

    imagination: Imagination
    candidates: Candidates
    domain: int
    questions: Questions
    prices: tuple[float, float]  # lowest and highest
    generations: int
    seed: str
    _imagined: dict[Genes, tuple[float, float]] = field(default_factory=dict[Genes, tuple[float, float]])
    _final: dict[Genes, Worth] = field(default_factory=dict[Genes, Worth])

    def repertoire(self, correction: Correction) -> Repertoire:
        """The best plans at all prices, by what is imagined and put right."""
        rng = random.Random(self.seed)
        low, high = (torch.tensor(p).clamp(min=1e-2).log() for p in self.prices)
        rates = torch.linspace(float(low), float(high), PRICES).exp() if high > low else torch.tensor([self.prices[0]])
        known = self._begin(rng)
        children: Counter[Genes] = Counter()
        for _ in range(self.generations):
            parents = self._best(known, rates, correction, PARENTS)
            every = max(1, round(MUTANTS / len(parents)))
            for parent in parents * every:
                children[parent] += 1
                known.append(self._mutant(parent, random.Random(f"{self.seed}/{parent}/{children[parent]}")))
            known = list(dict.fromkeys(known))
        final = list(dict.fromkeys(self._best(known, rates, correction, FINALISTS)))
        for genes in final:
            if genes not in self._final:
                worth = self._play([genes], torch.arange(len(self.questions)), FINAL_WORLDS, "final")
                self._final[genes] = Worth(quality=self._smooth(worth.quality), cost=self._smooth(worth.cost))
        worth = Worth(
            quality=torch.cat([self._final[g].quality for g in final], 1),
            cost=torch.cat([self._final[g].cost for g in final], 1),
        )
        kept = _needed(worth.quality - rates[:, None, None] * worth.cost)
        worth = Worth(quality=worth.quality[:, kept], cost=worth.cost[:, kept])
        choices = self._choices([final[i] for i in kept])
        return Repertoire(choices=choices, worth=worth, known=features(choices, self.candidates))

    def play(self, questions: Tensor, choices: Choices, key: str) -> Worth:
        """What one plan for each of some questions (B,) is imagined to come to, (B, 1)."""
        some = self.questions.rows(questions)
        return self.imagination.play(
            some, self.imagination.worlds(some, FINAL_WORLDS, generator_of(key, "worlds")), choices
        )

    def _best(self, known: list[Genes], rates: Tensor, correction: Correction, most: int) -> list[Genes]:
        """The best at each price, one price after the other."""
        new = [genes for genes in known if genes not in self._imagined]
        if new:
            questions = torch.randperm(len(self.questions), generator=generator_of(self.seed, "some"))[:QUESTIONS]
            worth = self._play(new, questions, WORLDS, "search")
            pairs = zip(worth.quality.mean(0).tolist(), worth.cost.mean(0).tolist(), strict=True)
            self._imagined |= dict(zip(new, pairs, strict=True))
        quality, cost = torch.tensor([self._imagined[genes] for genes in known]).T
        about = features(self._choices(known), self.candidates)
        worth = correction(Worth(quality=quality[None], cost=cost[None]), about)
        utility = worth.quality - rates[:, None] * worth.cost
        return [known[i] for row in utility.topk(min(most, len(known)), dim=1).indices.tolist() for i in row]

    def _play(self, plans: list[Genes], questions: Tensor, worlds: int, why: str) -> Worth:
        asked = self.questions.rows(questions)
        drawn = self.imagination.worlds(asked, worlds, generator_of(self.seed, why))
        order = sorted(range(len(plans)), key=lambda i: self._turns(plans[i]))
        alike = [[plans[k] for k in order[i : i + TOGETHER]] for i in range(0, len(plans), TOGETHER)]
        rows = [self.imagination.play(asked, drawn, self._choices(some * len(questions))) for some in alike]
        back = torch.tensor(order).argsort()
        quality, cost = torch.cat([w.quality for w in rows], 1), torch.cat([w.cost for w in rows], 1)
        return Worth(quality=quality[:, back], cost=cost[:, back])

    def _turns(self, plan: Genes) -> tuple[int, int]:
        """Rounds and agents: plans that have as many are played together, so that nobody's turn is played in vain."""
        return int(self.imagination.rules.graphs.rounds[plan.mode]), len(plan.llms)

    def _smooth(self, values: Tensor) -> Tensor:
        """What questions' coordinates tell about values (Q, P)."""
        x = self.imagination.mind.topics(self.questions.vectors)
        x = torch.cat([torch.ones(len(x), 1), x - x.mean(0)], 1)
        penalty = SMOOTHING * torch.eye(x.shape[1])
        penalty[0, 0] = 1e-6
        return x @ torch.linalg.solve(x.T @ x + penalty, x.T @ values)

    # Plans ----------------------------------------------------------------------------------------------------

    def _choices(self, plans: list[Genes]) -> Choices:
        most, n = self.imagination.rules.most, len(plans)
        return Choices(
            domain=torch.full((n,), self.domain),
            mode=torch.tensor([p.mode for p in plans]),
            count=torch.tensor([len(p.llms) for p in plans]),
            roles=torch.tensor([[*p.roles, *[0] * (most - len(p.roles))] for p in plans]),
            llms=torch.tensor([[*p.llms, *[0] * (most - len(p.llms))] for p in plans]),
        )

    def _begin(self, rng: random.Random) -> list[Genes]:
        llms, modes = len(self.candidates.llms), len(self.candidates.modes)
        alone = [Genes(0, (role,), (llm,)) for llm in range(llms) for role in range(self._roles)]
        rest: list[Genes] = []
        for _ in range(MUTANTS):
            n = rng.randint(1, self.imagination.rules.most)
            roles, team = (tuple(rng.randrange(k) for _ in range(n)) for k in (self._roles, llms))
            rest.append(Genes(rng.randrange(modes), roles, team))
        return list(dict.fromkeys([*alone, *rest]))

    @property
    def _roles(self) -> int:
        return int(self.candidates.role_mask[self.domain].sum())

    def _mutant(self, plan: Genes, rng: random.Random) -> Genes:
        roles, llms, n = list(plan.roles), list(plan.llms), len(plan.llms)
        role, llm, place = rng.randrange(self._roles), rng.randrange(len(self.candidates.llms)), rng.randrange(n)
        changes = ["llm", "llm", "role", "mode"]  # LLMs matter most
        changes += ["more", "more"] if n < self.imagination.rules.most else []
        changes += ["less", "less", "order"] if n > 1 else []
        match rng.choice(changes):
            case "llm":
                llms[place] = llm
            case "role":
                roles[place] = role
            case "more":
                roles.insert(place, role)
                llms.insert(place, llm)
            case "less":
                del roles[place], llms[place]
            case "order":
                other = rng.randrange(n)
                roles[place], roles[other] = roles[other], roles[place]
                llms[place], llms[other] = llms[other], llms[place]
            case _:
                return plan._replace(mode=rng.randrange(len(self.candidates.modes)))
        return Genes(plan.mode, tuple(roles), tuple(llms))


def _needed(utility: Tensor) -> list[int]:
    """Of plans (prices, Q, P) those that are needed, the most useful first: fewer are learned better."""
    best, kept = torch.full(utility.shape[:2], -torch.inf), list[int]()
    while True:
        gained = torch.maximum(best[..., None], utility).mean((0, 1)) - (best.mean() if kept else -torch.inf)
        place = int(gained.argmax())
        if gained[place] < WORTH_IT:
            return kept
        kept.append(place)
        best = torch.maximum(best, utility[..., place])
